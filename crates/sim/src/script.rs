//! Scripted changes of the workspace between two calls: what another user does while a client walks.

use bytes::Bytes;
use serde_json::Value;

use crate::faults::glob;
use crate::tree::{self, Object};
use crate::world::World;

/// What somebody else does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Moves or renames an object of the tree; its object id stays.
    Move {
        /// Path before.
        from: String,
        /// Path after; its parent must exist.
        to: String,
    },
    /// Deletes an object of the tree with everything below.
    Delete {
        /// Its path.
        path: String,
    },
    /// Writes a Python notebook.
    Write {
        /// Its path.
        path: String,
        /// Source text after the header line.
        text: String,
    },
    /// Adds a user.
    AddUser {
        /// User name.
        name: String,
    },
    /// Ends all tokens that were issued.
    ExpireTokens,
}

/// An action with the call after which it happens, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// `GET`, ...; empty for any.
    pub method: String,
    /// Path with `*`; empty for any.
    pub path: String,
    /// Text that the decoded query must hold.
    pub query: String,
    /// Matching calls that pass first.
    pub skip: u64,
    /// What happens then.
    pub action: Action,
}

impl Script {
    /// `{"method", "path", "query", "skip", "action": {"move": {"from", "to"}}}`, or `delete {path}`,
    /// `write {path, text}`, `add_user {name}`, `expire_tokens {}`.
    ///
    /// # Errors
    /// Text that says what is missing.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or("").to_owned();
        let (name, fields) = value["action"]
            .as_object()
            .and_then(|map| map.iter().next())
            .ok_or("a script needs an action")?;
        let action = match name.as_str() {
            "move" => Action::Move {
                from: text(fields, "from"),
                to: text(fields, "to"),
            },
            "delete" => Action::Delete {
                path: text(fields, "path"),
            },
            "write" => Action::Write {
                path: text(fields, "path"),
                text: text(fields, "text"),
            },
            "add_user" => Action::AddUser {
                name: text(fields, "name"),
            },
            "expire_tokens" => Action::ExpireTokens,
            other => return Err(format!("unknown action {other}")),
        };
        Ok(Self {
            method: text(value, "method"),
            path: text(value, "path"),
            query: text(value, "query"),
            skip: value["skip"].as_u64().unwrap_or(0),
            action,
        })
    }

    fn fits(&self, method: &str, path: &str, query: &str) -> bool {
        (self.method.is_empty() || self.method == method)
            && (self.path.is_empty() || glob(&self.path, path))
            && query.contains(&self.query)
    }
}

/// Counts an answered call and carries out the scripts that are due; each once.
pub(crate) fn run(
    scripts: &mut Vec<Script>,
    world: &mut World,
    method: &str,
    path: &str,
    query: &str,
) {
    scripts.retain_mut(|script| {
        if !script.fits(method, path, query) {
            return true;
        }
        if script.skip > 0 {
            script.skip -= 1;
            return true;
        }
        act(world, &script.action);
        false
    });
}

fn act(world: &mut World, action: &Action) {
    let admin = world.admin();
    match action {
        Action::Move { from, to } => {
            tree::rename(world, from, to);
        }
        Action::Delete { path } => {
            tree::remove(world, path);
        }
        Action::Write { path, text } => {
            let content = Bytes::from(format!("# Databricks notebook source\n{text}"));
            let notebook = Object::Notebook {
                language: "PYTHON",
                content,
                jupyter: false,
            };
            tree::put(world, path, notebook, &admin);
        }
        Action::AddUser { name } => {
            crate::identities::add_user(world, name, name, false);
        }
        Action::ExpireTokens => crate::oauth::expire_all(world),
    }
}
