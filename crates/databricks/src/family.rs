//! Endpoint families: groups of calls that share a limit (fact sheet, table 25.1).

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

macro_rules! families {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A group of calls that share one limit of the service.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Family { $($(#[$doc])* $variant,)* }

        impl Family {
            /// Every family, in the order of the table.
            pub const ALL: &'static [Family] = &[$(Family::$variant,)*];

            /// The name used in limit files and in reports.
            pub fn name(self) -> &'static str {
                match self { $(Family::$variant => $name,)* }
            }
        }
    };
}

families! {
    /// Reading of permissions.
    PermissionsRead = "permissions-read",
    /// Setting of permissions.
    PermissionsWrite = "permissions-write",
    /// Reading of notebooks and workspace files.
    WorkspaceExport = "workspace-export",
    /// Writing of notebooks and workspace files.
    WorkspaceImport = "workspace-import",
    /// Listing of workspace folders.
    WorkspaceList = "workspace-list",
    /// Other calls on the workspace tree: get-status, mkdirs, delete.
    Workspace = "workspace",
    /// Reading and listing of users, groups and service principals.
    ScimRead = "scim-read",
    /// Creating and changing of users and service principals, creating of groups.
    ScimWrite = "scim-write",
    /// Changing of groups.
    ScimGroupsPatch = "scim-groups-patch",
    /// Deleting of groups.
    ScimGroupsDelete = "scim-groups-delete",
    /// Assigning of account principals to the workspace.
    PermissionAssignments = "permission-assignments",
    /// Secret scopes, secrets and their ACLs.
    Secrets = "secrets",
    /// Tokens and their management.
    Tokens = "tokens",
    /// DBFS.
    Dbfs = "dbfs",
    /// Creating and starting of jobs.
    JobsCreate = "jobs-create",
    /// Reading of runs.
    RunsRead = "runs-read",
    /// Submitting of one-time runs.
    RunsSubmit = "runs-submit",
    /// Other calls on jobs.
    Jobs = "jobs",
    /// Clusters.
    Clusters = "clusters",
    /// Libraries of clusters.
    Libraries = "libraries",
    /// Instance pools.
    InstancePools = "instance-pools",
    /// Cluster policies.
    ClusterPolicies = "cluster-policies",
    /// MLflow searches.
    MlflowSearch = "mlflow-search",
    /// Other MLflow tracking calls.
    Mlflow = "mlflow",
    /// Listing of legacy SQL objects.
    LegacySql = "legacy-sql",
    /// Anything else.
    Other = "other",
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Family {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL
            .iter()
            .copied()
            .find(|family| family.name() == name)
            .ok_or(())
    }
}

impl Serialize for Family {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The family of a call. `path` is the path of the URL, from `/api/` on; a query is ignored.
pub fn family_of(method: &str, path: &str) -> Family {
    let path = path.split('?').next().unwrap_or(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    // ["api", "2.0", service, ...]; previews and account calls carry one more.
    let rest = match parts.as_slice() {
        ["api", _, "preview" | "account", rest @ ..] | ["api", _, rest @ ..] => rest,
        _ => return Family::Other,
    };
    let read = matches!(method, "GET" | "HEAD");
    match rest {
        ["permissions", ..] if read => Family::PermissionsRead,
        ["permissions", ..] => Family::PermissionsWrite,
        ["workspace", "export", ..] => Family::WorkspaceExport,
        ["workspace", "import", ..] => Family::WorkspaceImport,
        ["workspace", "list", ..] => Family::WorkspaceList,
        ["workspace", ..] => Family::Workspace,
        ["workspace-files", ..] if read => Family::WorkspaceExport,
        ["workspace-files", ..] => Family::WorkspaceImport,
        ["scim", ..] if read => Family::ScimRead,
        ["scim", _, "Groups", ..] if method == "PATCH" => Family::ScimGroupsPatch,
        ["scim", _, "Groups", ..] if method == "DELETE" => Family::ScimGroupsDelete,
        ["scim", ..] => Family::ScimWrite,
        ["permissionassignments", ..] => Family::PermissionAssignments,
        ["secrets", ..] => Family::Secrets,
        ["token" | "token-management", ..] => Family::Tokens,
        ["dbfs", ..] => Family::Dbfs,
        ["jobs", "create" | "run-now", ..] => Family::JobsCreate,
        ["jobs", "runs", "submit", ..] => Family::RunsSubmit,
        ["jobs", "runs", ..] if read => Family::RunsRead,
        ["jobs", ..] => Family::Jobs,
        ["clusters", ..] => Family::Clusters,
        ["libraries", ..] => Family::Libraries,
        ["instance-pools", ..] => Family::InstancePools,
        ["policies", "clusters", ..] => Family::ClusterPolicies,
        ["mlflow", _, "search", ..] => Family::MlflowSearch,
        ["mlflow", ..] => Family::Mlflow,
        [
            "sql",
            "queries" | "dashboards" | "alerts" | "data_sources",
            ..,
        ] if read && path.contains("/preview/") => Family::LegacySql,
        _ => Family::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_its_family() {
        for (call, family) in [
            ("GET /api/2.0/permissions/jobs/1", Family::PermissionsRead),
            ("PUT /api/2.0/permissions/jobs/1", Family::PermissionsWrite),
            ("GET /api/2.0/workspace/export", Family::WorkspaceExport),
            (
                "GET /api/2.0/workspace-files/Shared/x",
                Family::WorkspaceExport,
            ),
            ("POST /api/2.0/workspace/import", Family::WorkspaceImport),
            (
                "POST /api/2.0/workspace-files/import-file/x",
                Family::WorkspaceImport,
            ),
            ("GET /api/2.0/workspace/list?path=/", Family::WorkspaceList),
            ("GET /api/2.0/workspace/get-status", Family::Workspace),
            ("POST /api/2.0/workspace/mkdirs", Family::Workspace),
            ("GET /api/2.0/preview/scim/v2/Users", Family::ScimRead),
            ("GET /api/2.0/account/scim/v2/Users/1", Family::ScimRead),
            ("POST /api/2.0/preview/scim/v2/Groups", Family::ScimWrite),
            ("PATCH /api/2.0/preview/scim/v2/Users/1", Family::ScimWrite),
            (
                "PATCH /api/2.0/preview/scim/v2/Groups/1",
                Family::ScimGroupsPatch,
            ),
            (
                "DELETE /api/2.0/preview/scim/v2/Groups/1",
                Family::ScimGroupsDelete,
            ),
            (
                "PUT /api/2.0/preview/permissionassignments/principals/1",
                Family::PermissionAssignments,
            ),
            ("GET /api/2.0/secrets/scopes/list", Family::Secrets),
            ("GET /api/2.0/token-management/tokens", Family::Tokens),
            ("GET /api/2.0/dbfs/read", Family::Dbfs),
            ("POST /api/2.2/jobs/create", Family::JobsCreate),
            ("POST /api/2.2/jobs/run-now", Family::JobsCreate),
            ("GET /api/2.2/jobs/runs/get", Family::RunsRead),
            ("POST /api/2.2/jobs/runs/submit", Family::RunsSubmit),
            ("POST /api/2.2/jobs/reset", Family::Jobs),
            ("GET /api/2.1/clusters/list", Family::Clusters),
            (
                "GET /api/2.0/libraries/all-cluster-statuses",
                Family::Libraries,
            ),
            ("GET /api/2.0/instance-pools/list", Family::InstancePools),
            (
                "GET /api/2.0/policies/clusters/list",
                Family::ClusterPolicies,
            ),
            (
                "POST /api/2.0/mlflow/experiments/search",
                Family::MlflowSearch,
            ),
            ("GET /api/2.0/mlflow/experiments/list", Family::Mlflow),
            ("GET /api/2.0/preview/sql/queries", Family::LegacySql),
            ("GET /api/2.0/sql/queries", Family::Other),
            ("GET /api/2.0/global-init-scripts", Family::Other),
            ("GET /elsewhere", Family::Other),
        ] {
            let (method, path) = call.split_once(' ').unwrap();
            assert_eq!(family_of(method, path), family, "{call}");
        }
    }

    #[test]
    fn names_are_unique_and_read_back() {
        for family in Family::ALL {
            assert_eq!(family.name().parse(), Ok(*family));
        }
        assert_eq!("nothing".parse::<Family>(), Err(()));
    }
}
