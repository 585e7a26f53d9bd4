//! One element of a folder's listing, and whether it belongs into the archive.

use std::borrow::Cow;

use lifeboat_archive::Fate;
use lifeboat_catalog::{Kind, places, tree as rules};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::context::Context;
use crate::ledger::line;

/// An element of a listing, understood as far as the walk needs it.
pub(crate) struct Entry {
    pub(crate) name: Box<str>,
    pub(crate) object_id: Box<str>,
    pub(crate) object_type: Box<str>,
    pub(crate) kind: &'static Kind,
    /// What the archive adds to the name.
    pub(crate) extension: &'static str,
    /// The ObjectInfo as the service wrote it.
    pub(crate) raw: Box<str>,
}

#[derive(Deserialize)]
struct Info<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow, default)]
    object_type: Option<Cow<'a, str>>,
    #[serde(default)]
    object_id: Option<Value>,
    #[serde(borrow, default)]
    language: Option<Cow<'a, str>>,
}

/// What is to be done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Not in the archive; its fate is stated.
    Out,
    /// A folder that is walked for what may be below it.
    Passing,
    /// In the archive.
    Included,
}

impl Entry {
    /// Understands an element of the listing of `folder`. `Ok(None)` when it is the folder itself, which the service
    /// answers for a path that is no folder (any more).
    pub(crate) fn parse(
        folder: &str,
        raw: &RawValue,
        notebook_format: &str,
    ) -> Result<Option<Self>, String> {
        let info: Info<'_> = serde_json::from_str(raw.get()).map_err(|error| error.to_string())?;
        let path = rules::without_alias(&info.path);
        if path == folder {
            return Ok(None);
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.is_empty() {
            return Err(format!("the path {path:?} has no name"));
        }
        let object_id = info
            .object_id
            .as_ref()
            .and_then(places::scalar)
            .unwrap_or_default();
        let object_type = info.object_type.unwrap_or_default();
        let extension = match &*object_type {
            "NOTEBOOK" => rules::notebook_extension(info.language.as_deref(), notebook_format),
            _ => "",
        };
        Ok(Some(Self {
            name: name.into(),
            object_id: object_id.into(),
            kind: rules::kind_of(&object_type),
            object_type: (*object_type).into(),
            extension,
            raw: raw.get().into(),
        }))
    }

    /// Whether this run lists what is inside.
    pub(crate) fn is_walked(&self, git_folder_files: bool) -> bool {
        rules::is_folder(&self.object_type) && (self.kind.name != "git-folders" || git_folder_files)
    }

    /// Decides by rules and selection, and states the fate of what is left out.
    pub(crate) fn decide(&self, ctx: &Context<'_>, path: &str) -> Decision {
        let out = |message: String| {
            if ctx.selected.kind(self.kind.name) {
                ctx.ledger.gap(&line(
                    self.kind.name,
                    &self.object_id,
                    path,
                    Fate::Excluded,
                    message,
                ));
            }
            Decision::Out
        };
        if let Some(rule) = rules::excluded(path) {
            return out(format!("rule: {rule}"));
        }
        if let Some(pattern) = ctx.selected.excluded_by(path) {
            return out(format!("excluded by {pattern:?}"));
        }
        let walked = self.is_walked(ctx.options.git_folder_files);
        if ctx.selected.includes(path) {
            return match ctx.selected.kind(self.kind.name) {
                true => Decision::Included,
                false if walked => Decision::Passing,
                false => Decision::Out,
            };
        }
        if walked && ctx.selected.may_include_below(path) {
            return Decision::Passing;
        }
        out("not included by the selection".to_owned())
    }
}
