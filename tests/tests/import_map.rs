//! The map file and the restore of a part below another folder, from archive to target (`spec/import.md`, "Map file" and
//! "Partial restore").

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use std::path::PathBuf;

use import_support::{SOURCE, Stage, client, troubles};
use lifeboat_import::{Error, Fate, Options, Rule, Selection, Silent, What};
use lifeboat_sim::permissions::Principal;
use lifeboat_sim::{ADMIN, Fill, Sim, destinations, identities, tree};
use serde_json::{Value, json};

const VAULT: &str = "/subscriptions/1/resourceGroups/r/providers/Microsoft.KeyVault/vaults";

async fn post(sim: &Sim, path: &str, body: Value) -> Value {
    use lifeboat_databricks::{Body, Safety};
    client(sim)
        .send("POST", path, &[], Body::Json(&body), Safety::Create)
        .await
        .unwrap()
}

/// A source that names something of every section, and its target, where what the map names exists.
async fn stage() -> (Stage, String, String) {
    let stage = Stage::new(&Fill::small()).await;
    stage.source.with(|world| {
        let member =
            identities::add_user(world, "night.shift@contoso.example", "Night Shift", false);
        identities::add_group(world, "night-watch", &[member], false);
        let admin = world.admin();
        let notebook = tree::Object::Notebook {
            language: "PYTHON",
            content:
                "# Databricks notebook source\nopen('abfss://x@contoso.dfs.core.windows.net')\n"
                    .into(),
            jupyter: false,
        };
        let id = tree::put(world, "/Shared/nightly/deep/report", notebook, &admin).to_string();
        world.acls.set(
            "notebooks",
            &id,
            Principal::Group("night-watch".into()),
            "CAN_RUN",
        );
        lifeboat_sim::secrets::create_vault_scope(
            world,
            "vault",
            &format!("{VAULT}/kv-one"),
            "https://kv-one.vault.azure.net/",
            &admin,
        );
    });
    let warehouse = stage
        .source
        .with(|world| destinations::add_warehouse(world, "Reports"));
    let job = json!({
        "name": "nightly report",
        "run_as": {"user_name": "night.shift@contoso.example"},
        "email_notifications": {"on_failure": ["night.shift@contoso.example", "list@contoso.example"]},
        "tasks": [{
            "task_key": "main",
            "notebook_task": {"notebook_path": "/Workspace/Shared/nightly/deep/report", "warehouse_id": warehouse},
            "new_cluster": {
                "spark_version": "13.3.x-scala2.12", "node_type_id": "Standard_NC6s_v3", "num_workers": 1,
                "spark_conf": {
                    "fs.azure.account.key.contoso.dfs.core.windows.net": "{{secrets/analytics/orders-key-2}}",
                    "spark.sql.warehouse.dir": "abfss://lake@contoso.dfs.core.windows.net/warehouse",
                    "spark.other": "abfss://lake@othercontoso.dfs.core.windows.net/x",
                },
            },
        }],
    });
    post(&stage.source, "/api/2.2/jobs/create", job).await;
    stage.export().await;
    let standby = stage.target.with(|world| {
        let source: Vec<(String, String)> = stage.source.dump()["users"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| name.ends_with("@contoso.example"))
            .map(|(name, user)| {
                (
                    name.clone(),
                    user["displayName"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        for (name, display) in source {
            identities::add_user(world, &name.replace("@contoso.", "@dr."), &display, false);
        }
        identities::add_group(world, "dr-watch", &[], false);
        destinations::add_warehouse(world, "Standby reports")
    });
    let pool = json!({"instance_pool_name": "warm pool", "node_type_id": "Standard_DS3_v2", "min_idle_instances": 0});
    post(&stage.target, "/api/2.0/instance-pools/create", pool).await;
    stage.target.reset_calls();
    (stage, warehouse, standby)
}

fn the_map(from_warehouse: &str, to_warehouse: &str) -> String {
    format!(
        r#"
[users]
"*@contoso.example" = "*@dr.example"
[groups]
"night-watch" = "dr-watch"
[node-types]
"Standard_NC*s_v3" = "Standard_E8ds_v4"
[spark-versions]
"13.3.x-scala2.12" = "14.3.x-scala2.12"
[instance-pools]
"analytics pool" = "warm pool"
[storage-hosts]
"contoso.dfs.core.windows.net" = "contosodr.dfs.core.windows.net"
[key-vaults]
"{VAULT}/kv-one" = "{VAULT}/kv-two"
"https://kv-one.vault.azure.net" = "https://kv-two.vault.azure.net/"
[path-prefixes]
"/Shared/nightly" = "/Shared/dr/nightly"
[sql-warehouses]
"{from_warehouse}" = "{to_warehouse}"
"#
    )
}

fn write(stage: &Stage, text: &str) -> PathBuf {
    let path = stage.folder.path().join("map.toml");
    fs_err::write(&path, text).unwrap();
    path
}

fn mapped(stage: &Stage, text: &str) -> Options {
    Options {
        map: Some(write(stage, text)),
        ..stage.options()
    }
}

/// What the two workspaces differ in, the source's words replaced by the target's.
fn differences(stage: &Stage, words: &[(&str, &str)]) -> Vec<String> {
    let source = stage.source.dump();
    let mut text = source.to_string();
    for (from, to) in words {
        text = text.replace(from, to);
    }
    let source: Value = serde_json::from_str(&text).unwrap();
    let target = stage.target.dump();
    lifeboat_sim::compare(&source, &target)
        .iter()
        .filter(|one| {
            let jupyter =
                one.kind == "notebooks" && source["notebooks"][&one.key]["jupyter"] == true;
            let account = one.kind == "groups" && source["groups"][&one.key]["account"] == true;
            let not_held = ["other-objects", "acls/dashboards", "acls/experiments"];
            let meant = not_held.contains(&one.kind.as_str())
                || jupyter
                || (account && one.what.starts_with("members"))
                || one.what.starts_with("run_as: absent ->");
            !meant
        })
        .map(|one| format!("{} {}: {}", one.kind, one.key, one.what))
        .collect()
}

#[expect(clippy::too_many_lines, reason = "one story, told in order")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_follows_the_map_and_the_second_run_writes_nothing() {
    let (stage, warehouse, standby) = stage().await;
    let options = mapped(&stage, &the_map(&warehouse, &standby));

    let plan = stage.plan(&options).await.unwrap();
    let entry = |section: &str| {
        plan.map
            .iter()
            .find(|entry| entry.section == section)
            .unwrap()
    };
    assert_eq!(plan.map.len(), 10);
    assert!(
        plan.map.iter().all(|entry| entry.matches > 0),
        "{:#?}",
        plan.map
    );
    assert_eq!(
        entry("storage-hosts").matches,
        3 + landing_jobs(&stage),
        "{:#?}",
        plan.map
    );
    assert!(!entry("storage-hosts").checked && !entry("key-vaults").checked);
    for section in [
        "users",
        "groups",
        "node-types",
        "spark-versions",
        "instance-pools",
        "sql-warehouses",
    ] {
        assert!(entry(section).checked, "{section}");
    }
    let pool = plan
        .actions
        .iter()
        .find(|action| action.name == "analytics pool")
        .unwrap();
    assert_eq!(
        (pool.what, pool.reason.as_deref()),
        (What::Skip, Some("mapped to warm pool"))
    );
    let job = plan
        .actions
        .iter()
        .find(|action| action.name == "nightly report")
        .unwrap();
    assert!(
        job.remarks
            .iter()
            .any(|remark| remark == "mapped: Standard_NC6s_v3 -> Standard_E8ds_v4"),
        "{job:?}"
    );
    assert!(stage.writes().is_empty());

    let report = stage.apply(&options).await.unwrap();
    // The Key Vault needs another sort of token, as without a map.
    let troubles: Vec<String> = troubles(&report)
        .into_iter()
        .filter(|one| !one.starts_with("secret-scopes vault"))
        .collect();
    assert_eq!(troubles, Vec::<String>::new());
    let comparison = report.comparison.unwrap();
    let unequal: Vec<_> = comparison
        .differences
        .iter()
        .filter(|one| one.name != "vault")
        .collect();
    assert!(unequal.is_empty(), "{unequal:#?}");

    let words = [
        ("@contoso.example", "@dr.example"),
        ("list@dr.example", "list@contoso.example"),
        ("night-watch", "dr-watch"),
        ("Standard_NC6s_v3", "Standard_E8ds_v4"),
        ("13.3.x-scala2.12", "14.3.x-scala2.12"),
        (".contoso.dfs.", ".contosodr.dfs."),
        ("@contoso.dfs.", "@contosodr.dfs."),
        ("/Shared/nightly", "/Shared/dr/nightly"),
        (warehouse.as_str(), standby.as_str()),
    ];
    let left: Vec<String> = differences(&stage, &words)
        .into_iter()
        .filter(|one| !one.starts_with("secret-scopes vault"))
        .collect();
    // The pool that stands in, and the folder on the way.
    assert_eq!(
        left,
        [
            "acls/instance-pools analytics pool: missing",
            "acls/instance-pools warm pool: only here",
            "cluster-policies data-platform policy: definition.instance_pool_id.values[1]: \"pool:analytics pool\" -> \"pool:warm pool\"",
            "clusters analytics cluster: spec.driver_instance_pool_id: \"pool:analytics pool\" -> \"pool:warm pool\"",
            "clusters analytics cluster: spec.instance_pool_id: \"pool:analytics pool\" -> \"pool:warm pool\"",
            "directories /Shared/dr: only here",
            "instance-pools analytics pool: missing",
            "instance-pools warm pool: only here",
        ]
    );
    let dump = stage.target.dump();
    assert_eq!(
        dump["acls/directories"].get("/Shared/dr"),
        None,
        "made on the way, without grants"
    );
    assert!(dump["users"].get("night.shift@contoso.example").is_none());

    let journal = fs_err::read_to_string(stage.journal()).unwrap();
    let stands_in = |line: &&str| line.contains("\"standing\"") && line.contains("mapped to");
    assert_eq!(journal.lines().find(stands_in), None);

    stage.target.reset_calls();
    let again = stage.apply(&options).await.unwrap();
    let totals = again.totals();
    assert_eq!(
        (
            totals.blocked + totals.failed,
            totals.created + totals.updated
        ),
        (1, 0),
        "the Key Vault, as in the first run"
    );
    let writes = stage.writes().into_iter();
    let writes: Vec<String> = writes.map(|call| call.path).collect();
    assert_eq!(writes, [""; 0]);
    let compared =
        lifeboat_import::compare(&stage.open(), &client(&stage.target), &options, &Silent)
            .await
            .unwrap();
    let unequal: Vec<_> = compared
        .differences
        .iter()
        .filter(|one| one.name != "vault")
        .collect();
    assert!(unequal.is_empty(), "{unequal:#?}");
}

/// Jobs of the fill that watch the storage account.
fn landing_jobs(stage: &Stage) -> u64 {
    let text = stage.source.dump()["jobs"].to_string();
    let found = text.matches("landing@contoso.dfs.core.windows.net").count();
    u64::try_from(found).unwrap() - 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_that_does_not_fit_is_refused_with_every_problem_before_the_first_write() {
    let (stage, warehouse, standby) = stage().await;
    let refused = async |text: &str| {
        let options = mapped(&stage, text);
        let Err(Error::Map { problems, .. }) = stage.plan(&options).await else {
            panic!("{text} is planned");
        };
        let applied = stage.apply(&options).await.unwrap_err();
        assert!(applied.is_refusal(), "{applied}");
        assert!(stage.writes().is_empty());
        assert!(!stage.journal().exists());
        problems.join("\n")
    };
    let problems = refused(
        "[user]\n\"a\" = \"b\"\n[groups]\n\"x\" = 1\n[path-prefixes]\n\"/Shared/nightly\" = \"/Users\"\n",
    )
    .await;
    for part in [
        "line 1: no section is named \"user\"",
        "line 4, [groups]",
        "line 6, [path-prefixes]",
    ] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
    // What the archive does not know, or would melt.
    let problems = refused(
        "[users]\n\"nobody@contoso.example\" = \"ada.abdi@dr.example\"\n\"ada.abdi@contoso.example\" = \"carla.wong@contoso.example\"\n\
         [node-types]\n\"Standard_NC*\" = \"A*\"\n\"*_v3\" = \"*_v4\"\n\
         [path-prefixes]\n\"/Shared/nightly\" = \"/Shared/analytics\"\n\
         [key-vaults]\n\"https://kv-one.vault.azure.net\" = \"https://kv-two.vault.azure.net\"\n",
    )
    .await;
    for part in [
        "line 2, [users] \"nobody@contoso.example\" = \"ada.abdi@dr.example\": matches nothing in the archive",
        "would all be carla.wong@contoso.example",
        "\"Standard_NC6s_v3\" is matched by line 5",
        "/Shared/analytics",
        "but not its resource id",
    ] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
    // What the target does not know.
    let text = the_map(&warehouse, &standby)
        .replace("*@dr.example", "*@nowhere.example")
        .replace("dr-watch", "no-watch")
        .replace("Standard_E8ds_v4", "Standard_Typo_v4")
        .replace("14.3.x-scala2.12", "14.4.x-scala2.12")
        .replace("warm pool", "cold pool")
        .replace("/Shared/dr/nightly", "/Users/stranger@x.example/nightly")
        .replace(&standby, "0123456789abcdef");
    let problems = refused(&text).await;
    for part in [
        "[users] \"ada.abdi@nowhere.example\": does not exist in the target",
        "[groups] \"no-watch\": does not exist",
        "[node-types] \"Standard_Typo_v4\": the target does not offer it",
        "[spark-versions] \"14.4.x-scala2.12\": the target does not offer it",
        "[instance-pools] \"cold pool\": does not exist",
        "[path-prefixes] \"/Users/stranger@x.example\"",
        "[sql-warehouses] \"0123456789abcdef\": does not exist",
    ] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_group_of_the_account_are_not_written_into_a_local_one() {
    let stage = Stage::new(&Fill::small()).await;
    let group = stage.source.with(|world| {
        let member = identities::add_user(world, "ann@contoso.example", "Ann", false);
        identities::add_group(world, "all-analysts", &[member], true)
    });
    // Something to write, so that the import does touch the group.
    let entitled = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "add", "path": "entitlements", "value": [{"value": "allow-cluster-create"}]}],
    });
    client(&stage.source)
        .send(
            "PATCH",
            &format!("/api/2.0/preview/scim/v2/Groups/{group}"),
            &[],
            lifeboat_databricks::Body::Json(&entitled),
            lifeboat_databricks::Safety::Idempotent,
        )
        .await
        .unwrap();
    stage.export().await;
    stage.target.with(|world| {
        identities::add_group(world, "dr-analysts", &[], false);
    });
    let before = stage.target.dump()["groups"]["dr-analysts"].clone();
    let mapped = Options {
        map: Some(write(
            &stage,
            "[groups]\n\"all-analysts\" = \"dr-analysts\"\n",
        )),
        ..stage.options()
    };
    let report = stage.apply(&mapped).await.unwrap();
    let group = report
        .objects
        .iter()
        .find(|object| object.kind == "groups" && object.name == "dr-analysts")
        .unwrap();
    assert!(
        group
            .remarks
            .iter()
            .any(|text| text.contains("of the account in the source")),
        "{group:?}"
    );
    assert_eq!(group.fate, Fate::Updated);
    assert_eq!(group.compared, Some(lifeboat_import::Verdict::Equal));
    assert_eq!(
        stage.target.dump()["groups"]["dr-analysts"]["members"],
        before["members"]
    );
}

fn below(stage: &Stage, folder: &str, include: &str) -> Options {
    Options {
        as_prefix: Some(folder.to_owned()),
        selection: Selection {
            include: vec![include.to_owned()],
            ..Selection::default()
        },
        ..stage.options()
    }
}

const BRUNO: &str = "/Users/bruno.rossi@contoso.example";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_restored_below_another_one_beside_the_standby_copy() {
    let stage = Stage::new(&Fill::small()).await;
    stage.apply(&stage.options()).await.unwrap();
    let before = stage.target.dump();
    stage.target.reset_calls();
    let options = below(&stage, "/Restored/2026-11-17", BRUNO);
    let report = stage.apply(&options).await.unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert!(report.comparison.unwrap().is_equal());
    let after = stage.target.dump();
    let mut expected = 0;
    for (path, notebook) in before["notebooks"].as_object().unwrap() {
        let copy = &after["notebooks"][format!("/Restored/2026-11-17{path}")];
        if path.starts_with(BRUNO) {
            assert_eq!(copy, notebook, "{path}");
            assert_eq!(
                after["acls/notebooks"].get(format!("/Restored/2026-11-17{path}")),
                before["acls/notebooks"].get(path),
                "{path}"
            );
            expected += 1;
        } else {
            assert!(copy.is_null(), "{path}");
        }
    }
    assert!(expected > 3);
    for folder in [
        "/Restored",
        "/Restored/2026-11-17",
        "/Restored/2026-11-17/Users",
    ] {
        assert!(after["directories"].get(folder).is_some(), "{folder}");
        assert!(
            after["acls/directories"].get(folder).is_none(),
            "{folder}: {}",
            after["acls/directories"][folder]
        );
    }
    assert_eq!(
        after["acls/directories"][format!("/Restored/2026-11-17{BRUNO}")],
        before["acls/directories"][BRUNO]
    );
    let touched: Vec<String> = lifeboat_sim::compare(&before, &after)
        .iter()
        .filter(|one| !one.key.starts_with("/Restored"))
        .map(|one| format!("{} {}", one.kind, one.key))
        .collect();
    assert_eq!(touched, Vec::<String>::new());

    stage.target.reset_calls();
    assert_eq!(stage.apply(&options).await.unwrap().writes, 0);
    // The standby copy is known as before, and the restored one is nothing that is gone from the source.
    let nightly = Options {
        delete_removed: true,
        ..stage.options()
    };
    let report = stage.apply(&nightly).await.unwrap();
    assert_eq!(report.writes, 0);
    let named = |name: &str| {
        report
            .objects
            .iter()
            .any(|object| object.name.starts_with(name))
    };
    assert!(named(BRUNO) && !named("/Restored"));
    assert_eq!(lifeboat_sim::compare(&after, &stage.target.dump()), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partial_restore_before_all_else_does_not_vouch_for_what_the_target_holds() {
    let stage = Stage::new(&Fill::small()).await;
    // An import whose journal is lost.
    stage.apply(&stage.options()).await.unwrap();
    fs_err::remove_file(stage.journal()).unwrap();
    let report = stage
        .apply(&below(&stage, "/Restored", BRUNO))
        .await
        .unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    stage.target.reset_calls();
    let refused = stage.apply(&stage.options()).await;
    assert!(
        matches!(
            &refused,
            Err(Error::Refused {
                rule: Rule::NoJournal,
                ..
            })
        ),
        "{refused:?}"
    );
    assert!(stage.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_comes_back_next_to_the_original_in_the_source() {
    let stage = Stage::new(&Fill::small()).await;
    let before = stage.source.dump();
    let options = Options {
        into_source: true,
        target: Some(SOURCE.to_owned()),
        ..below(&stage, "/Workspace/Restored/Tuesday/", BRUNO)
    };
    let source = client(&stage.source);
    let report = lifeboat_import::apply(&stage.open(), &source, &options, &Silent)
        .await
        .unwrap();
    assert_eq!(troubles(&report), Vec::<String>::new());
    assert!(report.comparison.unwrap().is_equal());
    let after = stage.source.dump();
    let touched = lifeboat_sim::compare(&before, &after);
    assert!(
        touched.iter().all(|one| one.key.starts_with("/Restored")),
        "{touched:#?}"
    );
    let copies = after["notebooks"].as_object().unwrap().keys();
    let copies = copies
        .filter(|path| path.starts_with("/Restored/Tuesday/Users/bruno.rossi@"))
        .count();
    let originals = before["notebooks"].as_object().unwrap().keys();
    assert_eq!(
        copies,
        originals.filter(|path| path.starts_with(BRUNO)).count()
    );
    let again = lifeboat_import::apply(&stage.open(), &source, &options, &Silent)
        .await
        .unwrap();
    assert_eq!(again.writes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_could_read_there_is_not_restored_there() {
    let stage = Stage::new(&Fill::small()).await;
    let home = "/Users/carla.wong@contoso.example";
    stage.target.with(|world| {
        for name in stage.source.dump()["users"].as_object().unwrap().keys() {
            identities::add_user(world, name, "Some Body", false);
        }
        let admin = world.admin();
        let id = tree::put(world, "/Teams", tree::Object::Directory, &admin).to_string();
        world.acls.set(
            "directories",
            &id,
            Principal::Group("users".into()),
            "CAN_READ",
        );
    });
    for folder in [
        "/Shared/back",
        "/Teams/back",
        &format!("{home}/back"),
        "/Users/nobody@x.example/back",
    ] {
        let refused = stage
            .apply(&below(&stage, folder, BRUNO))
            .await
            .unwrap_err();
        assert!(
            matches!(
                refused,
                Error::Refused {
                    rule: Rule::OpenFolder,
                    ..
                }
            ),
            "{folder}: {refused}"
        );
    }
    for folder in ["/", "/Users", home, "/Repos/x", "relative", "/a//b"] {
        let refused = stage
            .apply(&below(&stage, folder, BRUNO))
            .await
            .unwrap_err();
        assert!(
            matches!(refused, Error::Selection { .. }),
            "{folder}: {refused}"
        );
    }
    let everything = Options {
        as_prefix: Some("/Restored".to_owned()),
        ..stage.options()
    };
    assert!(matches!(
        stage.apply(&everything).await,
        Err(Error::Selection { .. })
    ));
    assert!(stage.writes().is_empty());
    assert!(!stage.journal().exists());
    // His own home is closed to others, and an administrator's to everybody but those who may read everything.
    for folder in [&format!("{BRUNO}/back"), &format!("/Users/{ADMIN}/back")] {
        let report = stage.apply(&below(&stage, folder, BRUNO)).await.unwrap();
        assert!(
            report
                .objects
                .iter()
                .any(|object| object.fate == Fate::Created),
            "{folder}"
        );
        assert_eq!(troubles(&report), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn homes_are_not_opened_by_the_folder_that_they_come_into() {
    let stage = Stage::new(&Fill::small()).await;
    stage.target.with(|world| {
        let admin = world.admin();
        for folder in ["/Teams", "/Closed"] {
            tree::put(world, folder, tree::Object::Directory, &admin);
        }
        let id = tree::put(world, "/Teams/open", tree::Object::Directory, &admin).to_string();
        world.acls.set(
            "directories",
            &id,
            Principal::Group("users".into()),
            "CAN_READ",
        );
    });
    // Nobody of the source exists there.
    let options = |orphans: &str| {
        let mut options = Options {
            orphans: orphans.to_owned(),
            ..stage.options()
        };
        options.selection.kinds = Some(vec!["notebooks".to_owned()]);
        options
    };
    for orphans in ["/Teams/open", "/Teams/open/homes", "/Shared/homes"] {
        let refused = stage.apply(&options(orphans)).await.unwrap_err();
        let Error::Refused { rule, detail, .. } = &refused else {
            panic!("{orphans}: {refused}");
        };
        assert_eq!(*rule, Rule::OpenFolder, "{orphans}");
        assert!(detail.contains("users could read"), "{detail}");
    }
    assert!(stage.writes().is_empty());
    assert!(!stage.journal().exists());
    let map = format!("[path-prefixes]\n\"{BRUNO}\" = \"/Teams/open/bruno\"\n");
    let mapped = Options {
        map: Some(write(&stage, &map)),
        ..options("/Closed/homes")
    };
    let plan = stage.plan(&mapped).await.unwrap();
    let told = format!("the map puts {BRUNO} into /Teams/open, where users may read it");
    assert!(
        plan.warnings.iter().any(|text| text.starts_with(&told)),
        "{:?}",
        plan.warnings
    );
    let closed = stage.apply(&options("/Closed/homes")).await.unwrap();
    assert!(closed.writes > 0);
}

/// A map of a path, a group, a machine type and a host, all of them known to the target of [`stage`].
const SMALL_MAP: &str = "[groups]\n\"night-watch\" = \"dr-watch\"\n[node-types]\n\"Standard_NC*s_v3\" = \"Standard_E8ds_v4\"\n\
    [path-prefixes]\n\"/Shared/nightly\" = \"/Shared/dr/nightly\"\n\
    [storage-hosts]\n\"contoso.dfs.core.windows.net\" = \"contosodr.dfs.core.windows.net\"\n";

/// [`SMALL_MAP`] with the warehouse, without which the job is blocked.
fn small_map(from_warehouse: &str, to_warehouse: &str) -> String {
    format!("{SMALL_MAP}[sql-warehouses]\n\"{from_warehouse}\" = \"{to_warehouse}\"\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_without_the_map_of_the_last_one_is_refused_before_it_makes_anything_twice() {
    let (stage, warehouse, standby) = stage().await;
    let options = mapped(&stage, &small_map(&warehouse, &standby));
    let plan = stage.plan(&options).await.unwrap();
    let of_the_map = |text: &&String| text.contains("last import");
    assert_eq!(
        plan.warnings.iter().find(of_the_map),
        None,
        "there is no last one"
    );
    stage.apply(&options).await.unwrap();
    assert_eq!(
        stage
            .apply(&options)
            .await
            .unwrap()
            .warnings
            .iter()
            .find(of_the_map),
        None
    );

    let forgotten = stage.options();
    let (before, journal) = (stage.target.dump(), fs_err::read(stage.journal()).unwrap());
    stage.target.reset_calls();
    let Err(Error::Refused { rule, detail, hint }) = stage.apply(&forgotten).await else {
        panic!("not refused");
    };
    assert_eq!(rule, Rule::MapLeftOut);
    for part in [
        "the last import used a map file and this one names none",
        "[path-prefixes] \"/Shared/nightly\" = \"/Shared/dr/nightly\" is gone",
        "objects to be made a second time",
        "notebooks /Shared/nightly/deep/report",
        "groups night-watch",
        "objects to be written with other names",
    ] {
        assert!(detail.contains(part), "{part:?} is not in {detail}");
    }
    assert!(
        hint.contains("--map") && hint.contains("empty file"),
        "{hint}"
    );
    assert!(stage.writes().is_empty());
    assert_eq!(before, stage.target.dump());
    assert_eq!(journal, fs_err::read(stage.journal()).unwrap());

    let plan = stage.plan(&forgotten).await.unwrap();
    let refused: Vec<_> = plan.refusals.iter().map(|one| one.rule).collect();
    assert_eq!(refused, [Some(Rule::MapLeftOut)]);
    assert!(
        plan.refusals[0].what.contains(&detail),
        "{:?}",
        plan.refusals
    );
    assert_eq!(plan.warnings.iter().find(of_the_map), None);
    // The operator's word: names are not to be translated any more.
    let plan = stage.plan(&mapped(&stage, "")).await.unwrap();
    assert_eq!(plan.refusals, []);
    assert!(plan.warnings.iter().any(|text| {
        text.starts_with("the map file is not that of the last import")
            && text.contains("a second time")
    }));
    // A restore beside everything else follows no map of places.
    let beside = Options {
        as_prefix: Some("/Restored".to_owned()),
        selection: Selection {
            include: vec!["/Shared/nightly/**".to_owned()],
            ..Selection::default()
        },
        ..stage.options()
    };
    let plan = stage.plan(&beside).await.unwrap();
    assert_eq!(
        (plan.refusals.len(), plan.warnings.iter().find(of_the_map)),
        (0, None)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_map_that_is_left_out_and_changes_nothing_is_a_warning_in_every_run() {
    let (stage, warehouse, standby) = stage().await;
    stage
        .apply(&mapped(&stage, &small_map(&warehouse, &standby)))
        .await
        .unwrap();
    let untouched = Options {
        selection: Selection {
            kinds: Some(vec!["secret-scopes".to_owned()]),
            ..Selection::default()
        },
        ..stage.options()
    };
    for _ in 0..2 {
        let report = stage.apply(&untouched).await.unwrap();
        let warned = |text: &&String| {
            text.contains("this one names none") && text.contains("no object is to be made twice")
        };
        assert!(
            report.warnings.iter().any(|text| warned(&text)),
            "{:?}",
            report.warnings
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_map_is_said_with_what_it_rewrites_before_it_is() {
    let (stage, warehouse, standby) = stage().await;
    let text = small_map(&warehouse, &standby);
    stage.apply(&mapped(&stage, &text)).await.unwrap();
    let other = mapped(&stage, &text.replace("Standard_E8ds_v4", "Standard_DS3_v2"));
    let plan = stage.plan(&other).await.unwrap();
    assert_eq!(plan.refusals, []);
    let expected = "the map file is not that of the last import: [node-types] \"Standard_NC*s_v3\" = \
                    \"Standard_DS3_v2\" was \"Standard_E8ds_v4\"; objects to be written with other names: \
                    jobs nightly report";
    assert!(
        plan.warnings.iter().any(|text| text == expected),
        "{:?}",
        plan.warnings
    );

    /// Notes what is said before the first write.
    struct Before<'s>(&'s Stage, std::sync::Mutex<Vec<String>>);
    impl lifeboat_import::Observer for Before<'_> {
        fn event(&self, event: lifeboat_import::Event<'_>) {
            if let lifeboat_import::Event::Warning(text) = event {
                assert!(self.0.writes().is_empty());
                self.1.lock().unwrap().push(text.to_owned());
            }
        }
    }
    stage.target.reset_calls();
    let observer = Before(&stage, std::sync::Mutex::default());
    let report = lifeboat_import::apply(&stage.open(), &stage.client, &other, &observer)
        .await
        .unwrap();
    assert!(report.writes > 0);
    assert!(
        observer
            .1
            .lock()
            .unwrap()
            .iter()
            .any(|text| text == expected)
    );
    let plan = stage.plan(&other).await.unwrap();
    assert!(
        !plan
            .warnings
            .iter()
            .any(|text| text.contains("last import"))
    );
}
