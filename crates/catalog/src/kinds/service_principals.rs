//! Service principals (fact sheet, section 12).
//!
//! Known everywhere by their application id; secrets and role rules are not part of a workspace.

use super::users::set_schema;
use crate::kind::{BASE, Kind, Layout, List, NaturalKey, Paging, Stage, WRITE, Write};

/// The kind.
pub(crate) static KIND: Kind = Kind {
    name: "service-principals",
    singular: "service principal",
    stage: Stage::Identities,
    layout: Layout::Table,
    list: Some(List {
        path: "/api/2.0/preview/scim/v2/ServicePrincipals",
        array: "Resources",
        paging: Paging::Scim { count: 1000 },
        query: &[],
        only_listed: &[],
    }),
    label: "displayName",
    natural_key: NaturalKey::FoldedName("applicationId"),
    server_set: &["id", "meta", "groups"],
    defaults: &[("active", "true")],
    unordered: &[
        ("groups", "value"),
        ("entitlements", "value"),
        ("roles", "value"),
        ("schemas", ""),
    ],
    create: Some(Write {
        path: "/api/2.0/preview/scim/v2/ServicePrincipals",
        returns_id: Some("id"),
        ..WRITE
    }),
    update: Some(Write {
        method: "PUT",
        path: "/api/2.0/preview/scim/v2/ServicePrincipals/{id}",
        ..WRITE
    }),
    delete: Some(Write {
        method: "DELETE",
        path: "/api/2.0/preview/scim/v2/ServicePrincipals/{id}",
        ..WRITE
    }),
    shape_request: |request, _| set_schema(request, "ServicePrincipal"),
    ..BASE
};
