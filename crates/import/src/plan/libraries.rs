//! Library lists of clusters: by the difference of what is configured (`spec/import.md`, "Plan").

use lifeboat_catalog::records::ObjectRecord;
use lifeboat_catalog::{Kind, libraries};
use serde_json::{Value, json};

use super::build::{Builder, catalog_kind, label};
use super::forms::desired;
use super::{Action, What};
use crate::journal::Entry;
use crate::resolve::{Link, digest};

impl Builder<'_> {
    pub(super) fn libraries(&mut self) {
        let kind = catalog_kind("libraries");
        for record in self.archive.of_kind("libraries") {
            if !self.filter.wants("libraries", &record.id) {
                continue;
            }
            let action = self.library_list(kind, record);
            self.push(action, &[("POST", "/api/2.0/libraries/install", 1)]);
        }
        self.vanished_lists(kind);
    }

    /// Lists that this tool wrote and the source does not have any more: their clusters, where they are ours, lose what
    /// is on them. Once: what somebody installs there afterwards is his.
    fn vanished_lists(&mut self, kind: &'static Kind) {
        let archive = self.archive;
        if self.comparing || self.options.into_source || !archive.listed.contains(kind.name) {
            return;
        }
        let (journal, lists) = (self.journal, archive.of_kind(kind.name));
        for (id, entry) in journal.of_kind(kind.name) {
            let gone = no_libraries(id);
            let wanted = desired(kind, &gone, &self.resolver).body;
            let taken_off = entry.digest == Some(digest(&kind.compare_form(&wanted)));
            let ours = journal.entry("clusters", id).is_some_and(Entry::is_ours);
            let cluster = archive
                .of_kind("clusters")
                .iter()
                .find(|cluster| cluster.id == id);
            let present = lists.iter().any(|list| list.id == id) || archive.ledger.contains(id);
            let (Some(cluster), Some(Link::Id(target))) =
                (cluster, self.resolver.linked("clusters", id))
            else {
                continue;
            };
            if present
                || taken_off
                || !ours
                || entry.digest.is_none()
                || !self.filter.wants(kind.name, id)
            {
                continue;
            }
            let on_it = self
                .target
                .by_id(kind.name, target)
                .map(|object| &object.body);
            let (_, remove) = library_changes(kind, &gone, on_it, true);
            if remove.is_empty() {
                continue;
            }
            let name = label(catalog_kind("clusters"), &cluster.body, id);
            let action = Action::new(kind.name, id, &name, What::Update)
                .because("its library list is gone from the source")
                .at(Some(target.clone()));
            self.push(action, &[("POST", libraries::UNINSTALL_PATH, 1)]);
        }
    }

    fn library_list(&mut self, kind: &'static Kind, record: &ObjectRecord) -> Action {
        let clusters = self.archive.of_kind("clusters");
        let name = clusters
            .iter()
            .find(|cluster| cluster.id == record.id)
            .map_or_else(
                || record.id.clone(),
                |cluster| label(catalog_kind("clusters"), &cluster.body, &cluster.id),
            );
        let action = |what| Action::new("libraries", &record.id, &name, what);
        let wanted = desired(kind, &record.body, &self.resolver);
        if !wanted.missing.is_empty() {
            return action(What::Blocked).because(wanted.missing.join("; "));
        }
        let mut action = match self.resolver.linked("clusters", &record.id) {
            Some(Link::Id(cluster)) => {
                let cluster = cluster.clone();
                let adopted = !self
                    .journal
                    .entry("clusters", &record.id)
                    .is_some_and(Entry::is_ours);
                let present = self
                    .target
                    .by_id("libraries", &cluster)
                    .map(|object| &object.body);
                let ours = self
                    .journal
                    .entry("clusters", &record.id)
                    .is_some_and(Entry::is_ours);
                let (add, remove) = library_changes(kind, &wanted.body, present, ours);
                if self.options.into_source {
                    action(What::Skip).because("exists").at(Some(cluster))
                } else if add.is_empty() && remove.is_empty() {
                    action(What::Unchanged).at(Some(cluster))
                } else if present.is_none() && !adopted {
                    action(What::Create).at(Some(cluster))
                } else {
                    action(What::Update).at(Some(cluster))
                }
            }
            _ => action(What::Create),
        };
        action.notes = wanted.notes;
        action.remarks = wanted.remarks;
        action
    }
}

/// The list of a cluster without libraries of its own.
pub(crate) fn no_libraries(cluster: &str) -> Value {
    json!({ "cluster_id": cluster, "libraries": [] })
}

/// Libraries to install and, on clusters of ours, to take off.
pub(crate) fn library_changes(
    kind: &Kind,
    wanted: &Value,
    present: Option<&Value>,
    ours: bool,
) -> (Vec<Value>, Vec<Value>) {
    let list = |body: &Value| -> Vec<Value> {
        kind.compare_form(body)
            .get("libraries")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let wanted = list(wanted);
    let present = present.map(list).unwrap_or_default();
    let add = wanted
        .iter()
        .filter(|library| !present.contains(library))
        .cloned()
        .collect();
    let remove = if ours {
        present
            .iter()
            .filter(|library| !wanted.contains(library))
            .cloned()
            .collect()
    } else {
        Vec::new()
    };
    (add, remove)
}
