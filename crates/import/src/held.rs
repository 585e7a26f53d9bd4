//! Records in the form in which a run holds a hundred thousand of them: a tree of JSON values takes ten times the memory of
//! its text.

use lifeboat_catalog::records::{ContentRef, WorkspaceLine};
use serde::Deserialize;
use serde_json::Value;

/// A reply of the service, held as text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "Value")]
pub struct Reply(Box<str>);

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self(value.to_string().into())
    }
}

impl Reply {
    /// The reply itself.
    #[must_use]
    #[expect(clippy::expect_used, reason = "the text was made of a value")]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).expect("the text of a value")
    }
}

/// An object of the archived tree, with those of its facts that an import looks at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "WorkspaceLine")]
pub struct TreeLine {
    /// As in [`WorkspaceLine`].
    pub path: String,
    /// As in [`WorkspaceLine`].
    pub object_id: String,
    /// As in [`WorkspaceLine`].
    pub object_type: String,
    /// Language of a notebook, as the service names it.
    pub language: Option<String>,
    /// As in [`WorkspaceLine`].
    pub content: Option<ContentRef>,
}

impl From<WorkspaceLine> for TreeLine {
    fn from(line: WorkspaceLine) -> Self {
        Self {
            language: lifeboat_catalog::places::text(&line.facts, "language"),
            path: line.path,
            object_id: line.object_id,
            object_type: line.object_type,
            content: line.content,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_held_is_what_was_read() {
        let body = json!({"object_id": "1", "access_control_list": [{"user_name": "\u{e9}\"\n", "n": 1.5}]});
        assert_eq!(Reply::from(body.clone()).value(), body);
        let line = json!({"path": "/a", "object_id": "5", "object_type": "NOTEBOOK", "facts": {"language": "SQL", "size": 7}});
        let line: TreeLine = serde_json::from_value(line).unwrap();
        assert_eq!(line.language.as_deref(), Some("SQL"));
    }
}
