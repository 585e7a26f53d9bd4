//! Kinds that are plain JSON objects: pools, policies, global init scripts, clusters, jobs.

use lifeboat_catalog::records::ObjectRecord;
use lifeboat_catalog::{Kind, NaturalKey, Target, order, places};
use serde_json::Value;

use super::build::{Builder, catalog_kind, label};
use super::forms::{
    created_form, desired, desired_active, is_terminated, overrides, same_form, same_overrides,
    target_form, was_changed,
};
use super::matching::Match;
use super::owner::CHANGE_OWNER;
use super::{Action, What};
use crate::difference::differing;
use crate::journal::{Entry, Op};
use crate::preflight::MOST_PINNED;
use crate::resolve::{Link, Rewritten, digest};
use crate::target::TargetObject;

/// Why an object for which another one stands is left alone.
pub(crate) const STAND_IN: &str = "mapped to ";

/// What a body names and the target does not offer.
#[derive(Default)]
struct NotOffered {
    /// The service would refuse the object.
    refused: Vec<String>,
    /// It may refuse it.
    doubtful: Vec<String>,
}

/// Whether a runtime or machine type is one that listings show: not a custom image, and not a name that the service
/// resolves itself (`auto:latest-lts`).
pub(crate) fn is_offered_name(name: &str) -> bool {
    !name.starts_with("auto:") && !name.starts_with("custom:")
}

/// Why an object that an earlier run linked is not made again by a caller from whom the service hides objects.
const UNSEEN: &str = "an earlier import linked it and the caller, who is no workspace administrator, does not see it: it \
                      may still be there, and would be made twice; import as an administrator";

/// Why an object is left alone of which nobody can say whether it is there.
pub(crate) const UNCLEAR: &str = "nobody can say whether the target has it";

pub(super) fn unclear(why: &str) -> String {
    format!("{UNCLEAR}, so it is left alone: {why}; the next run looks again")
}

/// An object that an interrupted create made.
fn recovered(kind: &Kind, action: Action, wanted: &Rewritten, object: TargetObject) -> Action {
    let equal = same_form(kind, &wanted.body, &object.body);
    let mut action = action
        .because("found again after an interrupted create")
        .at(Some(object.id));
    action.recovered = true;
    action.writes_object = !equal || matches!(kind.name, "clusters" | "git-folders");
    action
}

const ACTIVE_TWIN: &str = "one of this name in the target differs only in being active: is the target active, or the journal of another \
     import the right one? Make it passive, and run again with --adopt";
const INTERRUPTED: &str = "ambiguous: the answer to an earlier create was lost, and the target holds an object of this name with other \
     content; --adopt goes on as if it were somebody else's";

impl Builder<'_> {
    pub(super) fn objects(&mut self, kind: &str) {
        let kind = catalog_kind(kind);
        let mut records: Vec<&ObjectRecord> = self.archive.of_kind(kind.name).iter().collect();
        if kind.name == "global-init-scripts" {
            // A script that is inserted shifts those behind it.
            records.sort_by_key(|record| crate::target::integer(&record.body, "position"));
        }
        for record in records {
            if !self.stand_in(kind, record) {
                self.object(kind, record);
            }
        }
    }

    /// A pool or policy for which a map file names another one of the target: references go there, and it is not made.
    fn stand_in(&mut self, kind: &'static Kind, record: &ObjectRecord) -> bool {
        let stand_ins = &self.archive.translation.stand_ins;
        let Some(name) = stand_ins.get(&(kind.name.to_owned(), record.id.clone())) else {
            return false;
        };
        let found = self
            .target
            .of_kind(kind.name)
            .iter()
            .find(|object| kind.label_of(&object.body).as_ref() == Some(name))
            .map(|object| object.id.clone());
        let own_name = label(kind, &record.body, &record.id);
        let action = |what| Action::new(kind.name, &record.id, &own_name, what);
        let action = match found {
            Some(id) => action(What::Skip)
                .because(format!("{STAND_IN}{name}"))
                .at(Some(id)),
            None => action(What::Blocked).because(format!(
                "{STAND_IN}{name}, which does not exist in the target"
            )),
        };
        let link = match &action.target {
            Some(id) => Link::Id(id.clone()),
            None => Link::Absent(action.reason.clone().unwrap_or_default()),
        };
        self.resolver.link(kind.name, &record.id, link);
        if self.is_wanted(kind, record) {
            self.push(action, &[]);
        }
        true
    }

    pub(super) fn jobs(&mut self) {
        let kind = catalog_kind("jobs");
        let records = self.archive.of_kind("jobs");
        let nodes: Vec<(String, &Value)> = records
            .iter()
            .map(|record| (record.id.clone(), &record.body))
            .collect();
        let order = order::jobs(&nodes);
        let by_id = |id: &String| records.iter().find(|record| record.id == *id);
        for circle in &order.circles {
            let members = circle.join(", ");
            for record in circle.iter().filter_map(by_id) {
                self.circular(
                    kind,
                    record,
                    &format!("in a circle of references: jobs {members}"),
                );
            }
        }
        for record in order.behind.iter().filter_map(by_id) {
            self.circular(
                kind,
                record,
                "leads into a circle of references between jobs",
            );
        }
        for record in order.sorted.iter().filter_map(by_id) {
            self.object(kind, record);
        }
    }

    fn circular(&mut self, kind: &'static Kind, record: &ObjectRecord, why: &str) {
        let name = label(kind, &record.body, &record.id);
        let linked = match self.find(kind, record, &Value::Null) {
            Match::Linked(object) => Some(object.id),
            Match::Unclear(linked, _) => linked,
            _ => None,
        };
        let action = Action::new(kind.name, &record.id, &name, What::Blocked)
            .because(why)
            .at(linked);
        self.link_action(kind.name, &record.id, &action);
        if self.is_wanted(kind, record) {
            self.push(action, &[]);
        }
    }

    pub(super) fn object(&mut self, kind: &'static Kind, record: &ObjectRecord) {
        let name = label(kind, &record.body, &record.id);
        let activated = self
            .journal
            .entry(kind.name, &record.id)
            .is_some_and(|entry| entry.activated);
        let wanted = if activated {
            // An apply refuses, and the plan is not to call all of production changed.
            desired_active(kind, &record.body, &self.resolver)
        } else {
            desired(kind, &record.body, &self.resolver)
        };
        let found = self.find(kind, record, &wanted.body);
        if !self.is_wanted(kind, record) {
            return self.unselected(kind, record, found);
        }
        let beside = match found {
            Match::Beside(count) => count,
            _ => 0,
        };
        let mut action = self.decide(kind, record, &name, &wanted, found);
        let offered = self.not_offered(kind, &wanted.body);
        if !offered.refused.is_empty() && action.writes_object {
            action.what = What::Blocked;
            action.writes_object = false;
            action.changes.clear();
            action = action.because(offered.refused.join("; "));
        }
        if !matches!(action.what, What::Skip | What::Blocked) {
            action.notes.extend(wanted.notes);
            action.remarks = wanted.remarks;
            action.remarks.extend(offered.doubtful);
            if beside > 0 && action.what == What::Create {
                action.notes.push(format!(
                    "made beside {beside} of this name that no import made: look which of them is to run"
                ));
            }
        }
        self.owner(kind, record, &mut action);
        self.access(kind, &record.id, &record.id, &mut action);
        self.link_action(kind.name, &record.id, &action);
        let calls = self.object_calls(kind, &action);
        self.push(action, &calls);
    }

    /// Whether the selection takes an object: git folders by path, everything else by id.
    fn is_wanted(&self, kind: &Kind, record: &ObjectRecord) -> bool {
        let path = match kind.name {
            "git-folders" => kind.key_of(&record.body),
            _ => None,
        };
        match path {
            Some(path) => self
                .filter
                .wants(kind.name, lifeboat_catalog::tree::without_alias(&path)),
            None => self.filter.wants(kind.name, &record.id),
        }
    }

    /// Machine types and runtimes of a body that the target does not offer.
    fn not_offered(&self, kind: &Kind, wanted: &Value) -> NotOffered {
        let mut lacks = NotOffered::default();
        let offer = &self.target.offer;
        let (types, versions) = (offer.node_types.known(), offer.spark_versions.known());
        if types.is_none() && versions.is_none() {
            return lacks;
        }
        for found in kind.found_references(wanted) {
            if !found.required() || !is_offered_name(&found.value) {
                continue;
            }
            let place = |what: &str| {
                format!(
                    "{what} {} is not offered by the target ({})",
                    found.value, found.pointer
                )
            };
            match found.to {
                Target::NodeType
                    if types.is_some_and(|types| !types.contains_key(&found.value)) =>
                {
                    // clusters/create refuses it for certain; whether jobs/create does is not documented.
                    if matches!(kind.name, "clusters" | "instance-pools") {
                        lacks.refused.push(place("node type"));
                    } else {
                        lacks.doubtful.push(place("node type"));
                    }
                }
                Target::SparkVersion
                    if versions.is_some_and(|versions| !versions.contains(&found.value)) =>
                {
                    // The service keeps taking some runtimes that it does not list any more.
                    lacks.doubtful.push(place("Spark version"));
                }
                _ => {}
            }
        }
        lacks
    }

    /// Objects outside the selection are links only: what exists may be referred to.
    fn unselected(&mut self, kind: &'static Kind, record: &ObjectRecord, found: Match) {
        let link = match found {
            Match::Linked(object) | Match::Recovered(object) | Match::MadeAgain(object, _) => {
                Link::Id(object.id)
            }
            Match::SameKey(object, true) => Link::Id(object.id),
            Match::SameKey(object, false)
                if !matches!(kind.natural_key, NaturalKey::NameAndContent(_)) =>
            {
                Link::Id(object.id)
            }
            Match::Unclear(Some(linked), _) => Link::Id(linked),
            _ => Link::Absent("not selected".to_owned()),
        };
        self.resolver.link(kind.name, &record.id, link);
    }

    fn decide(
        &mut self,
        kind: &'static Kind,
        record: &ObjectRecord,
        name: &str,
        wanted: &Rewritten,
        found: Match,
    ) -> Action {
        let action = |what| Action::new(kind.name, &record.id, name, what);
        if let Some(reason) = self.target.refused(kind.name) {
            return action(What::Blocked).because(format!(
                "the target's {} cannot be listed: {reason}",
                kind.name
            ));
        }
        let linked = found.linked();
        if self.options.into_source {
            let entry = self.journal.entry(kind.name, &record.id);
            match &found {
                Match::Linked(object) if self.is_unfinished(kind, entry, &object.id) => {}
                Match::Linked(_) | Match::SameKey(..) => {
                    return action(What::Skip).because("exists").at(linked);
                }
                _ => {}
            }
        }
        if !wanted.missing.is_empty() && !matches!(found, Match::Unclear(..)) {
            return action(What::Blocked)
                .because(wanted.missing.join("; "))
                .at(linked);
        }
        let entry = self
            .journal
            .entry(kind.name, &record.id)
            .cloned()
            .unwrap_or_default();
        match found {
            Match::Linked(object) => {
                self.linked(kind, action(What::Unchanged), wanted, &object, &entry)
            }
            Match::MadeAgain(object, earlier) => {
                let mut action =
                    self.linked(kind, action(What::Unchanged), wanted, &object, &earlier);
                if matches!(action.what, What::Unchanged | What::Update) {
                    action.writes_object = action.what == What::Update;
                    action.what = What::Adopt;
                    action.recovered = earlier.is_ours();
                    action = action.because("made again in the source under this name");
                }
                action
            }
            Match::Recovered(object) => recovered(kind, action(What::Adopt), wanted, object),
            Match::SameKey(object, equal) => {
                let equal = if (kind.builtin)(&object.body) {
                    same_overrides(kind, &wanted.body, &object.body)
                } else {
                    equal
                };
                self.same_key(kind, action(What::Adopt), &object, equal, name)
            }
            Match::Ambiguous(count) => {
                self.conflict(kind, name);
                action(What::Blocked).because(format!(
                    "ambiguous: {count} equal objects of this name in the target belong to nobody"
                ))
            }
            Match::Active => {
                self.conflict(kind, name);
                action(What::Blocked).because(ACTIVE_TWIN)
            }
            Match::Interrupted => action(What::Blocked).because(INTERRUPTED),
            Match::Unclear(_, why) => action(What::Blocked).because(unclear(&why)).at(linked),
            Match::Nothing | Match::Beside(_) if (kind.builtin)(&record.body) => {
                action(What::Blocked)
                    .because("a built-in object of this name does not exist in the target")
            }
            Match::Nothing | Match::Beside(_) if entry.is_linked() && !self.target.is_admin => {
                action(What::Blocked).because(UNSEEN).at(entry.target)
            }
            Match::Nothing | Match::Beside(_) => match self.not_cloned(kind, record, wanted) {
                Some(why) => action(What::Blocked).because(why),
                None => action(What::Create),
            },
        }
    }

    /// Why a git folder cannot be cloned, as the service said in an earlier run.
    fn not_cloned(
        &mut self,
        kind: &Kind,
        record: &ObjectRecord,
        wanted: &Rewritten,
    ) -> Option<String> {
        if kind.name != "git-folders" {
            return None;
        }
        let form = digest(&created_form(kind, kind.compare_form(&wanted.body)));
        let why = self.refused_before(kind.name, &record.id, Op::Create, Some(&form))?;
        let (what, command) = clone_todo(&wanted.body);
        let name = label(kind, &record.body, &record.id);
        self.todo(kind.name, &name, what, command);
        Some(format!("not cloned: {why}"))
    }

    /// Whether the service pins one more cluster.
    fn can_pin(&self) -> bool {
        let clusters = self.target.of_kind("clusters").iter();
        clusters
            .filter(|cluster| cluster.body.get("pinned_by_user_name").is_some())
            .count()
            < MOST_PINNED
    }

    fn linked(
        &self,
        kind: &Kind,
        mut action: Action,
        wanted: &Rewritten,
        object: &TargetObject,
        entry: &Entry,
    ) -> Action {
        action.target = Some(object.id.clone());
        let builtin = (kind.builtin)(&object.body);
        let wanted_form = kind.compare_form(&wanted.body);
        let target_form = target_form(kind, &wanted.body, &object.body);
        let unfinished = kind.name == "clusters" && entry.is_ours() && !entry.configured;
        let mut unpinned = kind.name == "clusters" && entry.is_ours() && !entry.pinned;
        if unpinned && !unfinished && !self.can_pin() {
            unpinned = false;
            action.notes.push(format!(
                "not pinned, so the service drops it after 30 days without a run: {MOST_PINNED} clusters are pinned already"
            ));
        }
        let form = digest(&wanted_form);
        if kind.name == "git-folders"
            && wanted_form != target_form
            && let Some(why) = self.refused_before(kind.name, &action.id, Op::Update, Some(&form))
        {
            action.notes.push(not_checked_out(&wanted.body, &why));
            return action;
        }
        // As last written and as last read back: whatever the service made of it, nobody changed it since.
        let untouched = entry.digest.as_deref() == Some(form.as_str())
            && entry.seen.as_deref() == Some(digest(&target_form).as_str());
        if self.options.into_source && !unfinished && !unpinned {
            // Made by an earlier run that did not get to its access control.
            return action;
        }
        if (wanted_form == target_form || untouched) && !wanted.waits && !unfinished && !unpinned {
            return action;
        }
        if builtin && same_overrides(kind, &wanted.body, &object.body) {
            return action;
        }
        if !unfinished
            && wanted_form != target_form
            && !self.options.overwrite_changed
            && was_changed(kind, entry, &target_form, &object.body)
        {
            action.what = What::Skip;
            return action.because(super::CHANGED);
        }
        if kind.name == "clusters"
            && !unfinished
            && !is_terminated(&object.body)
            && wanted_form != target_form
        {
            action.what = What::Blocked;
            return action.because("it is running in the target: an edit would restart it");
        }
        action.what = What::Update;
        action.writes_object = true;
        action.changes = differing(&target_form, &wanted_form, self.options.show_values);
        if unfinished {
            return action.because("unfinished creation");
        }
        action
    }

    /// Whether an earlier run made this object and did not get to its end.
    fn is_unfinished(&self, kind: &Kind, entry: Option<&Entry>, target: &str) -> bool {
        entry.is_some_and(|entry| {
            entry.is_ours()
                && entry.target.as_deref() == Some(target)
                && ((kind.name == "clusters" && (!entry.configured || !entry.pinned))
                    || (kind.permissions.is_some() && entry.access.is_none()))
        })
    }

    fn same_key(
        &mut self,
        kind: &Kind,
        mut action: Action,
        object: &TargetObject,
        equal: bool,
        name: &str,
    ) -> Action {
        if (kind.builtin)(&object.body) {
            action.target = Some(object.id.clone());
            let own = overrides(kind, &object.body).is_some();
            if !equal && own && !self.options.overwrite_changed && !self.comparing {
                action.what = What::Skip;
                return action.because(
                    "it has overrides of its own in the target; kept without --overwrite-changed",
                );
            }
            action.what = if equal { What::Unchanged } else { What::Update };
            action.writes_object = !equal;
            return action;
        }
        action.what = What::Blocked;
        if self.comparing {
            action.target = Some(object.id.clone());
            return action;
        }
        if !self.options.adopt {
            self.conflict(kind, name);
            return action.because("exists in the target and the journal does not know it; --adopt links what is equal");
        }
        if !equal {
            return action.because("exists in the target with other content");
        }
        action.what = What::Adopt;
        action.target = Some(object.id.clone());
        action
    }

    fn object_calls(&self, kind: &Kind, action: &Action) -> Vec<(&'static str, &'static str, u64)> {
        let mut calls = Vec::new();
        if action.writes_owner {
            calls.push(("POST", CHANGE_OWNER, 1));
        }
        let write = match action.what {
            What::Create => kind.create,
            _ => kind.update,
        };
        if action.writes_object
            && let Some(write) = write
        {
            calls.push((write.method, write.path, 1));
            if kind.name == "clusters" && action.what == What::Create {
                // Terminate, edit, pin.
                calls.push(("POST", "/api/2.1/clusters/edit", 3));
                calls.push(("GET", "/api/2.1/clusters/get", 1));
            }
            if kind.name == "git-folders" && action.what == What::Create {
                calls.push(("PATCH", "/api/2.0/repos", 1));
            }
        }
        calls
    }
}

/// What a person has to do about a git folder that could not be cloned, with the command.
pub(crate) fn clone_todo(wanted: &Value) -> (&'static str, String) {
    let text = |place| places::text(wanted, place).unwrap_or_default();
    let (url, provider, path) = (text("url"), text("provider"), text("path"));
    let command = format!("databricks repos create {url} {provider} --path '{path}'");
    (
        "the git folder was not cloned: the remote may need a credential",
        command,
    )
}

/// That a git folder stands at another branch than the recorded one.
pub(crate) fn not_checked_out(wanted: &Value, why: &str) -> String {
    let branch = places::text(wanted, "branch").unwrap_or_default();
    format!("branch {branch} was not checked out: {why}")
}
