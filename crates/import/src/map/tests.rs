//! Translation of whole archives: what follows the names, what is refused, and the way back.

use std::collections::BTreeSet;

use lifeboat_catalog::records::{ContentRef, ObjectRecord};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::parse::MapFile;
use super::translate::translate;
use super::{Translation, prefix};
use crate::archived::ArchiveState;
use crate::held::TreeLine;

fn record(kind: &str, id: &str, name: &str, body: Value) -> ObjectRecord {
    ObjectRecord {
        kind: kind.to_owned(),
        id: id.to_owned(),
        name: name.to_owned(),
        body,
    }
}

fn line(object_type: &str, id: usize, path: &str) -> TreeLine {
    TreeLine {
        path: path.to_owned(),
        object_id: id.to_string(),
        object_type: object_type.to_owned(),
        language: None,
        content: (object_type == "NOTEBOOK").then(|| ContentRef {
            path: format!("data/workspace/content{path}"),
            size: 1,
            sha256: String::new(),
            format: "SOURCE".to_owned(),
            file_type: None,
        }),
    }
}

/// An archive of these users, each with a home, a notebook, a job of his own and a grant.
fn archive(users: &BTreeSet<String>, folders: &BTreeSet<String>) -> ArchiveState {
    let mut state = ArchiveState {
        complete: true,
        ..ArchiveState::default()
    };
    let mut lines = vec![
        line("DIRECTORY", 1, "/"),
        line("DIRECTORY", 2, "/Shared"),
        line("DIRECTORY", 3, "/Users"),
    ];
    for (number, user) in users.iter().enumerate() {
        let name = format!("{user}@old.example");
        let body = json!({
            "id": number.to_string(), "userName": name, "displayName": name,
            "emails": [{"value": name, "primary": true}, {"value": "other@old.example"}],
        });
        push(
            &mut state,
            record("users", &number.to_string(), &name, body),
        );
        let home = format!("/Users/{name}");
        let notebook = format!("{home}/nb");
        let at = lines.len() + 1;
        lines.push(line("DIRECTORY", at, &home));
        lines.push(line("NOTEBOOK", at + 1, &notebook));
        let grant =
            json!({"user_name": name, "all_permissions": [{"permission_level": "CAN_MANAGE"}]});
        let grants = json!({"access_control_list": [grant, {"group_name": "crew"}]});
        state
            .acls
            .entry("notebooks".to_owned())
            .or_default()
            .insert((at + 1).to_string(), grants.into());
        let job = json!({
            "job_id": number, "run_as_user_name": name,
            "settings": {
                "name": format!("job of {user}"),
                "email_notifications": {"on_start": [name, "list@old.example"]},
                "tasks": [{
                    "task_key": "a", "notebook_task": {"notebook_path": format!("/Workspace{notebook}")},
                    "new_cluster": {
                        "node_type_id": "Standard_D3_v2", "spark_version": "15.4.x-scala2.12", "single_user_name": name,
                        "spark_conf": {"fs.azure.account.key.one.dfs.core.windows.net": "abfss://x@one.dfs.core.windows.net/"},
                    },
                }, {"task_key": "b", "spark_python_task": {"python_file": "/Shared/team/x.py", "parameters": ["/Workspace/Shared/team/y", name]}}],
            },
        });
        push(&mut state, record("jobs", &number.to_string(), "", job));
    }
    push(
        &mut state,
        record(
            "groups",
            "g",
            "crew",
            json!({"id": "g", "displayName": "crew", "members": [{"value": "0", "$ref": "Users/0"}]}),
        ),
    );
    lines.push(line("DIRECTORY", 9000, "/Shared/team"));
    for (number, folder) in folders.iter().enumerate() {
        lines.push(line(
            "NOTEBOOK",
            9001 + number,
            &format!("/Shared/team/{folder}"),
        ));
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    state.tree = lines;
    state
}

fn push(state: &mut ArchiveState, record: ObjectRecord) {
    state
        .objects
        .entry(record.kind.clone())
        .or_default()
        .push(record);
}

const FORTH: &str = "[users]\n\"*@old.example\" = \"*@new.example\"\n[groups]\n\"crew\" = \"staff\"\n\
    [node-types]\n\"Standard_D*_v2\" = \"Standard_E*_v5\"\n[spark-versions]\n\"15.4.x-scala2.12\" = \"16.4.x-scala2.12\"\n\
    [storage-hosts]\n\"one.dfs.core.windows.net\" = \"two.dfs.core.windows.net\"\n[path-prefixes]\n\"/Shared/team\" = \"/Shared/crew\"\n";
const BACK: &str = "[users]\n\"*@new.example\" = \"*@old.example\"\n[groups]\n\"staff\" = \"crew\"\n\
    [node-types]\n\"Standard_E*_v5\" = \"Standard_D*_v2\"\n[spark-versions]\n\"16.4.x-scala2.12\" = \"15.4.x-scala2.12\"\n\
    [storage-hosts]\n\"two.dfs.core.windows.net\" = \"one.dfs.core.windows.net\"\n[path-prefixes]\n\"/Shared/crew\" = \"/Shared/team\"\n";

fn translated(mut state: ArchiveState, map: &str) -> Result<ArchiveState, Vec<String>> {
    translate(&MapFile::parse(map)?, &mut state)?;
    Ok(state)
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn everything_that_names_somebody_or_something_follows() {
    let state = translated(archive(&names(&["ann"]), &names(&["x"])), FORTH).unwrap();
    let text = serde_json::to_string(&state.objects["jobs"][0].body).unwrap();
    let expected = json!({
        "job_id": 0, "run_as_user_name": "ann@new.example",
        "settings": {
            "name": "job of ann",
            // A list is nobody's name.
            "email_notifications": {"on_start": ["ann@new.example", "list@old.example"]},
            "tasks": [{
                "task_key": "a", "notebook_task": {"notebook_path": "/Workspace/Users/ann@new.example/nb"},
                "new_cluster": {
                    "node_type_id": "Standard_E3_v5", "spark_version": "16.4.x-scala2.12", "single_user_name": "ann@new.example",
                    "spark_conf": {"fs.azure.account.key.two.dfs.core.windows.net": "abfss://x@two.dfs.core.windows.net/"},
                },
            }, {"task_key": "b", "spark_python_task": {"python_file": "/Shared/crew/x.py",
                // A bare name among free arguments is left alone.
                "parameters": ["/Workspace/Shared/crew/y", "ann@old.example"]}}],
        },
    });
    assert_eq!(text, expected.to_string());
    let user = &state.objects["users"][0];
    assert_eq!(user.name, "ann@new.example");
    assert_eq!(user.body["emails"][0]["value"], "ann@new.example");
    assert_eq!(user.body["emails"][1]["value"], "other@old.example");
    let grants = &state.acl("notebooks", "5").unwrap()["access_control_list"];
    assert_eq!(
        (&grants[0]["user_name"], &grants[1]["group_name"]),
        (&json!("ann@new.example"), &json!("staff"))
    );
    let paths: Vec<&str> = state.tree.iter().map(|line| line.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/",
            "/Shared",
            "/Shared/crew",
            "/Shared/crew/x",
            "/Users",
            "/Users/ann@new.example",
            "/Users/ann@new.example/nb"
        ]
    );
    assert_eq!(
        state.translation.origins["/Shared/crew/x"],
        "/Shared/team/x"
    );
    // The member of the archive stays where it is: contents do not change.
    assert_eq!(
        state.tree[6].content.as_ref().unwrap().path,
        "data/workspace/content/Users/ann@old.example/nb"
    );
}

#[test]
fn folders_on_the_way_are_added_without_grants() {
    let map = "[path-prefixes]\n\"/Shared/team\" = \"/Old/teams/team\"\n";
    let state = translated(archive(&names(&[]), &names(&["x"])), map).unwrap();
    let made: Vec<&str> = state
        .translation
        .folders
        .iter()
        .map(String::as_str)
        .collect();
    assert_eq!(made, ["/Old", "/Old/teams"]);
    for folder in made {
        let line = state.tree.iter().find(|line| line.path == folder).unwrap();
        assert_eq!(
            state.acl("directories", &line.object_id),
            Some(json!({"access_control_list": []}))
        );
    }
}

#[test]
fn somebody_who_left_keeps_the_name_and_a_home_in_shared_is_told() {
    let mut state = archive(&names(&["ann"]), &names(&["x"]));
    state
        .tree
        .push(line("DIRECTORY", 77, "/Users/left@old.example"));
    let map = "[users]\n\"*@old.example\" = \"*@new.example\"\n[path-prefixes]\n\"/Users/left@old.example\" = \"/Shared/left\"\n";
    let state = translated(state, map).unwrap();
    assert!(
        state.warnings[0].contains("left@old.example"),
        "{:?}",
        state.warnings
    );
    assert!(state.tree.iter().any(|line| line.path == "/Shared/left"));
    let used = &state.translation.entries;
    assert_eq!(used[1].matches, 1);
    let mut state = archive(&names(&["ann"]), &names(&[]));
    state
        .tree
        .push(line("DIRECTORY", 77, "/Users/left@old.example"));
    let state = translated(state, "[users]\n\"*@old.example\" = \"*@new.example\"\n").unwrap();
    assert!(
        state
            .tree
            .iter()
            .any(|line| line.path == "/Users/left@old.example")
    );
}

#[test]
fn names_that_would_melt_are_refused() {
    for map in [
        "[users]\n\"ann@old.example\" = \"bob@old.example\"\n",
        "[users]\n\"*@old.example\" = \"one@new.example\"\n",
        "[path-prefixes]\n\"/Shared/team/x\" = \"/Users/ann@old.example/nb\"\n",
    ] {
        let problems =
            translated(archive(&names(&["ann", "bob"]), &names(&["x"])), map).unwrap_err();
        assert!(!problems.is_empty(), "{map}");
    }
    // Where nothing melts, many may become one.
    let map = "[node-types]\n\"*\" = \"Standard_E8\"\n";
    assert!(translated(archive(&names(&["ann"]), &names(&[])), map).is_ok());
}

#[test]
fn below_a_folder_everything_stands_under_its_source_path_under_ids_of_its_own() {
    let mut state = archive(&names(&["ann"]), &names(&["x"]));
    let repo = json!({"id": 7, "path": "/Workspace/Users/ann@old.example/repo", "url": "u", "provider": "gitHub"});
    push(&mut state, record("git-folders", "7", "", repo));
    state
        .acls
        .entry("git-folders".to_owned())
        .or_default()
        .insert("7".to_owned(), json!({}).into());
    let mut state = translated(state, "[users]\n\"*@old.example\" = \"*@new.example\"\n").unwrap();
    prefix::place_below("/Back/1", &mut state);
    let paths: Vec<&str> = state.tree.iter().map(|line| line.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/Back",
            "/Back/1",
            "/Back/1/Shared",
            "/Back/1/Shared/team",
            "/Back/1/Shared/team/x",
            "/Back/1/Users",
            "/Back/1/Users/ann@old.example",
            "/Back/1/Users/ann@old.example/nb",
        ]
    );
    assert_eq!(state.objects.len(), 1);
    let repo = &state.objects["git-folders"][0];
    assert_eq!(
        (repo.id.as_str(), repo.name.as_str()),
        ("7@/Back/1", "/Back/1/Users/ann@old.example/repo")
    );
    assert!(state.acl("git-folders", "7@/Back/1").is_some());
    // Who may read it is named as in the target.
    assert_eq!(
        state.acl("notebooks", "5").unwrap()["access_control_list"][0]["user_name"],
        "ann@new.example"
    );
    assert!(!state.complete);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn there_and_back_is_where_one_was(
        users in proptest::collection::btree_set("[a-zA-Z.+-]{1,6}", 1..6),
        folders in proptest::collection::btree_set("[a-zé /*.]{1,5}", 0..5),
    ) {
        let folded: BTreeSet<String> = users.iter().map(|user| user.to_lowercase()).collect();
        prop_assume!(folded.len() == users.len());
        let folders: BTreeSet<String> = folders.iter().map(|name| name.replace('/', "_")).collect();
        let state = archive(&users, &folders);
        let there = translated(state.clone(), FORTH).unwrap();
        let text = format!("{:?} {:?}", there.objects, there.acls);
        for user in &users {
            let homes = format!("/Users/{user}@old.example");
            prop_assert!(!text.contains(&homes));
        }
        let mut again = there;
        again.translation = Translation::default();
        let back = translated(again, BACK).unwrap();
        prop_assert_eq!(&back.objects, &state.objects);
        prop_assert_eq!(&back.tree, &state.tree);
        let mut acls = back.acls;
        acls.retain(|_, grants| !grants.is_empty());
        prop_assert_eq!(&acls, &state.acls);
    }
}
