//! Plans of states made by hand and by chance.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lifeboat_catalog::records::{ContentRef, ObjectRecord};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::archived::ArchiveState;
use crate::filter::Filter;
use crate::held::TreeLine;
use crate::journal::{Knowledge, Line, LineKind, Op};
use crate::options::Options;
use crate::target::{Listed, TargetObject, TargetState, TreeInfo};
use lifeboat_catalog::selection::Selection;

fn record(kind: &str, id: &str, name: &str, body: Value) -> ObjectRecord {
    ObjectRecord {
        kind: kind.to_owned(),
        id: id.to_owned(),
        name: name.to_owned(),
        body,
    }
}

fn archive(objects: Vec<ObjectRecord>) -> ArchiveState {
    let mut state = ArchiveState {
        archive_id: "archive".to_owned(),
        workspace_id: "1".to_owned(),
        complete: true,
        ..ArchiveState::default()
    };
    for object in objects {
        state
            .objects
            .entry(object.kind.clone())
            .or_default()
            .push(object);
    }
    state
}

fn target(objects: &[(&str, &str, Value)]) -> TargetState {
    let mut kinds: BTreeMap<String, Listed> = BTreeMap::new();
    for kind in lifeboat_catalog::kinds() {
        let own = objects
            .iter()
            .filter(|(name, ..)| *name == kind.name)
            .map(|(_, id, body)| TargetObject {
                id: (*id).to_owned(),
                body: body.clone(),
            })
            .collect();
        kinds.insert(kind.name.to_owned(), Listed::Yes(own));
    }
    TargetState {
        workspace_id: "2".to_owned(),
        caller: "admin@example.com".to_owned(),
        is_admin: true,
        kinds,
        ..TargetState::default()
    }
}

fn job(id: &str, name: &str, settings: Value) -> ObjectRecord {
    let mut settings = settings;
    settings["name"] = json!(name);
    record(
        "jobs",
        id,
        name,
        json!({ "job_id": id.parse::<u64>().unwrap(), "settings": settings }),
    )
}

fn cluster(id: &str, name: &str) -> ObjectRecord {
    record("clusters", id, name, cluster_body(id, name))
}

fn cluster_body(id: &str, name: &str) -> Value {
    json!({ "cluster_id": id, "cluster_name": name, "spark_version": "15.4", "node_type_id": "n", "num_workers": 1 })
}

fn linked(knowledge: &mut Knowledge, kind: &str, id: &str, target: &str) {
    let mut line = Line::new(LineKind::Result, "archive");
    line.op = Some(Op::Create);
    line.kind = Some(kind.to_owned());
    line.id = Some(id.to_owned());
    line.target = Some(target.to_owned());
    line.ok = Some(true);
    knowledge.apply(&line);
    line.op = Some(Op::Configure);
    knowledge.apply(&line);
    line.op = Some(Op::Pin);
    knowledge.apply(&line);
}

fn plan_of(
    archive: &ArchiveState,
    target: &TargetState,
    knowledge: &Knowledge,
    options: &Options,
) -> Prepared {
    build(
        archive,
        target,
        knowledge,
        options,
        &Filter::compile(&options.selection).unwrap(),
    )
}

/// The plan of an import into an empty target.
fn plan_into_nothing(archive: &ArchiveState) -> Prepared {
    plan_of(
        archive,
        &target(&[]),
        &Knowledge::default(),
        &Options::default(),
    )
}

fn what<'p>(prepared: &'p Prepared, name: &str) -> &'p Action {
    prepared
        .plan
        .actions
        .iter()
        .find(|action| action.name == name)
        .unwrap()
}

#[test]
fn an_unresolved_id_blocks_with_its_name_and_its_place() {
    let archive = archive(vec![job(
        "1",
        "j",
        json!({ "tasks": [{ "task_key": "t", "existing_cluster_id": "c" }] }),
    )]);
    let prepared = plan_into_nothing(&archive);
    let action = what(&prepared, "j");
    assert_eq!(action.what, What::Blocked);
    let reason = action.reason.as_deref().unwrap();
    assert!(
        reason.contains("cluster c is not in the archive") && reason.contains("/settings/tasks/0"),
        "{reason}"
    );
}

#[test]
fn jobs_follow_the_jobs_that_they_run_and_circles_are_blocked() {
    let runs =
        |id: u64| json!({ "tasks": [{ "task_key": "t", "run_job_task": { "job_id": id } }] });
    let archive = archive(vec![
        job("11", "last", runs(12)),
        job("12", "first", json!({})),
        job("13", "round", runs(14)),
        job("14", "and round", runs(13)),
        job("15", "behind", runs(13)),
    ]);
    let prepared = plan_into_nothing(&archive);
    let order: Vec<&str> = prepared
        .plan
        .actions
        .iter()
        .filter(|action| action.what == What::Create)
        .map(|action| action.name.as_str())
        .collect();
    assert_eq!(order, ["first", "last"]);
    assert!(
        what(&prepared, "round")
            .reason
            .as_deref()
            .unwrap()
            .contains("circle")
    );
    assert!(
        what(&prepared, "behind")
            .reason
            .as_deref()
            .unwrap()
            .contains("circle")
    );
}

#[test]
fn a_blocked_object_blocks_what_needs_it() {
    let mut pooled = cluster("c", "pooled");
    pooled.body["instance_pool_id"] = json!("nowhere");
    let archive = archive(vec![
        pooled,
        job(
            "1",
            "j",
            json!({ "tasks": [{ "task_key": "t", "existing_cluster_id": "c" }] }),
        ),
    ]);
    let prepared = plan_into_nothing(&archive);
    assert_eq!(what(&prepared, "pooled").what, What::Blocked);
    let reason = what(&prepared, "j").reason.clone().unwrap();
    assert!(
        reason.contains("cluster c: instance pool nowhere"),
        "{reason}"
    );
}

fn not_read(
    kind: &str,
    id: &str,
    name: &str,
    fate: lifeboat_archive::Fate,
) -> lifeboat_archive::LedgerLine {
    lifeboat_archive::LedgerLine {
        kind: kind.to_owned(),
        id: id.to_owned(),
        name: name.to_owned(),
        fate,
        request: None,
        status: Some(500),
        code: None,
        message: "the service is out of order".to_owned(),
    }
}

#[test]
fn what_the_export_could_not_read_is_a_gap_of_the_import() {
    use lifeboat_archive::Fate;
    let mut archive = archive(vec![job("1", "read", json!({}))]);
    archive.failed = vec![
        not_read("jobs", "2", "nightly", Fate::Failed),
        not_read("notebooks", "77", "/Shared/report", Fate::Failed),
        not_read("jobs", "1", "read", Fate::Failed),
    ];
    let mut knowledge = Knowledge::default();
    linked(&mut knowledge, "jobs", "2", "20");
    let mut options = Options::default();
    let blocked = |options: &Options| {
        let prepared = plan_of(&archive, &target(&[]), &knowledge, options);
        let actions = prepared.plan.actions.into_iter();
        actions
            .filter(|action| action.what == What::Blocked)
            .map(|action| (action.id, action.reason.unwrap()))
            .collect::<Vec<_>>()
    };
    let all = blocked(&options);
    assert_eq!(
        all.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(),
        ["2", "/Shared/report"]
    );
    assert!(
        all[0].1.starts_with(
            "not captured by the export: the service is out of order; what an earlier"
        ),
        "{all:?}"
    );
    options.selection.kinds = Some(vec!["notebooks".to_owned()]);
    assert_eq!(blocked(&options).len(), 1);
    options.into_source = true;
    let mut there = target(&[]);
    there
        .tree
        .insert("/Shared/report".to_owned(), TreeInfo::default());
    let prepared = plan_of(&archive, &there, &knowledge, &options);
    assert_eq!(what(&prepared, "/Shared/report").what, What::Skip);
}

#[test]
fn what_a_caller_may_not_see_is_not_made_twice() {
    let archive = archive(vec![cluster("c", "one"), job("1", "j", json!({}))]);
    let mut knowledge = Knowledge::default();
    linked(&mut knowledge, "clusters", "c", "C");
    linked(&mut knowledge, "jobs", "1", "10");
    let mut target = target(&[]);
    for (is_admin, expected) in [(false, What::Blocked), (true, What::Create)] {
        target.is_admin = is_admin;
        let prepared = plan_of(&archive, &target, &knowledge, &Options::default());
        assert_eq!(what(&prepared, "one").what, expected);
        assert_eq!(what(&prepared, "j").what, expected);
    }
    // What no import made yet may well be made by such a caller.
    target.is_admin = false;
    let prepared = plan_of(
        &archive,
        &target,
        &Knowledge::default(),
        &Options::default(),
    );
    assert_eq!(what(&prepared, "j").what, What::Create);
}

#[test]
fn a_running_cluster_is_not_restarted_by_an_edit() {
    let archive = archive(vec![cluster("c", "one")]);
    let mut knowledge = Knowledge::default();
    linked(&mut knowledge, "clusters", "c", "C");
    let mut body = cluster_body("C", "one");
    body["num_workers"] = json!(9);
    for (state, expected) in [("RUNNING", What::Blocked), ("TERMINATED", What::Update)] {
        body["state"] = json!(state);
        let prepared = plan_of(
            &archive,
            &target(&[("clusters", "C", body.clone())]),
            &knowledge,
            &Options::default(),
        );
        assert_eq!(what(&prepared, "one").what, expected, "{state}");
    }
}

#[test]
fn clusters_of_one_name_are_told_apart_by_the_journal() {
    let archive = archive(vec![cluster("a", "twin"), cluster("b", "twin")]);
    let mut knowledge = Knowledge::default();
    linked(&mut knowledge, "clusters", "a", "A");
    linked(&mut knowledge, "clusters", "b", "B");
    let bodies = [
        ("clusters", "B", cluster_body("B", "twin")),
        ("clusters", "A", cluster_body("A", "twin")),
    ];
    let prepared = plan_of(&archive, &target(&bodies), &knowledge, &Options::default());
    let targets: Vec<Option<&str>> = prepared
        .plan
        .actions
        .iter()
        .map(|action| action.target.as_deref())
        .collect();
    assert_eq!(targets, [Some("A"), Some("B")]);
    assert!(prepared.plan.is_empty());
}

#[test]
fn existing_people_keep_everything_but_missing_entitlements() {
    let archive = archive(vec![record(
        "users",
        "5",
        "Ada@Example.com",
        json!({ "id": "5", "userName": "Ada@Example.com", "displayName": "Ada",
                "entitlements": [{ "value": "workspace-access" }] }),
    )]);
    let there = json!({ "id": "50", "userName": "ada@example.com", "displayName": "other",
                        "entitlements": [{ "value": "allow-cluster-create" }] });
    let prepared = plan_of(
        &archive,
        &target(&[("users", "50", there)]),
        &Knowledge::default(),
        &Options::default(),
    );
    let action = what(&prepared, "Ada@Example.com");
    assert_eq!(
        (action.what, action.reason.as_deref()),
        (What::Update, Some("entitlements"))
    );
    assert!(
        prepared.conflicts.is_empty(),
        "people are nobody's property"
    );
    let (add, remove) = entitlement_changes(
        &json!({ "entitlements": [{ "value": "a" }] }),
        &json!({ "entitlements": [{ "value": "b" }] }),
        false,
    );
    assert_eq!((add, remove), (vec!["a".to_owned()], Vec::new()));
}

#[test]
fn members_leave_only_groups_of_our_making() {
    let present = json!({ "members": [{ "value": "1" }, { "value": "2" }] });
    let members = Members {
        ids: BTreeSet::from(["2".to_owned(), "3".to_owned()]),
        ..Members::default()
    };
    let theirs = member_changes(&members, &present, false);
    assert_eq!(
        (theirs.add, theirs.remove),
        (vec!["3".to_owned()], Vec::new())
    );
    let ours = member_changes(&members, &present, true);
    assert_eq!(ours.remove, ["1"]);
}

#[test]
fn built_in_policies_are_matched_by_name_and_only_their_overrides_count() {
    let body = |id: &str, overrides: &str| {
        json!({ "policy_id": id, "name": "Personal Compute", "is_default": true, "policy_family_id": "personal-vm",
                "definition": "{}", "policy_family_definition_overrides": overrides })
    };
    let archive = archive(vec![record(
        "cluster-policies",
        "P",
        "Personal Compute",
        body("P", "{\"a\":{\"value\":\"1\"}}"),
    )]);
    let same = target(&[(
        "cluster-policies",
        "Q",
        body("Q", "{ \"a\": { \"value\": \"1\" } }"),
    )]);
    let prepared = plan_of(&archive, &same, &Knowledge::default(), &Options::default());
    assert_eq!(what(&prepared, "Personal Compute").what, What::Unchanged);
    assert!(prepared.conflicts.is_empty());
    let other = target(&[("cluster-policies", "Q", body("Q", "{}"))]);
    let prepared = plan_of(&archive, &other, &Knowledge::default(), &Options::default());
    assert_eq!(what(&prepared, "Personal Compute").what, What::Update);
    let prepared = plan_into_nothing(&archive);
    assert_eq!(
        what(&prepared, "Personal Compute").what,
        What::Blocked,
        "never created"
    );
}

#[test]
fn a_kind_that_cannot_be_listed_is_not_an_empty_one() {
    let archive = archive(vec![cluster("c", "one")]);
    let mut state = target(&[]);
    state
        .kinds
        .insert("clusters".to_owned(), Listed::No("403".to_owned()));
    let prepared = plan_of(&archive, &state, &Knowledge::default(), &Options::default());
    assert_eq!(what(&prepared, "one").what, What::Blocked);
}

#[test]
fn unknown_kinds_are_named_and_not_restored() {
    let mut archive = archive(Vec::new());
    archive.unknown.insert("sql-queries".to_owned(), 3);
    let prepared = plan_into_nothing(&archive);
    let action = what(&prepared, "3 objects");
    assert_eq!(
        (action.what, action.reason.as_deref()),
        (What::Blocked, Some("not restored: unknown kind"))
    );
    assert!(prepared.plan.has_blocked());
}

#[test]
fn an_interrupted_create_is_recognised_and_a_stranger_of_that_name_is_not_taken_for_it() {
    let archive = archive(vec![cluster("c", "one")]);
    let mut knowledge = Knowledge::default();
    let mut intent = Line::new(LineKind::Intent, "archive");
    intent.op = Some(Op::Create);
    intent.kind = Some("clusters".to_owned());
    intent.id = Some("c".to_owned());
    knowledge.apply(&intent);
    let mut landed = cluster_body("C", "one");
    landed["autotermination_minutes"] = json!(10);
    let prepared = plan_of(
        &archive,
        &target(&[("clusters", "C", landed.clone())]),
        &knowledge,
        &Options::default(),
    );
    let action = what(&prepared, "one");
    assert_eq!(
        (action.what, action.recovered, action.writes_object),
        (What::Adopt, true, true)
    );
    landed["num_workers"] = json!(99);
    let prepared = plan_of(
        &archive,
        &target(&[("clusters", "C", landed)]),
        &knowledge,
        &Options::default(),
    );
    let action = what(&prepared, "one");
    assert_eq!(action.what, What::Blocked);
    assert!(action.reason.as_deref().unwrap().contains("ambiguous"));
}

/// A later step of the same directory must not hide that its create was never answered.
#[test]
fn a_directory_whose_create_had_no_answer_is_linked_as_made_by_this_tool() {
    let mut archive = archive(Vec::new());
    archive.tree = vec![line("/Shared/a", "DIRECTORY", 1)];
    let mut state = target(&[]);
    state.tree.insert(
        "/Shared/a".to_owned(),
        TreeInfo {
            object_type: "DIRECTORY".to_owned(),
            object_id: "7".to_owned(),
            ..TreeInfo::default()
        },
    );
    let mut knowledge = Knowledge::default();
    let mut intent = line_of(Op::Create, "directories", "/Shared/a");
    intent.line = LineKind::Intent;
    knowledge.apply(&intent);
    let prepared = plan_of(&archive, &state, &knowledge, &Options::default());
    let action = what(&prepared, "/Shared/a");
    assert_eq!((action.what, action.recovered), (What::Adopt, true));
}

fn line(path: &str, object_type: &str, id: usize) -> TreeLine {
    let content = (object_type == "NOTEBOOK").then(|| ContentRef {
        path: format!("data/workspace/content{path}"),
        size: 1,
        sha256: format!("digest of {path}"),
        format: "SOURCE".to_owned(),
        file_type: None,
    });
    TreeLine {
        path: path.to_owned(),
        object_id: id.to_string(),
        object_type: object_type.to_owned(),
        language: Some("PYTHON".to_owned()),
        content,
    }
}

/// A tree from random choices: each number hangs a directory or a notebook below an earlier directory.
fn tree_of(choices: &[(usize, bool)]) -> Vec<TreeLine> {
    let mut directories = vec!["/Shared".to_owned()];
    let mut lines = vec![line("/Shared", "DIRECTORY", 1)];
    for (number, (parent, is_directory)) in choices.iter().enumerate() {
        let above = &directories[parent % directories.len()];
        let path = format!("{above}/n{number}");
        if *is_directory {
            lines.push(line(&path, "DIRECTORY", number + 10));
            directories.push(path);
        } else {
            lines.push(line(&path, "NOTEBOOK", number + 10));
        }
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    lines
}

/// The target and the journal after an import of this tree.
fn imported(lines: &[TreeLine], state: &mut TargetState, knowledge: &mut Knowledge) {
    for line in lines {
        let kind = lifeboat_catalog::tree::kind_of(&line.object_type).name;
        let id = format!("9{}", line.object_id);
        let info = TreeInfo {
            object_type: line.object_type.clone(),
            object_id: id.clone(),
            language: Some("PYTHON".to_owned()),
            modified_at: Some(77),
        };
        state.tree.insert(line.path.clone(), info);
        let mut result = Line::new(LineKind::Result, "archive");
        result.op = Some(Op::Create);
        result.kind = Some(kind.to_owned());
        result.id = Some(line.path.clone());
        result.target = Some(id.clone());
        result.ok = Some(true);
        result.digest = line.content.as_ref().map(|content| content.sha256.clone());
        knowledge.apply(&result);
        let mut seen = Line::new(LineKind::Seen, "archive");
        seen.kind = Some(kind.to_owned());
        seen.id = Some(line.path.clone());
        seen.target = Some(id);
        seen.modified_at = Some(77);
        knowledge.apply(&seen);
    }
}

proptest! {
    #[test]
    fn every_object_has_one_action_and_directories_come_before_what_is_in_them(
        choices in proptest::collection::vec((0_usize..50, any::<bool>()), 0..60),
    ) {
        let mut state = archive(Vec::new());
        state.tree = tree_of(&choices);
        let prepared = plan_of(&state, &target(&[]), &Knowledge::default(), &Options::default());
        let position: HashMap<&str, usize> =
            prepared.plan.actions.iter().enumerate().map(|(at, action)| (action.id.as_str(), at)).collect();
        prop_assert_eq!(position.len(), state.tree.len());
        prop_assert_eq!(prepared.plan.actions.len(), state.tree.len());
        for line in &state.tree {
            if let Some(above) = parent(&line.path).filter(|above| *above != "/") {
                prop_assert!(position[above] < position[line.path.as_str()]);
            }
        }
        let again = plan_of(&state, &target(&[]), &Knowledge::default(), &Options::default());
        prop_assert_eq!(prepared.plan.actions, again.plan.actions);
    }

    #[test]
    fn after_an_import_the_plan_is_empty_and_after_a_change_it_is_that_change(
        choices in proptest::collection::vec((0_usize..50, any::<bool>()), 1..60),
        pick in any::<proptest::sample::Index>(),
    ) {
        let mut state = archive(Vec::new());
        state.tree = tree_of(&choices);
        let mut there = target(&[]);
        let mut knowledge = Knowledge::default();
        imported(&state.tree, &mut there, &mut knowledge);
        let prepared = plan_of(&state, &there, &knowledge, &Options::default());
        prop_assert!(prepared.plan.is_empty(), "{:?}", prepared.plan.actions);

        let notebooks: Vec<usize> = (0..state.tree.len()).filter(|at| state.tree[*at].content.is_some()).collect();
        if !notebooks.is_empty() {
            let at = notebooks[pick.index(notebooks.len())];
            let path = state.tree[at].path.clone();
            if let Some(content) = &mut state.tree[at].content {
                "another".clone_into(&mut content.sha256);
            }
            let prepared = plan_of(&state, &there, &knowledge, &Options::default());
            let work: Vec<(&str, What)> = prepared
                .plan
                .actions
                .iter()
                .filter(|action| action.has_work())
                .map(|action| (action.id.as_str(), action.what))
                .collect();
            prop_assert_eq!(work, vec![(path.as_str(), What::Update)]);

            // Changed there, too: kept, unless told otherwise.
            there.tree.get_mut(&path).unwrap().modified_at = Some(78);
            let prepared = plan_of(&state, &there, &knowledge, &Options::default());
            prop_assert!(prepared.plan.is_empty());
            let overwrite = Options { overwrite_changed: true, ..Options::default() };
            let prepared = plan_of(&state, &there, &knowledge, &overwrite);
            prop_assert!(!prepared.plan.is_empty());
        }
    }

    #[test]
    fn a_selection_takes_what_it_names_and_the_directories_above(
        choices in proptest::collection::vec((0_usize..50, any::<bool>()), 1..60),
        pick in any::<proptest::sample::Index>(),
    ) {
        let mut state = archive(Vec::new());
        state.tree = tree_of(&choices);
        let chosen = state.tree[pick.index(state.tree.len())].path.clone();
        let selection = Selection { include: vec![chosen.clone()], ..Selection::default() };
        let options = Options { selection, ..Options::default() };
        let prepared = plan_of(&state, &target(&[]), &Knowledge::default(), &options);
        for action in &prepared.plan.actions {
            let inside = lifeboat_catalog::paths::is_below(&action.id, &chosen);
            let above = lifeboat_catalog::paths::is_below(&chosen, &action.id);
            prop_assert!(inside || above, "{}", action.id);
        }
        let expected = state.tree.iter().filter(|line| lifeboat_catalog::paths::is_below(&line.path, &chosen)).count();
        let inside = prepared
            .plan
            .actions
            .iter()
            .filter(|action| lifeboat_catalog::paths::is_below(&action.id, &chosen))
            .count();
        prop_assert_eq!(inside, expected);
    }
}

#[test]
fn inner_groups_come_first_also_where_members_do_not_say_what_they_are() {
    let group = |id: &str, name: &str, member: &str| {
        record(
            "groups",
            id,
            name,
            json!({ "id": id, "displayName": name, "members": [{ "value": member }] }),
        )
    };
    let archive = archive(vec![group("1", "outer", "2"), group("2", "inner", "9")]);
    let prepared = plan_into_nothing(&archive);
    let order: Vec<&str> = prepared
        .plan
        .actions
        .iter()
        .map(|action| action.name.as_str())
        .collect();
    assert_eq!(order, ["inner", "outer"]);
    assert_eq!(
        what(&prepared, "inner").notes,
        ["member missing: 9 exists nowhere"]
    );
    assert!(what(&prepared, "outer").notes.is_empty());
}

fn group(id: &str, name: &str, of_the_account: bool, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
    let resource = if of_the_account {
        "Group"
    } else {
        "WorkspaceGroup"
    };
    json!({ "id": id, "displayName": name, "meta": { "resourceType": resource }, "members": members })
}

fn line_of(op: Op, kind: &str, id: &str) -> Line {
    let mut line = Line::new(LineKind::Intent, "archive");
    line.op = Some(op);
    line.kind = Some(kind.to_owned());
    line.id = Some(id.to_owned());
    line
}

/// The answer to a create.
fn made(kind: &str, id: &str, target: &str) -> Line {
    let mut result = line_of(Op::Create, kind, id);
    result.line = LineKind::Result;
    result.ok = Some(true);
    result.target = Some(target.to_owned());
    result
}

#[test]
fn whom_a_refused_listing_hides_is_not_taken_for_missing() {
    let person = json!({ "id": "5", "userName": "ada@example.com" });
    let runs_as = json!({ "run_as": { "user_name": "ada@example.com" } });
    let mut archive = archive(vec![
        record("users", "5", "ada@example.com", person),
        job("1", "j", runs_as),
    ]);
    archive.tree = vec![
        line("/Users", "DIRECTORY", 1),
        line("/Users/bo@example.com", "DIRECTORY", 2),
    ];
    let mut state = target(&[]);
    state
        .kinds
        .insert("users".to_owned(), Listed::No("403".to_owned()));
    let prepared = plan_of(&archive, &state, &Knowledge::default(), &Options::default());
    assert_eq!(what(&prepared, "ada@example.com").what, What::Blocked);
    let notes = &what(&prepared, "j").notes;
    assert!(
        !notes.iter().any(|note| note.contains("exists nowhere")),
        "{notes:?}"
    );
    let home = what(&prepared, "/Users/bo@example.com");
    assert_eq!(home.remarks, Vec::<String>::new(), "it is no orphan");
}

#[test]
fn nobody_leaves_a_group_of_which_the_archive_may_not_name_all_members() {
    let mut archive = archive(vec![record(
        "groups",
        "1",
        "ours",
        group("1", "ours", false, &["5"]),
    )]);
    let mut knowledge = Knowledge::default();
    linked(&mut knowledge, "groups", "1", "10");
    let there = target(&[("groups", "10", group("10", "ours", false, &["50", "51"]))]);
    let prepared = plan_of(&archive, &there, &knowledge, &Options::default());
    assert_eq!(what(&prepared, "ours").what, What::Unchanged);

    archive.objects.get_mut("groups").unwrap()[0].body = group("1", "ours", false, &[]);
    let prepared = plan_of(&archive, &there, &knowledge, &Options::default());
    assert_eq!(
        what(&prepared, "ours").what,
        What::Update,
        "all are known: none"
    );
    archive.partial_identities = BTreeSet::from(["users".to_owned()]);
    let prepared = plan_of(&archive, &there, &knowledge, &Options::default());
    assert_eq!(what(&prepared, "ours").what, What::Unchanged);
}

#[test]
fn a_group_of_the_account_is_not_merged_into_a_local_one() {
    let archive = archive(vec![record(
        "groups",
        "1",
        "data",
        group("1", "data", true, &[]),
    )]);
    let there = target(&[("groups", "10", group("10", "data", false, &[]))]);
    let prepared = plan_of(&archive, &there, &Knowledge::default(), &Options::default());
    let action = what(&prepared, "data");
    assert_eq!(action.what, What::Blocked);
    assert!(action.reason.as_deref().unwrap().contains("local group"));
    assert_eq!(prepared.conflicts, ["group data"]);
    let same = target(&[("groups", "10", group("10", "data", true, &[]))]);
    let prepared = plan_of(&archive, &same, &Knowledge::default(), &Options::default());
    assert_eq!(what(&prepared, "data").what, What::Unchanged);
}

#[test]
fn the_importer_never_runs_or_owns_a_job_in_silence() {
    let mut archive = archive(vec![job("1", "j", json!({}))]);
    let nothing = Knowledge::default();
    let prepared = plan_of(&archive, &target(&[]), &nothing, &Options::default());
    let notes = what(&prepared, "j").notes.join("; ");
    assert!(notes.contains("as whom it runs"), "{notes}");
    assert!(notes.contains("the importer owns it"), "{notes}");
    assert!(notes.contains("access control"), "{notes}");

    archive.without_access = BTreeSet::from(["jobs".to_owned()]);
    archive.objects.get_mut("jobs").unwrap()[0].body["run_as_user_name"] =
        json!("admin@example.com");
    let prepared = plan_of(&archive, &target(&[]), &nothing, &Options::default());
    assert_eq!(what(&prepared, "j").notes, Vec::<String>::new());
}

#[test]
fn a_job_that_somebody_changed_is_kept_and_one_that_nobody_changed_follows_the_archive() {
    let kind = lifeboat_catalog::kind("jobs").unwrap();
    let settings = |pause: &str| json!({ "schedule": { "quartz_cron_expression": "0", "pause_status": pause } });
    let body = |settings: Value| {
        let mut record = job("9", "j", settings);
        record.body["run_as_user_name"] = json!("admin@example.com");
        record
    };
    let mut source = body(settings("UNPAUSED"));
    source.id = "1".to_owned();
    let archive_of = |source: &ObjectRecord| archive(vec![source.clone()]);
    let resolver = plan_of(
        &archive_of(&source),
        &target(&[]),
        &Knowledge::default(),
        &Options::default(),
    )
    .resolver;
    let wanted = desired(kind, &source.body, &resolver);
    let mut knowledge = Knowledge::default();
    let mut intent = line_of(Op::Create, "jobs", "1");
    intent.digest = Some(crate::resolve::digest(&kind.compare_form(&wanted.body)));
    knowledge.apply(&intent);
    knowledge.apply(&made("jobs", "1", "9"));
    // The service added something of its own, which was seen when it was read back.
    let mut landed = body(settings("PAUSED")).body;
    landed["settings"]["description"] = json!("of the service");
    let mut seen = Line::new(LineKind::Seen, "archive");
    seen.kind = Some("jobs".to_owned());
    seen.id = Some("1".to_owned());
    seen.digest = Some(crate::resolve::digest(&target_form(
        kind,
        &wanted.body,
        &landed,
    )));
    knowledge.apply(&seen);

    let there = target(&[("jobs", "9", landed.clone())]);
    let plan = |source: &ObjectRecord, there: &TargetState, options: &Options| {
        let prepared = plan_of(&archive_of(source), there, &knowledge, options);
        what(&prepared, "j").what
    };
    let options = Options::default();
    assert_eq!(plan(&source, &there, &options), What::Unchanged);
    let mut newer = source.clone();
    newer.body["settings"]["timeout_seconds"] = json!(77);
    assert_eq!(plan(&newer, &there, &options), What::Update);

    landed["settings"]["schedule"]["pause_status"] = json!("UNPAUSED");
    let unpaused = target(&[("jobs", "9", landed)]);
    assert_eq!(plan(&source, &unpaused, &options), What::Skip);
    assert_eq!(plan(&newer, &unpaused, &options), What::Skip);
    let overwrite = Options {
        overwrite_changed: true,
        ..Options::default()
    };
    assert_eq!(plan(&source, &unpaused, &overwrite), What::Update);

    // An update without an answer may have left what it was about to write, and nothing else.
    let mut intent = line_of(Op::Update, "jobs", "1");
    intent.digest = Some(crate::resolve::digest(&target_form(
        kind,
        &wanted.body,
        &unpaused.by_id("jobs", "9").unwrap().body,
    )));
    let mut ours = knowledge.clone();
    ours.apply(&intent);
    let prepared = plan_of(&archive_of(&source), &unpaused, &ours, &options);
    assert_eq!(what(&prepared, "j").what, What::Update);
    intent.digest = Some("another".to_owned());
    knowledge.apply(&intent);
    let prepared = plan_of(&archive_of(&source), &unpaused, &knowledge, &options);
    assert_eq!(what(&prepared, "j").what, What::Skip);
}

#[test]
fn of_several_objects_that_a_lost_create_may_have_made_none_is_chosen() {
    let archive = archive(vec![cluster("c", "one")]);
    let mut knowledge = Knowledge::default();
    knowledge.apply(&line_of(Op::Create, "clusters", "c"));
    let twins = [
        ("clusters", "A", cluster_body("A", "one")),
        ("clusters", "B", cluster_body("B", "one")),
    ];
    let prepared = plan_of(&archive, &target(&twins), &knowledge, &Options::default());
    assert_eq!(what(&prepared, "one").what, What::Blocked);
    let prepared = plan_of(
        &archive,
        &target(&twins[..1]),
        &knowledge,
        &Options::default(),
    );
    assert_eq!(what(&prepared, "one").what, What::Adopt);
}

#[test]
fn an_import_into_the_source_is_resumed() {
    let into = Options {
        into_source: true,
        ..Options::default()
    };
    let archive = archive(vec![cluster("c", "one")]);
    let mut knowledge = Knowledge::default();
    knowledge.apply(&line_of(Op::Create, "clusters", "c"));
    let there = target(&[("clusters", "C", cluster_body("C", "one"))]);
    let action = |knowledge: &Knowledge, there: &TargetState| {
        let prepared = plan_of(&archive, there, knowledge, &into);
        let action = what(&prepared, "one");
        (action.what, action.target.clone())
    };
    let id = Some("C".to_owned());
    assert_eq!(action(&knowledge, &there), (What::Adopt, id.clone()));
    let mut other = cluster_body("C", "one");
    other["num_workers"] = json!(50);
    let foreign = target(&[("clusters", "C", other)]);
    assert_eq!(action(&knowledge, &foreign).0, What::Blocked);

    // Made, and not brought to rest.
    knowledge.apply(&made("clusters", "c", "C"));
    assert_eq!(action(&knowledge, &there), (What::Update, id.clone()));
    linked(&mut knowledge, "clusters", "c", "C");
    let mut access = line_of(Op::Access, "clusters", "c");
    access.line = LineKind::Result;
    access.ok = Some(true);
    access.digest = Some("granted".to_owned());
    knowledge.apply(&access);
    assert_eq!(action(&knowledge, &there), (What::Skip, id));
}

#[test]
fn what_was_made_again_in_the_target_gets_its_grants_again() {
    let mut state = archive(Vec::new());
    state.tree = tree_of(&[(0, false)]);
    let acls = state
        .tree
        .iter()
        .map(|line| (line.object_id.clone(), json!({}).into()))
        .collect();
    state.acls.insert("notebooks".to_owned(), acls);
    let mut there = target(&[]);
    let mut knowledge = Knowledge::default();
    imported(&state.tree, &mut there, &mut knowledge);
    let mut access = line_of(Op::Access, "notebooks", "/Shared/n0");
    access.line = LineKind::Result;
    access.ok = Some(true);
    access.digest = Some(crate::resolve::Access::default().digest());
    knowledge.apply(&access);
    let grants = |there: &TargetState| {
        let prepared = plan_of(&state, there, &knowledge, &Options::default());
        what(&prepared, "/Shared/n0").writes_access
    };
    assert!(!grants(&there));
    let info = there.tree.get_mut("/Shared/n0").unwrap();
    "another".clone_into(&mut info.object_id);
    let key = ("notebooks".to_owned(), "/Shared/n0".to_owned());
    there.contents.insert(key, content("digest of /Shared/n0"));
    assert!(grants(&there));
}

fn content(digest: &str) -> crate::target::Content {
    crate::target::Content {
        digest: digest.to_owned(),
        without_header: None,
        normal: None,
    }
}

/// What is planned for a content of which the target holds `read` after this intent.
fn content_after(intent: &Line, linked: bool, read: &str, format: &str) -> What {
    let mut state = archive(Vec::new());
    state.tree = tree_of(&[(0, false)]);
    if let Some(content) = &mut state.tree[1].content {
        format.clone_into(&mut content.format);
    }
    let mut there = target(&[]);
    let mut knowledge = Knowledge::default();
    imported(&state.tree, &mut there, &mut knowledge);
    if !linked {
        let (shared, _) = state.tree.split_at(1);
        knowledge = Knowledge::default();
        imported(shared, &mut target(&[]), &mut knowledge);
    }
    knowledge.apply(intent);
    let info = there.tree.get_mut("/Shared/n0").unwrap();
    info.modified_at = Some(78);
    let key = ("notebooks".to_owned(), "/Shared/n0".to_owned());
    there.contents.insert(key, content(read));
    let prepared = plan_of(&state, &there, &knowledge, &Options::default());
    what(&prepared, "/Shared/n0").what
}

#[test]
fn what_a_run_that_died_wrote_is_nobody_elses_edit() {
    for (op, linked) in [(Op::Update, true), (Op::Create, false)] {
        let mut intent = line_of(op, "notebooks", "/Shared/n0");
        intent.digest = Some("of an earlier archive".to_owned());
        let after = |read: &str| content_after(&intent, linked, read, "SOURCE");
        assert_eq!(after("of an earlier archive"), What::Update, "{op:?}");
        let kept = if linked { What::Skip } else { What::Blocked };
        assert_eq!(after("of somebody"), kept, "{op:?}");
    }
    // A Jupyter notebook is read back in another form than it was sent in.
    let mut seen = Line::new(LineKind::Seen, "archive");
    seen.kind = Some("notebooks".to_owned());
    seen.id = Some("/Shared/n0".to_owned());
    seen.digest = Some("as the service writes it".to_owned());
    let after = |read: &str| content_after(&seen, true, read, "JUPYTER");
    assert_eq!(after("as the service writes it"), What::Update);
    assert_eq!(after("of somebody"), What::Skip);
}

#[test]
fn a_part_of_a_dbfs_file_that_a_run_left_is_written_again() {
    let mut state = archive(Vec::new());
    state.dbfs = vec![lifeboat_catalog::records::DbfsLine {
        path: "/large".to_owned(),
        is_dir: false,
        facts: json!({}),
        content: Some(ContentRef {
            path: "data/dbfs/large".to_owned(),
            size: 9,
            sha256: "whole".to_owned(),
            format: "RAW".to_owned(),
            file_type: None,
        }),
    }];
    let mut there = target(&[]);
    let info = crate::target::DbfsInfo {
        size: 4,
        ..crate::target::DbfsInfo::default()
    };
    there.dbfs.insert("/large".to_owned(), info);
    let mut knowledge = Knowledge::default();
    let blocked = plan_of(&state, &there, &knowledge, &Options::default());
    assert_eq!(what(&blocked, "/large").what, What::Blocked);
    knowledge.apply(&line_of(Op::Create, "dbfs", "/large"));
    let prepared = plan_of(&state, &there, &knowledge, &Options::default());
    let action = what(&prepared, "/large");
    assert_eq!((action.what, action.recovered), (What::Update, true));
}

mod ownership;
mod unclear;
