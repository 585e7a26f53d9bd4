//! Git folders (fact sheet, section 14).
//!
//! Recorded as url, branch and commit; a commit cannot be set, so a restored folder is at the head of its branch.

use crate::kind::{
    BASE, Form, Kind, List, NaturalKey, Paging, Permissions, Stage, Target, WRITE, Write, reference,
};

/// The kind.
pub(crate) static KIND: Kind = Kind {
    name: "git-folders",
    singular: "git folder",
    stage: Stage::Workspace,
    list: Some(List {
        path: "/api/2.0/repos",
        array: "repos",
        paging: Paging::NextPageToken,
        // Without it only folders below /Repos are listed.
        query: &[("path_prefix", "/Workspace")],
        only_listed: &[],
    }),
    numeric_id: true,
    label: "path",
    natural_key: NaturalKey::Name("path"),
    server_set: &["id", "head_commit_id"],
    references: &[reference("provider", Target::GitProvider, Form::Name)],
    permissions: Some(Permissions {
        segment: "repos",
        object_type: "repo",
        levels: super::directories::LEVELS,
        has_owner: false,
    }),
    create: Some(Write {
        path: "/api/2.0/repos",
        fields: &["url", "provider", "path", "sparse_checkout"],
        returns_id: Some("id"),
        ..WRITE
    }),
    update: Some(Write {
        method: "PATCH",
        path: "/api/2.0/repos/{id}",
        fields: &["branch", "sparse_checkout"],
        ..WRITE
    }),
    delete: Some(Write {
        method: "DELETE",
        path: "/api/2.0/repos/{id}",
        ..WRITE
    }),
    ..BASE
};
