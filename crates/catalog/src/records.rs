//! The JSON records of an archive (spec/records.md, "Records").
//!
//! Owns the shapes and the folders; what stands in a `body` is the service's own JSON and is left as it is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One object: a file `data/<kind>/<id>.json`, or a line of the tables of users, groups and service principals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectRecord {
    /// Name of the kind, as in [`crate::Kind::name`].
    pub kind: String,
    /// Identity in the source workspace; numbers as decimal text.
    pub id: String,
    /// Human name; empty when the object has none.
    pub name: String,
    /// The service's own JSON less the volatile fields.
    pub body: Value,
}

/// The value of one secret: a line of the table `data/secret-values`, keyed by `id`. Only encrypted archives have any.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretValueLine {
    /// [`secret_value_id`].
    pub id: String,
    /// Id of the scope.
    pub scope: String,
    /// Name of the key.
    pub key: String,
    /// The value in Base64, as the service gave it.
    pub value: String,
}

/// Without the value.
impl std::fmt::Debug for SecretValueLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SecretValueLine").field(&self.id).finish()
    }
}

/// The key of a secret's value: `<scope>/<key>`. Neither has a slash.
pub fn secret_value_id(scope: &str, key: &str) -> String {
    format!("{scope}/{key}")
}

/// One object of the workspace tree: a line of the table `data/workspace`, keyed by `path`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkspaceLine {
    /// Exact path in the workspace, without the `/Workspace` prefix.
    pub path: String,
    /// Numeric object id as decimal text; key of the permissions API.
    pub object_id: String,
    /// `NOTEBOOK`, `DIRECTORY`, `FILE`, `REPO` or any other type that the service sent.
    pub object_type: String,
    /// The ObjectInfo as listed before the content was read.
    pub facts: Value,
    /// Where the content stands; absent for directories and for what has no content in this archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentRef>,
}

/// Where the content of a notebook or file stands in the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRef {
    /// Member path below the bag, such as `data/workspace/content/Users/a/nb.py`.
    pub path: String,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256 in lowercase hex.
    pub sha256: String,
    /// Format in which it was read: `SOURCE`, `JUPYTER` or `RAW`.
    pub format: String,
    /// The service's `file_type`, when it named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_type: Option<String>,
}

/// One DBFS file or directory: a line of the table `data/dbfs`, keyed by `path`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DbfsLine {
    /// Absolute DBFS path without the `dbfs:` prefix.
    pub path: String,
    /// True for a directory.
    pub is_dir: bool,
    /// The FileInfo of the reading that was stored.
    pub facts: Value,
    /// Where the content stands; absent for directories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentRef>,
}

/// Access control of one object: a line of the table `data/acls/<kind>`, keyed by `name`, then `id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AclLine {
    /// Name of the kind of the object.
    pub kind: String,
    /// Identity of the object, as used in the permissions API.
    pub id: String,
    /// Name of the object, or its workspace path for kinds of the tree.
    pub name: String,
    /// The service's reply with sorted entries (see [`crate::acl::archive_form`]).
    pub body: Value,
}

/// Table of the workspace tree.
pub const WORKSPACE_TABLE: &str = "data/workspace";
/// Table of DBFS files.
pub const DBFS_TABLE: &str = "data/dbfs";
/// Name in the summary and in the ledger of what [`SECRET_VALUES_TABLE`] holds; no kind of the catalog, as values are no
/// objects of their own.
pub const SECRET_VALUES: &str = "secret-values";
/// Table of the values of secrets.
pub const SECRET_VALUES_TABLE: &str = "data/secret-values";
/// Folder of the contents of notebooks and workspace files.
pub const WORKSPACE_CONTENT: &str = "data/workspace/content";
/// Folder of the contents of DBFS files.
pub const DBFS_CONTENT: &str = "data/dbfs/content";

/// Member path of an object's file; `safe_id` is the id made fit for a file name (archive-format.md, "Payload").
pub fn object_path(kind: &str, safe_id: &str) -> String {
    format!("data/{kind}/{safe_id}.json")
}

/// Table of a kind that is stored as lines, such as `data/users`.
pub fn table(kind: &str) -> String {
    format!("data/{kind}")
}

/// Table of the access control of a kind, such as `data/acls/jobs`.
pub fn acl_table(kind: &str) -> String {
    format!("data/acls/{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_a_round_trip_with_number_texts_and_key_order() {
        let line =
            r#"{"kind":"jobs","id":"7","name":"n","body":{"z":1.50,"a":123456789012345678901}}"#;
        let record: ObjectRecord = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
    }

    #[test]
    fn absent_content_is_absent_in_the_line() {
        let line = r#"{"path":"/a","object_id":"1","object_type":"DIRECTORY","facts":{}}"#;
        let record: WorkspaceLine = serde_json::from_str(line).unwrap();
        assert_eq!(record.content, None);
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
    }

    #[test]
    fn folders_follow_the_kind() {
        assert_eq!(object_path("jobs", "12"), "data/jobs/12.json");
        assert_eq!(acl_table("jobs"), "data/acls/jobs");
        assert_eq!(table("users"), "data/users");
    }
}
