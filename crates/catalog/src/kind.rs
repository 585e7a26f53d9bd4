//! What the catalog says about one kind of object, as plain data.
//!
//! Owns the types; the values stand one file per kind under `kinds/`, the functions on them in `forms` and `references`.

use serde_json::Value;

/// Stages of an archive, in their order (archive-format.md, "Members").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of the stages")]
pub enum Stage {
    Identities,
    InstancePools,
    ClusterPolicies,
    GlobalInitScripts,
    Secrets,
    Clusters,
    Libraries,
    Jobs,
    Workspace,
    Dbfs,
    Acls,
}

/// How the objects of a kind stand in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One file per object: `data/<kind>/<id>.json`.
    Object,
    /// Lines of a table: `data/<kind>/NNNNNN.jsonl`.
    Table,
    /// Part of the workspace tree or of DBFS; read and written by code of its own.
    Tree,
}

/// How a listing is paged (fact sheet, "Pagination overview").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// One reply holds everything.
    None,
    /// `next_page_token` of the reply is sent as `page_token`; `size` is the page-size field and its value.
    PageToken {
        /// Name and value of the query field for the page size.
        size: (&'static str, u32),
    },
    /// `next_page_token` is the name in the reply and in the query (git folders).
    NextPageToken,
    /// SCIM: `startIndex` from 1 and `count`.
    Scim {
        /// Page size asked for; the server may give less.
        count: u32,
    },
}

/// The call that lists a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct List {
    /// Path of the GET call.
    pub path: &'static str,
    /// Key of the array in the reply; absent in the reply when empty.
    pub array: &'static str,
    /// How the pages follow each other.
    pub paging: Paging,
    /// Fixed query fields.
    pub query: &'static [(&'static str, &'static str)],
    /// Fields that only the listing shows; [`Kind::with_listed`] copies them into what `read` returned.
    pub only_listed: &'static [&'static str],
}

/// The call that reads one object whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Path of the GET call; `{id}` stands for the percent-encoded id.
    pub path: &'static str,
    /// Query field that carries the id, when the path does not.
    pub id_query: Option<&'static str>,
    /// Arrays that come in pages inside one object and are appended (jobs/get 2.2).
    pub paged_arrays: &'static [&'static str],
}

/// A call that creates, changes or deletes one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// HTTP method.
    pub method: &'static str,
    /// Path; `{id}` stands for the percent-encoded id.
    pub path: &'static str,
    /// Body field that carries the id.
    pub id_body: Option<&'static str>,
    /// Body field under which the specification is sent (`new_settings`); `None` for the top level.
    pub wrap: Option<&'static str>,
    /// Sub-body that is sent (`settings` of a job); empty for the whole.
    pub from: &'static str,
    /// The only fields that the call takes; empty for every field.
    pub fields: &'static [&'static str],
    /// Field of the reply that holds the new id.
    pub returns_id: Option<&'static str>,
}

/// What makes an object the same one in another workspace (spec/import.md, "Natural keys").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NaturalKey {
    /// The text at this place.
    Name(&'static str),
    /// The text at this place without regard to case.
    FoldedName(&'static str),
    /// The text at this place, which need not be unique: the content must be equal too ([`Kind::compare_form`]).
    NameAndContent(&'static str),
    /// The (mapped) id of the object to which it belongs.
    Owner(&'static str),
}

impl NaturalKey {
    /// The place of the name.
    pub fn place(self) -> &'static str {
        match self {
            Self::Name(place)
            | Self::FoldedName(place)
            | Self::NameAndContent(place)
            | Self::Owner(place) => place,
        }
    }
}

/// What a reference leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// All-purpose cluster, by `cluster_id`.
    Cluster,
    /// Instance pool, by `instance_pool_id`.
    InstancePool,
    /// Cluster policy, by `policy_id`.
    ClusterPolicy,
    /// Job, by `job_id`.
    Job,
    /// User: user name, or SCIM id with [`Form::Member`].
    User,
    /// Group: display name, or SCIM id with [`Form::Member`].
    Group,
    /// Service principal: application id, or SCIM id with [`Form::Member`].
    ServicePrincipal,
    /// A user name, the application id of a service principal, or a group name, looked up in this order.
    Principal,
    /// Secret scope, by name.
    SecretScope,
    /// Object of the workspace tree, by its path without the `/Workspace` prefix.
    WorkspacePath,
    /// DBFS file or directory, by its path without the `dbfs:` prefix.
    DbfsPath,
    /// In [`Reference`]: the value decides. In [`Found`](crate::Found): storage outside the workspace
    /// (`/Volumes`, `abfss:`, `s3:`, `file:`, ...), whole and unchanged.
    AnyPath,
    /// Address in a notification; may or may not be that of a user.
    EmailAddress,
    /// Notification destination, by id.
    NotificationDestination,
    /// SQL warehouse, by id.
    Warehouse,
    /// Pipeline, by id.
    Pipeline,
    /// SQL query, by id.
    Query,
    /// Dashboard, by id.
    Dashboard,
    /// SQL alert, by id.
    Alert,
    /// Serverless budget or usage policy of the account, by id.
    BudgetPolicy,
    /// Git folder, by id.
    GitFolder,
    /// Machine type, by `node_type_id`; which ones a workspace offers depends on its region.
    NodeType,
    /// Runtime, by its key (`15.4.x-scala2.12`); also `auto:latest-lts` and its like, and `custom:...`.
    SparkVersion,
    /// Azure Key Vault of a secret scope, by resource id or by DNS name.
    KeyVault,
    /// Git provider, by its key (`gitHub`, `azureDevOpsServices`, ...).
    GitProvider,
}

/// How a reference is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// The id itself; stays a number where it was one.
    Id,
    /// A path of the workspace, of DBFS or of other storage; its beginning decides ([`crate::paths`]).
    Path,
    /// A DBFS path.
    DbfsPath,
    /// The name itself.
    Name,
    /// JSON text inside a string (policy definitions).
    InString,
    /// SCIM id of a member; `$ref` beside it says of which kind and is rewritten with it.
    Member,
    /// `{{secrets/<scope>/<key>}}` anywhere in a text; the value is the scope.
    SecretText,
    /// A free argument: a path only when it begins with `dbfs:/` or `/Workspace/`, also after `-r `.
    Argument,
}

/// A place where a body names another object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where; see [`crate::places`].
    pub place: &'static str,
    /// What it leads to.
    pub to: Target,
    /// How it is written.
    pub form: Form,
}

/// A line of a reference table.
pub(crate) const fn reference(place: &'static str, to: Target, form: Form) -> Reference {
    Reference { place, to, form }
}

/// A field that keeps an object from running or costing while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passive {
    /// Place of the map that holds the field; where it does not exist nothing is set.
    pub within: &'static str,
    /// The field, set even when it is absent.
    pub field: &'static str,
    /// JSON text that it gets.
    pub value: &'static str,
}

/// Access control of a kind (fact sheet, section 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Segment of `/api/2.0/permissions/{segment}/{id}`.
    pub segment: &'static str,
    /// `object_type` in replies.
    pub object_type: &'static str,
    /// Levels from the lowest to the highest.
    pub levels: &'static [&'static str],
    /// True when exactly one user or service principal must be `IS_OWNER`.
    pub has_owner: bool,
}

/// Everything that the catalog knows about one kind.
pub struct Kind {
    /// Folder in the archive and value of `--kinds`, such as `jobs`.
    pub name: &'static str,
    /// One of them, such as `job`.
    pub singular: &'static str,
    /// Stage of the archive in which it is written.
    pub stage: Stage,
    /// How its objects stand in the archive.
    pub layout: Layout,
    /// The listing call; `None` for kinds with code of their own.
    pub list: Option<List>,
    /// The call that reads one object; `None` when the listing shows everything or code of its own reads it.
    pub read: Option<Read>,
    /// Place of the id in a record's body.
    pub id: &'static str,
    /// Place of the id in an element of the listing, when it differs from `id`.
    pub listed_id: Option<&'static str>,
    /// True when the service wants the id as a JSON number.
    pub numeric_id: bool,
    /// Place of the human name.
    pub label: &'static str,
    /// What makes it the same object elsewhere.
    pub natural_key: NaturalKey,
    /// True for objects that exist in every workspace and are merged, never created.
    pub builtin: fn(&Value) -> bool,
    /// `Err(reason)` for what is listed but belongs to another service or is gone.
    pub include: fn(&Value) -> Result<(), &'static str>,
    /// Places that differ from night to night; moved to `observed/` at export.
    pub volatile: &'static [&'static str],
    /// Places that only the server sets; dropped before a create and before comparing.
    pub server_set: &'static [&'static str],
    /// (place, JSON text) that the server fills in; dropped before comparing when equal. Inner places first.
    pub defaults: &'static [(&'static str, &'static str)],
    /// (array place, key in an element, "" for the whole element) of arrays without order; sorted at export.
    pub unordered: &'static [(&'static str, &'static str)],
    /// (array place, key) whose order the service does not regard; sorted before comparing only.
    pub compared_unordered: &'static [(&'static str, &'static str)],
    /// Places where other objects are named.
    pub references: &'static [Reference],
    /// Fields that keep it passive.
    pub passive: &'static [Passive],
    /// Access control.
    pub permissions: Option<Permissions>,
    /// The call that creates one.
    pub create: Option<Write>,
    /// The call that replaces its specification.
    pub update: Option<Write>,
    /// The call that deletes one.
    pub delete: Option<Write>,
    /// Turns an element of the listing into a record's body, when the two differ and nothing is read besides.
    pub(crate) shape_listed: fn(Value) -> Value,
    /// Rules of the create call beyond `server_set`, applied to a request form in the shape of the record.
    pub(crate) shape_request: fn(&mut Value, original: &Value),
    /// Normalisation for comparing beyond `defaults`.
    pub(crate) shape_compare: fn(&mut Value),
    /// Turns a request form into the body of the create call, when it has another shape.
    pub(crate) shape_create: fn(Value) -> Value,
}

/// Defaults for a kind; each kind's file names what differs.
pub(crate) const BASE: Kind = Kind {
    name: "",
    singular: "",
    stage: Stage::Workspace,
    layout: Layout::Object,
    list: None,
    read: None,
    id: "id",
    listed_id: None,
    numeric_id: false,
    label: "name",
    natural_key: NaturalKey::Name("name"),
    builtin: |_| false,
    include: |_| Ok(()),
    volatile: &[],
    server_set: &[],
    defaults: &[],
    unordered: &[],
    compared_unordered: &[],
    references: &[],
    passive: &[],
    permissions: None,
    create: None,
    update: None,
    delete: None,
    shape_listed: |listed| listed,
    shape_request: |_, _| {},
    shape_compare: |_| {},
    shape_create: |body| body,
};

/// Defaults for a write call.
pub(crate) const WRITE: Write = Write {
    method: "POST",
    path: "",
    id_body: None,
    wrap: None,
    from: "",
    fields: &[],
    returns_id: None,
};

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kind")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Kind {
    /// Path of `read` or a write for one id; the id is inserted as given, so percent-encode it first.
    pub fn path_for(path: &str, encoded_id: &str) -> String {
        path.replace("{id}", encoded_id)
    }
}
