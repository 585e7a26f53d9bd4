//! Whose an object of the target is, and what may be deleted.

use super::*;

fn user(id: &str, entitlements: &[&str]) -> Value {
    let entitlements: Vec<Value> = entitlements
        .iter()
        .map(|name| json!({ "value": name }))
        .collect();
    json!({ "id": id, "userName": "ada@example.com", "entitlements": entitlements })
}

fn deleting() -> Options {
    Options {
        delete_removed: true,
        ..Options::default()
    }
}

#[test]
fn somebody_else_of_that_name_is_not_the_one_that_was_made() {
    let mut knowledge = Knowledge::default();
    knowledge.apply(&made("users", "5", "50"));
    let ada = record("users", "5", "ada@example.com", user("5", &["a"]));
    let here = |id: &str| target(&[("users", id, user(id, &["a", "b"]))]);
    let plan = |target: &TargetState| {
        plan_of(&archive(vec![ada.clone()]), target, &knowledge, &deleting())
    };
    assert_eq!(
        what(&plan(&here("50")), "ada@example.com").what,
        What::Update
    );
    let other = here("51");
    assert_eq!(what(&plan(&other), "ada@example.com").what, What::Unchanged);

    // Entitlements were added to the other one, and then the person leaves the source.
    let mut result = made("users", "5", "51");
    result.op = Some(Op::Update);
    let mut listed = archive(Vec::new());
    listed.listed.insert("users".to_owned());
    listed.tree = vec![line("/Users", "DIRECTORY", 1)];
    for (line, deleted) in [(made("users", "5", "51"), true), (result, false)] {
        let mut known = knowledge.clone();
        known.apply(&line);
        let prepared = plan_of(&listed, &other, &known, &deleting());
        let deletes = prepared.plan.actions.iter();
        let deletes = deletes.filter(|action| action.what == What::Delete).count();
        assert_eq!(deletes, usize::from(deleted), "{line:?}");
    }
}

#[test]
fn what_was_made_again_under_its_name_takes_over_what_stands_in_the_target() {
    let policy = |id: &str, definition: &str| json!({ "policy_id": id, "name": "p", "definition": definition });
    let there = target(&[("cluster-policies", "T", policy("T", "{}"))]);
    let mut knowledge = Knowledge::default();
    knowledge.apply(&made("cluster-policies", "old", "T"));
    for (definition, writes) in [("{}", false), ("{\"a\":{\"value\":\"1\"}}", true)] {
        let mut archive = archive(vec![record(
            "cluster-policies",
            "new",
            "p",
            policy("new", definition),
        )]);
        archive.listed.insert("cluster-policies".to_owned());
        let options = Options {
            overwrite_changed: true,
            ..deleting()
        };
        let prepared = plan_of(&archive, &there, &knowledge, &options);
        let action = what(&prepared, "p");
        assert_eq!(
            (action.what, action.target.as_deref(), action.writes_object),
            (What::Adopt, Some("T"), writes),
            "{action:?}"
        );
        assert_eq!(action.made(), Made::Created);
        assert_eq!(prepared.plan.actions.len(), 1);

        // Nobody knows that the old one is gone.
        archive.complete = false;
        let prepared = plan_of(&archive, &there, &knowledge, &options);
        assert_ne!(what(&prepared, "p").what, What::Adopt);
    }
}

#[test]
fn a_group_that_was_made_again_under_its_name_is_kept() {
    let mut knowledge = Knowledge::default();
    knowledge.apply(&made("groups", "5", "50"));
    let there = target(&[("groups", "50", group("50", "g", false, &[]))]);
    for (name, deletes) in [("g", 0), ("h", 1)] {
        let mut archive = archive(vec![record(
            "groups",
            "6",
            name,
            group("6", name, false, &[]),
        )]);
        archive.listed.insert("groups".to_owned());
        let prepared = plan_of(&archive, &there, &knowledge, &deleting());
        let actions = prepared.plan.actions.iter();
        let found = actions.filter(|action| action.what == What::Delete).count();
        assert_eq!(found, deletes, "{name}");
    }
}

#[test]
fn a_user_stays_while_his_home_in_the_target_holds_something() {
    let mut knowledge = Knowledge::default();
    knowledge.apply(&made("users", "5", "50"));
    let mut gone = archive(Vec::new());
    gone.listed.insert("users".to_owned());
    gone.tree = vec![line("/Users", "DIRECTORY", 1)];
    let mut there = target(&[("users", "50", user("50", &[]))]);
    let home = "/Users/Ada@example.com";
    there.homes.insert(home.to_owned());
    let options = deleting();
    let filter = Filter::compile(&options.selection).unwrap();
    let looked = removed_paths(&gone, &there, &knowledge, &options, &filter);
    assert!(looked.contains(home), "{looked:?}");
    let deletes = |there: &TargetState| {
        let prepared = plan_of(&gone, there, &knowledge, &options);
        let actions = prepared.plan.actions.into_iter();
        let mut found = actions.filter(|action| action.removed);
        found.next().unwrap().what == What::Delete
    };
    assert!(deletes(&there));
    there.unlisted.insert(home.to_owned(), "403".to_owned());
    assert!(!deletes(&there));
    there.unlisted.clear();
    let note = TreeInfo {
        object_type: "NOTEBOOK".to_owned(),
        object_id: "9".to_owned(),
        language: None,
        modified_at: Some(1),
    };
    there.tree.insert(format!("{home}/his own"), note);
    assert!(!deletes(&there));
}
