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
    for (line, deleted) in [(made("users", "5", "51"), true), (result, false)] {
        let mut known = knowledge.clone();
        known.apply(&line);
        let prepared = plan_of(&listed, &other, &known, &deleting());
        let deletes = prepared.plan.actions.iter();
        let deletes = deletes.filter(|action| action.what == What::Delete).count();
        assert_eq!(deletes, usize::from(deleted), "{line:?}");
    }
}
