//! The state of one simulated workspace: one plain struct with a part per kind of object.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::clock::Clock;
use crate::http::Caller;
use crate::ids::Ids;
use crate::permissions::Acls;

/// Habits of the workspace that differ between installations; tests switch them.
#[derive(Clone, Debug)]
pub struct Switches {
    /// `GET /secrets/get` answers (newer workspaces) or refuses (older ones).
    pub secret_values: bool,
    /// The caller's token is an Entra token, so Key Vault scopes can be created.
    pub entra_token: bool,
    /// The workspace setting that blocks the whole DBFS root.
    pub dbfs_disabled: bool,
    /// So many later SCIM pages repeat the last element of the page before and lose their own last one, as the
    /// service does while others write.
    pub unstable_paging: u32,
    /// Largest SCIM page, whatever `count` asks for.
    pub scim_page: usize,
    /// A new user's home appears only this many clock seconds after the user.
    pub home_after_seconds: i64,
    /// ... and only after this many further requests that name the home.
    pub home_after_reads: u32,
    /// A new user, group or service principal is unknown to permissions, secret scopes and cluster owners, each for
    /// this many requests that name it.
    pub known_after_uses: u32,
    /// `direct_download=true` also keeps the 10 MB limit.
    pub direct_download_limited: bool,
    /// `POST /Groups` is refused, as in workspaces of some federated accounts.
    pub refuse_local_groups: bool,
    /// An import as SOURCE loses its byte order mark and gets LF as line ends; else it is kept to the byte. Which of the
    /// two the service does is not documented.
    pub rewrite_sources: bool,
    /// The whole permissions API answers `FEATURE_DISABLED` (standard tier).
    pub acls_disabled: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            secret_values: true,
            entra_token: false,
            dbfs_disabled: false,
            unstable_paging: 0,
            scim_page: 100,
            home_after_seconds: 0,
            home_after_reads: 0,
            known_after_uses: 0,
            direct_download_limited: true,
            refuse_local_groups: false,
            rewrite_sources: false,
            acls_disabled: false,
        }
    }
}

/// Everything a workspace holds. Handlers get it locked.
#[derive(Debug)]
pub struct World {
    /// Workspace id, as in `X-Databricks-Org-Id`.
    pub workspace_id: String,
    /// The workspace's clock.
    pub clock: Clock,
    /// New ids.
    pub ids: Ids,
    /// Habits.
    pub switches: Switches,
    /// Bearer token to SCIM id of its owner.
    pub tokens: BTreeMap<String, i64>,
    /// Who may get tokens that end.
    pub oauth: crate::oauth::Oauth,
    requests: u64,
    /// Users, groups, service principals.
    pub identities: crate::identities::Identities,
    /// Direct permissions of every object.
    pub acls: Acls,
    /// Directories, notebooks, files and the other objects of the tree.
    pub tree: crate::tree::Tree,
    /// DBFS.
    pub dbfs: crate::dbfs::Dbfs,
    /// Secret scopes.
    pub secrets: crate::secrets::Secrets,
    /// Git folders.
    pub repos: crate::repos::Repos,
    /// Git credentials.
    pub git_credentials: crate::git_credentials::GitCredentials,
    /// Notification destinations and SQL warehouses.
    pub destinations: crate::destinations::Destinations,
    /// Global init scripts.
    pub init_scripts: crate::init_scripts::InitScripts,
    /// Clusters.
    pub clusters: crate::clusters::Clusters,
    /// Cluster libraries.
    pub libraries: crate::libraries::Libraries,
    /// Instance pools.
    pub pools: crate::pools::Pools,
    /// Cluster policies.
    pub policies: crate::policies::Policies,
    /// Jobs.
    pub jobs: crate::jobs::Jobs,
}

/// User name of the administrator who owns the first token.
pub const ADMIN: &str = "admin@example.com";

impl World {
    /// An empty workspace: the system folders and groups, and one administrator with this token.
    #[must_use]
    pub fn new(workspace_id: &str, token: &str, seed: u64, clock_rate: u32) -> Self {
        let mut world = Self {
            workspace_id: workspace_id.to_owned(),
            clock: Clock::new(clock_rate),
            ids: Ids::new(seed),
            switches: Switches::default(),
            tokens: BTreeMap::new(),
            oauth: crate::oauth::Oauth::default(),
            requests: 0,
            identities: crate::identities::Identities::default(),
            acls: Acls::default(),
            tree: crate::tree::Tree::new(crate::clock::EPOCH_MS),
            dbfs: crate::dbfs::Dbfs::default(),
            secrets: crate::secrets::Secrets::default(),
            repos: crate::repos::Repos::default(),
            git_credentials: crate::git_credentials::GitCredentials::default(),
            destinations: crate::destinations::Destinations::default(),
            init_scripts: crate::init_scripts::InitScripts::default(),
            clusters: crate::clusters::Clusters::default(),
            libraries: crate::libraries::Libraries::default(),
            pools: crate::pools::Pools::default(),
            policies: crate::policies::Policies::default(),
            jobs: crate::jobs::Jobs::default(),
        };
        crate::identities::create_system(&mut world);
        crate::tree::create_system(&mut world);
        let admin = crate::identities::add_user(&mut world, ADMIN, "Workspace Admin", true);
        world.tokens.insert(token.to_owned(), admin);
        crate::policies::create_system(&mut world);
        world
    }

    /// An empty workspace with a clock that stands still: for handler tests.
    #[must_use]
    pub fn for_tests() -> Self {
        Self::new("1234567890123456", "token", 1, 0)
    }

    /// Whom a bearer token names.
    #[must_use]
    pub fn caller(&self, token: &str) -> Option<Caller> {
        self.identities.caller(*self.tokens.get(token)?)
    }

    /// Adds a bearer token for an existing user name or application id.
    ///
    /// # Errors
    /// Nobody of that name exists.
    pub fn add_token(&mut self, token: &str, principal: &str) -> Result<(), String> {
        let caller = self
            .identities
            .caller_named(principal)
            .ok_or_else(|| format!("no user or service principal {principal}"))?;
        self.tokens.insert(token.to_owned(), caller.id);
        Ok(())
    }

    /// An id for the reply's header; apart from the ids of objects, which must follow from the seed alone.
    pub(crate) fn request_id(&mut self) -> String {
        self.requests += 1;
        format!("00000000-0000-4000-a000-{:012x}", self.requests)
    }

    /// The administrator of the first token.
    #[must_use]
    pub fn admin(&self) -> Caller {
        self.identities.caller_named(ADMIN).unwrap_or(Caller {
            id: 0,
            name: ADMIN.to_owned(),
            service_principal: false,
            admin: true,
        })
    }

    /// Everything that would be compared after a restore.
    #[must_use]
    pub fn dump(&self) -> Value {
        crate::dump::dump(self)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Calls handlers without a server.

    use bytes::Bytes;
    use serde_json::Value;

    use super::World;
    use crate::http::{Caller, Reply, Request, decode_query};
    use crate::route;

    /// Sends one request as the administrator and returns status and JSON body.
    pub(crate) fn call(world: &mut World, method: &str, target: &str, body: Value) -> (u16, Value) {
        let caller = world.admin();
        let reply = call_as(
            world,
            caller,
            method,
            target,
            "application/json",
            body.to_string(),
        );
        (reply.status, reply.value().clone())
    }

    /// GET as the administrator.
    pub(crate) fn get(world: &mut World, target: &str) -> (u16, Value) {
        let caller = world.admin();
        let reply = call_as(world, caller, "GET", target, "", "");
        (reply.status, reply.value().clone())
    }

    /// Sends one request as anybody with any body.
    pub(crate) fn call_as(
        world: &mut World,
        caller: Caller,
        method: &str,
        target: &str,
        content_type: &str,
        body: impl AsRef<[u8]>,
    ) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let table = route::table();
        let Some((handler, params)) = route::find(&table, method, path) else {
            panic!("no route for {method} {path}");
        };
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: decode_query(query),
            params,
            content_type: content_type.to_owned(),
            body: Bytes::copy_from_slice(body.as_ref()),
            caller,
        };
        handler(world, &request).unwrap_or_else(Reply::from)
    }
}
