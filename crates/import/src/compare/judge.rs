//! How one object of the archive compares with the target.

use lifeboat_catalog::records::SECRET_VALUES;
use lifeboat_catalog::{Kind, acl, tree};
use serde_json::Value;

use crate::archived::ArchiveState;
use crate::difference::differing;
use crate::journal::{Knowledge, Op};
use crate::options::Options;
use crate::plan::{self, Action, Prepared};
use crate::report::Verdict;
use crate::resolve::{Access, digest};
use crate::target::{TargetObject, TargetState};

/// One object and how it compares.
pub(super) struct Judged {
    pub kind: String,
    pub id: String,
    pub name: String,
    pub verdict: Verdict,
    pub places: Vec<String>,
    /// The target's form, to be recorded as seen.
    pub form: Option<String>,
    /// An earlier comparison read it, not this one.
    pub known: bool,
}

impl Judged {
    /// An object that was found equal before, and that nobody wrote since.
    pub fn equal(action: &Action) -> Self {
        Self {
            kind: action.kind.clone(),
            id: action.id.clone(),
            name: action.name.clone(),
            verdict: Verdict::Equal,
            places: Vec::new(),
            form: None,
            known: true,
        }
    }
}

pub(super) fn target_id(prepared: &Prepared, kind: &Kind, action: &Action) -> Option<String> {
    action.target.clone().or_else(|| {
        prepared
            .resolver
            .id(kind.name, &action.id)
            .map(str::to_owned)
    })
}

/// The access control that an object should have; `None` when the archive does not say.
pub(super) fn expected_access(
    state: &ArchiveState,
    target: &TargetState,
    prepared: &Prepared,
    kind: &Kind,
    action: &Action,
) -> Option<Access> {
    let in_tree = matches!(kind.name, "directories" | "notebooks" | "files");
    let path = prepared.resolver.path(&action.id);
    let on_the_way = action.reason.as_deref() == Some(plan::ON_THE_WAY);
    if in_tree && (tree::has_fixed_acl(&path) || on_the_way) {
        return None;
    }
    let acl_id = if in_tree {
        let at = state
            .tree
            .binary_search_by(|line| line.path.as_str().cmp(action.id.as_str()))
            .ok()?;
        state.tree[at].object_id.clone()
    } else {
        action.id.clone()
    };
    let archived = state.acl(kind.name, &acl_id)?;
    if kind.name == "directories"
        && path != action.id
        && tree::is_builtin_directory(&action.id)
        && !tree::is_builtin_directory(&path)
    {
        return Some(Access::default());
    }
    Some(
        prepared
            .resolver
            .access(kind, &archived, &target.caller_principal()),
    )
}

pub(super) struct Judge<'a> {
    pub state: &'a ArchiveState,
    pub target: &'a TargetState,
    pub prepared: &'a Prepared,
    pub knowledge: &'a Knowledge,
    pub options: &'a Options,
    /// No import stands beside the comparison that names what it could not restore: the comparison does.
    pub alone: bool,
}

impl Judge<'_> {
    /// Inventoried objects and contents of git folders have nothing to compare; unknown kinds cannot be compared.
    pub fn is_comparable(&self, action: &Action) -> bool {
        if action.removed {
            return false;
        }
        let known =
            lifeboat_catalog::kind(&action.kind).is_some() && action.kind != "workspace-objects";
        let reason = action.reason.as_deref().unwrap_or_default();
        let another = action.what == plan::What::Skip
            && (reason == plan::GIT_CONTENT || reason.starts_with(plan::STAND_IN));
        (known && !another) || (self.alone && lifeboat_catalog::kind(&action.kind).is_none())
    }

    pub fn judge(&self, action: &Action) -> Judged {
        let mut judged = Judged {
            kind: action.kind.clone(),
            id: action.id.clone(),
            name: action.name.clone(),
            verdict: Verdict::Missing,
            places: Vec::new(),
            form: None,
            known: false,
        };
        let Some(kind) = lifeboat_catalog::kind(&action.kind) else {
            judged.verdict = Verdict::Unknown;
            judged.places.extend(action.reason.clone());
            return judged;
        };
        if let Some(reason) = &action.reason
            && (reason.starts_with(plan::uncaptured::NOT_CAPTURED)
                || reason.starts_with(plan::UNCLEAR))
        {
            judged.verdict = Verdict::Unknown;
            judged.places.push(reason.clone());
            return judged;
        }
        match kind.name {
            "directories" => self.directory(action, &mut judged),
            "notebooks" | "files" => self.content(action, &mut judged),
            "dbfs" => self.dbfs(action, &mut judged),
            _ => self.object(kind, action, &mut judged),
        }
        if matches!(judged.verdict, Verdict::Equal | Verdict::Different) {
            self.access(kind, action, &mut judged);
        }
        if judged.verdict == Verdict::Missing
            && let Some(reason) = &action.reason
        {
            judged.places.push(reason.clone());
        }
        judged
    }

    fn directory(&self, action: &Action, judged: &mut Judged) {
        let path = self.prepared.resolver.path(&action.id);
        let exists = path == "/"
            || self
                .target
                .tree
                .get(&path)
                .is_some_and(|info| info.object_type == "DIRECTORY");
        judged.verdict = if exists {
            Verdict::Equal
        } else {
            Verdict::Missing
        };
    }

    fn content(&self, action: &Action, judged: &mut Judged) {
        let path = self.prepared.resolver.path(&action.id);
        let (Some(info), Ok(at)) = (
            self.target.tree.get(&path),
            self.state
                .tree
                .binary_search_by(|line| line.path.as_str().cmp(action.id.as_str())),
        ) else {
            return;
        };
        let line = &self.state.tree[at];
        let Some(content) = &line.content else { return };
        if info.object_type != line.object_type {
            judged.verdict = Verdict::Different;
            judged.places.push("type".to_owned());
            return;
        }
        judged.verdict = match self.target.contents.get(&(action.kind.clone(), path)) {
            Some(read) if self.state.is_read_as(&line.path, content, read) => {
                // The journal holds the digest of what was sent; the service writes such a notebook in its own way.
                let rewritten = content.format == "JUPYTER" || read.digest != content.sha256;
                judged.form = rewritten.then(|| read.digest.clone());
                Verdict::Equal
            }
            Some(_) => {
                judged.places.push("content".to_owned());
                Verdict::Different
            }
            None => {
                judged
                    .places
                    .push("the content cannot be read back".to_owned());
                Verdict::Unknown
            }
        };
        if line.language != info.language {
            judged.verdict = Verdict::Different;
            judged.places.push("language".to_owned());
        }
    }

    fn dbfs(&self, action: &Action, judged: &mut Judged) {
        let Some(line) = self.state.dbfs.iter().find(|line| line.path == action.id) else {
            return;
        };
        let Some(info) = self.target.dbfs.get(&line.path) else {
            return;
        };
        let read = self
            .target
            .contents
            .get(&("dbfs".to_owned(), line.path.clone()));
        let equal = match &line.content {
            None => info.is_dir == line.is_dir,
            Some(content) => read.is_some_and(|read| read.is(&content.sha256)),
        };
        judged.verdict = if equal {
            Verdict::Equal
        } else {
            Verdict::Different
        };
        if !equal {
            judged.places.push("content".to_owned());
        }
    }

    fn object(&self, kind: &'static Kind, action: &Action, judged: &mut Judged) {
        if let Some(reason) = self.target.refused(kind.name) {
            judged.verdict = Verdict::Unknown;
            judged.places.push(reason.to_owned());
            return;
        }
        let Some(record) = self
            .state
            .of_kind(kind.name)
            .iter()
            .find(|record| record.id == action.id)
        else {
            return;
        };
        let Some(id) = target_id(self.prepared, kind, action) else {
            return;
        };
        if kind.name == "libraries" {
            let present = self
                .target
                .by_id("libraries", &id)
                .map(|object| &object.body);
            let wanted = plan::desired(kind, &record.body, &self.prepared.resolver);
            let (add, remove) = plan::library_changes(kind, &wanted.body, present, true);
            return decide(judged, add.is_empty() && remove.is_empty(), "libraries");
        }
        let Some(object) = self.target.by_id(kind.name, &id) else {
            return;
        };
        match kind.name {
            "users" | "service-principals" => {
                let (add, _) = plan::entitlement_changes(&record.body, &object.body, false);
                decide(judged, add.is_empty(), "entitlements");
            }
            "groups" => self.group(action, &record.body, &object.body, judged),
            "secret-scopes" => {
                let changes = plan::acl_changes(
                    &record.body,
                    Some(&object.body),
                    &self.prepared.resolver,
                    self.is_ours(action),
                    &self.target.caller,
                );
                decide(judged, changes.is_empty(), "access control");
                // Values cannot be read everywhere: what is compared is whether they are there, and whose.
                let journal = |id: &str| self.knowledge.entry(SECRET_VALUES, id).cloned();
                let overwrite = self.options.overwrite_changed;
                let target = Some(&object.body);
                let values = plan::value_changes(record, target, self.state, journal, overwrite);
                decide(judged, values.put.is_empty(), "secret values");
            }
            _ => self.plain(kind, action, &record.body, object, judged),
        }
    }

    fn plain(
        &self,
        kind: &Kind,
        action: &Action,
        archived: &Value,
        object: &TargetObject,
        judged: &mut Judged,
    ) {
        let target = &object.body;
        let wanted = if self.is_active(action, &object.id) {
            plan::desired_active(kind, archived, &self.prepared.resolver)
        } else {
            plan::desired(kind, archived, &self.prepared.resolver)
        };
        if (kind.builtin)(target) {
            judged.form = Some(plan::overrides_digest(kind, target));
            return decide(
                judged,
                plan::same_overrides(kind, &wanted.body, target),
                "overrides",
            );
        }
        let wanted_form = kind.compare_form(&wanted.body);
        let target_form = plan::target_form(kind, &wanted.body, target);
        judged.form = Some(digest(&target_form));
        judged.verdict = Verdict::Equal;
        judged.places.extend(
            differing(&target_form, &wanted_form, false)
                .into_iter()
                .map(|change| change.place),
        );
        let resolver = &self.prepared.resolver;
        let entry = self.knowledge.entry(kind.name, &action.id);
        if let Some(owner) = plan::owner_to_set(kind, archived, Some(target), entry, resolver)
            && !plan::is_owner_refused(entry, &owner)
        {
            judged.places.push(plan::OWNER.to_owned());
        }
        if self.alone
            && wanted
                .notes
                .iter()
                .any(|note| note.starts_with("owner missing"))
        {
            judged.places.push("owner missing".to_owned());
        }
        if !judged.places.is_empty() {
            judged.verdict = Verdict::Different;
        }
    }

    /// What was activated has the state of the source, and so has what still stands in the source itself.
    fn is_active(&self, action: &Action, target: &str) -> bool {
        let entry = self.knowledge.entry(&action.kind, &action.id);
        entry.is_some_and(|entry| entry.activated)
            || (self.options.into_source && target == action.id)
    }

    fn is_ours(&self, action: &Action) -> bool {
        self.knowledge
            .entry(&action.kind, &action.id)
            .is_some_and(crate::journal::Entry::is_ours)
    }

    fn group(&self, action: &Action, archived: &Value, target: &Value, judged: &mut Judged) {
        let account = plan::of_the_account(archived, target);
        let managed_here =
            !account && action.name != "users" && (action.name != "admins" || self.options.admins);
        let entry = self.knowledge.entry(&action.kind, &action.id);
        let ours = entry.zip(action.target.as_deref());
        let ours = ours.is_some_and(|(entry, target)| entry.is_ours_as(target));
        let (add, remove) = plan::entitlement_changes(archived, target, ours && !account);
        decide(judged, add.is_empty() && remove.is_empty(), "entitlements");
        if managed_here {
            let members = plan::Members::of(archived, &self.prepared.resolver);
            let unnamed = self.alone && !members.notes.is_empty();
            if unnamed || !plan::member_changes(&members, target, ours).is_empty() {
                decide(judged, false, "members");
            }
        }
    }

    /// An object whose access control the archive does not hold.
    fn unsaid_access(&self, kind: &Kind, action: &Action, judged: &mut Judged) {
        let in_tree = matches!(kind.name, "directories" | "notebooks" | "files");
        let fixed = in_tree && tree::has_fixed_acl(&self.prepared.resolver.path(&action.id));
        if self.alone && !fixed && !self.state.without_access.contains(kind.name) {
            if judged.verdict == Verdict::Equal {
                judged.verdict = Verdict::Unknown;
            }
            judged
                .places
                .push("the archive does not hold its access control".to_owned());
        }
    }

    fn access(&self, kind: &Kind, action: &Action, judged: &mut Judged) {
        let Some(permissions) = kind.permissions else {
            return;
        };
        let Some(expected) = expected_access(self.state, self.target, self.prepared, kind, action)
        else {
            return self.unsaid_access(kind, action, judged);
        };
        let Some(id) = target_id(self.prepared, kind, action) else {
            return;
        };
        match self.target.acls.get(&(permissions.segment.to_owned(), id)) {
            Some(read)
                if acl::same(&acl::grants(&read.value()), &expected.grants)
                    && (!self.alone || expected.notes.is_empty()) => {}
            Some(_) => decide(judged, false, plan::ACCESS_CONTROL),
            // An import beside it names that as a gap.
            None if !self.alone && is_access_off(self.knowledge, kind, action, &expected) => {}
            None if judged.verdict == Verdict::Equal => {
                judged.verdict = Verdict::Unknown;
                judged
                    .places
                    .push("the access control cannot be read back".to_owned());
            }
            None => {}
        }
    }
}

/// Whether the target said, when this access control was to be written, that it has none.
pub(super) fn is_access_off(
    knowledge: &Knowledge,
    kind: &Kind,
    action: &Action,
    expected: &Access,
) -> bool {
    let entry = knowledge.entry(kind.name, &action.id);
    entry.is_some_and(|entry| {
        entry
            .refusal(Op::Access, Some(&expected.digest()))
            .is_some()
    })
}

fn decide(judged: &mut Judged, equal: bool, place: &str) {
    if equal {
        if judged.verdict == Verdict::Missing {
            judged.verdict = Verdict::Equal;
        }
    } else {
        judged.verdict = Verdict::Different;
        judged.places.push(place.to_owned());
    }
}
