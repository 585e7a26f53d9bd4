//! Objects of which nobody can say whether the target has them.

use super::*;
use crate::target::Unclear;

fn unclear(kind: &str, id: &str, key: Option<&str>) -> TargetState {
    let mut state = target(&[]);
    let one = Unclear {
        id: id.to_owned(),
        key: key.map(str::to_owned),
        why: "listed and not read".to_owned(),
    };
    state.unclear.insert(kind.to_owned(), vec![one]);
    state
}

#[test]
fn what_is_linked_and_unclear_is_blocked_and_still_referred_to() {
    let mut knowledge = Knowledge::default();
    linked(&mut knowledge, "clusters", "c", "C");
    let tasks = json!({ "tasks": [{ "task_key": "a", "existing_cluster_id": "c" }] });
    let archive = archive(vec![cluster("c", "one"), job("5", "user", tasks)]);
    let state = unclear("clusters", "C", None);
    let prepared = plan_of(&archive, &state, &knowledge, &Options::default());
    let cluster = what(&prepared, "one");
    assert_eq!(
        (cluster.what, cluster.target.as_deref()),
        (What::Blocked, Some("C"))
    );
    assert!(cluster.reason.as_deref().unwrap().contains("not read"));
    assert_eq!(what(&prepared, "user").what, What::Create);
}

#[test]
fn an_unclear_object_of_the_same_name_is_not_made_beside() {
    let archive = archive(vec![job("5", "one", json!({}))]);
    let state = unclear("jobs", "50", Some("one"));
    let plan = |knowledge: &Knowledge| {
        let prepared = plan_of(&archive, &state, knowledge, &Options::default());
        what(&prepared, "one").clone()
    };
    let blocked = plan(&Knowledge::default());
    assert_eq!((blocked.what, blocked.target), (What::Blocked, None));
    // It belongs to another object of the source.
    let mut knowledge = Knowledge::default();
    linked(&mut knowledge, "jobs", "6", "50");
    assert_eq!(plan(&knowledge).what, What::Create);
}

#[test]
fn a_group_that_is_unclear_or_built_in_is_never_made_and_keeps_its_grants() {
    let group =
        |id: &str, name: &str| record("groups", id, name, json!({ "id": id, "displayName": name }));
    let archive = archive(vec![group("1", "users"), group("2", "ops")]);
    let state = unclear("groups", "20", Some("ops"));
    let prepared = plan_of(&archive, &state, &Knowledge::default(), &Options::default());
    for name in ["users", "ops"] {
        assert_eq!(what(&prepared, name).what, What::Blocked, "{name}");
        let grantee = lifeboat_catalog::acl::Principal {
            kind: lifeboat_catalog::Target::Group,
            name: name.to_owned(),
        };
        assert!(prepared.resolver.principal(&grantee).is_some(), "{name}");
    }
    assert_eq!(prepared.resolver.id("groups", "2"), Some("20"));
}

#[test]
fn what_is_gone_from_the_source_and_unclear_is_named() {
    let mut knowledge = Knowledge::default();
    knowledge.apply(&made("jobs", "5", "50"));
    let mut archive = archive(Vec::new());
    archive.listed.insert("jobs".to_owned());
    let options = Options {
        delete_removed: true,
        ..Options::default()
    };
    let prepared = plan_of(&archive, &unclear("jobs", "50", None), &knowledge, &options);
    let [kept] = &prepared.plan.actions[..] else {
        panic!("{:?}", prepared.plan.actions)
    };
    assert_eq!(kept.what, What::Skip);
    assert!(kept.reason.as_deref().unwrap().contains("not read"));
}
