//! References: finding and rewriting the places where a body names other objects.
//!
//! Owns the walk over a kind's reference table (spec/records.md, "References"); what an id maps to is the caller's.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Number, Value};

use crate::index::Index;
use crate::json_text;
use crate::kind::{Form, Kind, Reference, Target};
use crate::paths::{self, Located};
use crate::places;

/// The reference table of each kind as an index, by name.
static INDEXES: LazyLock<HashMap<&str, Index>> = LazyLock::new(|| {
    let index = |kind: &Kind| Index::new(kind.references.iter().map(|reference| reference.place));
    crate::kinds()
        .iter()
        .map(|kind| (kind.name, index(kind)))
        .collect()
});

/// A reference found in a body.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// JSON pointer of the value. Inside JSON text it is the pointer of the string, `#`, and the pointer within the text.
    pub pointer: String,
    /// What it leads to; decided by the value where the table leaves it open (paths, members).
    pub to: Target,
    /// How it is written.
    pub form: Form,
    /// The id, name or path, without prefix (`/Workspace`, `dbfs:`).
    pub value: String,
}

impl Found {
    /// True when an object that does not exist must be reported as an error: an id or a path that the service will look
    /// up. False for addresses, free arguments, storage outside the workspace, Key Vaults, ids of the account, and machine
    /// types and runtimes in policies, which the service does not look up.
    pub fn required(&self) -> bool {
        let in_policy = self.pointer.contains('#');
        match self.to {
            Target::EmailAddress | Target::AnyPath | Target::BudgetPolicy | Target::KeyVault => {
                false
            }
            Target::NodeType | Target::SparkVersion => !in_policy,
            _ => self.form != Form::Argument,
        }
    }
}

impl Kind {
    /// Every reference in a body, in the order of the table, then of the body.
    pub fn found_references(&self, body: &Value) -> Vec<Found> {
        let mut found = Vec::new();
        for (position, pointer, value) in self.reference_values(body) {
            edit(
                body,
                &self.references[position],
                &pointer,
                value,
                &mut |one| {
                    found.push(one.clone());
                    None
                },
            );
        }
        found
    }

    /// Replaces each reference by what `f` returns for it; `None` leaves it as it is. Nothing else changes: numbers stay
    /// numbers, prefixes of paths stay, JSON text inside strings keeps its spacing.
    pub fn rewrite(&self, body: &mut Value, f: &mut dyn FnMut(&Found) -> Option<String>) {
        let mut changes = Vec::new();
        for (position, pointer, value) in self.reference_values(body) {
            let reference = &self.references[position];
            if let Some(changed) = edit(body, reference, &pointer, value, f) {
                changes.push((reference.form, pointer, changed));
            }
        }
        for (form, pointer, changed) in changes {
            if let Some(slot) = body.pointer_mut(&pointer) {
                let before = std::mem::replace(slot, changed);
                if form == Form::Member {
                    rewrite_member_ref(body, &pointer, &before);
                }
            }
        }
    }

    fn reference_values<'v>(&self, body: &'v Value) -> Vec<(usize, String, &'v Value)> {
        INDEXES
            .get(self.name)
            .map_or_else(Vec::new, |index| index.find(body))
    }
}

/// The new value of one place, or `None` when nothing changes.
fn edit(
    body: &Value,
    reference: &Reference,
    pointer: &str,
    value: &Value,
    f: &mut dyn FnMut(&Found) -> Option<String>,
) -> Option<Value> {
    let text = places::scalar(value)?;
    let mut ask = |to, form, value: &str, pointer: String| {
        f(&Found {
            pointer,
            to,
            form,
            value: value.to_owned(),
        })
        .filter(|new| new != value)
    };
    let here = pointer.to_owned();
    let changed = match reference.form {
        Form::Id | Form::Name => {
            if text.is_empty() {
                return None;
            }
            ask(reference.to, reference.form, &text, here)
        }
        Form::Member => ask(member_target(body, pointer), Form::Member, &text, here),
        Form::Path | Form::DbfsPath => {
            let located = match reference.form {
                Form::DbfsPath => paths::locate_dbfs(&text),
                _ => paths::locate(&text),
            };
            rewrite_path(&text, located, reference.form, here, &mut ask)
        }
        Form::Argument => {
            let (before, path) = paths::argument(&text)?;
            rewrite_path(path, paths::locate(path), Form::Argument, here, &mut ask)
                .map(|new| format!("{before}{new}"))
        }
        Form::SecretText => paths::rewrite_secrets(&text, &mut |scope| {
            ask(Target::SecretScope, Form::SecretText, scope, here.clone())
        }),
        Form::InString => json_text::rewrite_policy(&text, pointer, f),
    }?;
    Some(like(value, changed))
}

fn rewrite_path(
    text: &str,
    located: Located<'_>,
    form: Form,
    pointer: String,
    ask: &mut dyn FnMut(Target, Form, &str, String) -> Option<String>,
) -> Option<String> {
    match located {
        Located::Workspace { prefix, path } => {
            ask(Target::WorkspacePath, form, path, pointer).map(|new| format!("{prefix}{new}"))
        }
        Located::Dbfs { prefix, path } => {
            ask(Target::DbfsPath, form, path, pointer).map(|new| format!("{prefix}{new}"))
        }
        Located::Outside => ask(Target::AnyPath, form, text, pointer),
        Located::Relative => None,
    }
}

/// `new` in the JSON type of `old`.
fn like(old: &Value, new: String) -> Value {
    match old {
        Value::Number(_) => match new.parse::<Number>() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::String(new),
        },
        _ => Value::String(new),
    }
}

fn member_ref<'v>(body: &'v Value, pointer: &str) -> Option<&'v str> {
    let (member, _) = pointer.rsplit_once('/')?;
    body.pointer(member)?.get("$ref")?.as_str()
}

fn member_target(body: &Value, pointer: &str) -> Target {
    match member_ref(body, pointer) {
        Some(path) if path.contains("ServicePrincipals/") => Target::ServicePrincipal,
        Some(path) if path.contains("Groups/") => Target::Group,
        Some(path) if path.contains("Users/") => Target::User,
        _ => Target::Principal,
    }
}

/// `$ref` beside a rewritten member gets the new id too, so that the two never disagree.
fn rewrite_member_ref(body: &mut Value, pointer: &str, before: &Value) {
    let Some((member, _)) = pointer.rsplit_once('/') else {
        return;
    };
    let (Some(old), Some(new)) = (
        places::scalar(before),
        body.pointer(pointer).and_then(places::scalar),
    ) else {
        return;
    };
    if let Some(Value::String(path)) = body
        .pointer_mut(member)
        .and_then(|member| member.get_mut("$ref"))
        && let Some(folder) = path.strip_suffix(old.as_str())
    {
        *path = format!("{folder}{new}");
    }
}
