//! For any workspace: after an apply the plan is empty and the second run writes nothing; after changes in the source the
//! same holds again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use std::cell::Cell;

use import_support::{Stage, client, troubles};
use lifeboat_databricks::{Body, Safety};
use lifeboat_import::{Options, Recheck};
use lifeboat_sim::Fill;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

/// An object made by hand beside those of the fill: where it is created and changed, and its body.
#[derive(Clone, Debug)]
enum Extra {
    Job(Value),
    Cluster(Value),
    Policy(Value),
    Pool(Value),
    Script(Value),
    Notebook(Value),
}

fn fill() -> impl Strategy<Value = Fill> {
    let counts = (
        0_usize..5,
        0_usize..4,
        0_usize..3,
        1_usize..4,
        0_usize..3,
        0_usize..5,
        0_usize..3,
        0_usize..4,
    );
    let more = (
        0_usize..2,
        0_usize..3,
        0_usize..3,
        0_usize..3,
        0_usize..2,
        0_usize..2,
        any::<bool>(),
        any::<u64>(),
    );
    (counts, more).prop_map(
        |(
            (notebooks, folders, files, users, service_principals, groups, clusters, jobs),
            (pools, policies, init_scripts, scopes, git_folders, dbfs_files, acls, seed),
        )| Fill {
            seed,
            notebooks,
            folders,
            files,
            others: 1,
            users,
            service_principals,
            groups,
            clusters,
            jobs,
            pools,
            policies,
            init_scripts,
            scopes,
            git_folders,
            dbfs_files,
            acls,
            ..Fill::small()
        },
    )
}

/// Names of people's making. Few, so that objects share one.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "nightly",
            "Nightly",
            "load & clean",
            "Größe: \"α\"",
            "a/b\\c",
            "100 %"
        ])
        .prop_map(str::to_owned),
        "[A-Za-z0-9_. äé-]{1,12}[a-z]",
    ]
}

fn tags() -> impl Strategy<Value = Value> {
    btree_map("[a-zA-Z][a-z_]{0,8}", "[A-Za-z0-9 _.-]{0,8}", 0..3).prop_map(|tags| json!(tags))
}

fn settings() -> impl Strategy<Value = Value> {
    let text = "[ -~äß]{0,12}";
    btree_map("spark\\.[a-z]{1,6}\\.[a-zA-Z]{1,6}", text, 0..3).prop_map(|map| json!(map))
}

fn compute() -> impl Strategy<Value = Map<String, Value>> {
    let size = prop_oneof![
        (1_u32..4).prop_map(|count| json!({ "num_workers": count })),
        (1_u32..3, 0_u32..4).prop_map(|(least, more)| json!({ "autoscale": { "min_workers": least, "max_workers": least + more } })),
    ];
    let node = select(vec![
        "Standard_DS3_v2",
        "Standard_DS4_v2",
        "Standard_E4ds_v4",
    ]);
    let version = select(vec!["15.4.x-scala2.12", "14.3.x-scala2.12"]);
    (
        size,
        node,
        version,
        settings(),
        tags(),
        option::of(settings()),
    )
        .prop_map(|(size, node, version, conf, tags, env)| {
            let mut body = size.as_object().unwrap().clone();
            body.insert("node_type_id".to_owned(), json!(node));
            body.insert("spark_version".to_owned(), json!(version));
            body.insert("spark_conf".to_owned(), conf);
            body.insert("custom_tags".to_owned(), tags);
            body.extend(env.map(|env| ("spark_env_vars".to_owned(), env)));
            body
        })
}

fn cluster() -> impl Strategy<Value = Value> {
    (compute(), name(), select(vec![0_u32, 10, 30, 120])).prop_map(|(mut body, name, minutes)| {
        body.insert("cluster_name".to_owned(), json!(name));
        body.insert("autotermination_minutes".to_owned(), json!(minutes));
        Value::Object(body)
    })
}

fn start() -> impl Strategy<Value = Value> {
    let paused = select(vec![None, Some("PAUSED"), Some("UNPAUSED")]);
    (0_usize..4, paused, 0_u32..24).prop_map(|(kind, paused, hour)| {
        let mut when = match kind {
            0 => return json!({}),
            1 => json!({ "quartz_cron_expression": format!("0 0 {hour} * * ?"), "timezone_id": "Europe/Berlin" }),
            2 => json!({}),
            _ => json!({ "file_arrival": { "url": "abfss://c@store.dfs.core.windows.net/in/" } }),
        };
        if let Some(paused) = paused {
            when["pause_status"] = json!(paused);
        }
        json!({ ["schedule", "schedule", "continuous", "trigger"][kind]: when })
    })
}

fn task() -> impl Strategy<Value = Value> {
    let parameters = btree_map("[a-z]{1,5}", "[ -~ä]{0,10}", 0..3);
    let action = prop_oneof![
        ("/Shared/[a-z]{1,4}", parameters).prop_map(|(path, parameters)| {
            json!({ "notebook_task": { "notebook_path": path, "base_parameters": parameters } })
        }),
        vec("[ -~]{0,8}", 0..3).prop_map(|parameters| {
            json!({ "spark_python_task": { "python_file": "dbfs:/FileStore/run.py", "parameters": parameters } })
        }),
    ];
    (
        action,
        compute(),
        option::of(0_u32..4),
        option::of(0_u32..3600),
        option::of("[ -~]{1,12}"),
    )
        .prop_map(|(mut task, cluster, retries, timeout, description)| {
            task["new_cluster"] = Value::Object(cluster);
            for (field, value) in [
                ("max_retries", retries.map(|count| json!(count))),
                ("timeout_seconds", timeout.map(|seconds| json!(seconds))),
                ("description", description.map(|text| json!(text))),
            ] {
                if let Some(value) = value {
                    task[field] = value;
                }
            }
            task
        })
}

fn job() -> impl Strategy<Value = Value> {
    let numbers = (option::of(0_u32..9000), option::of(1_u32..5), any::<bool>());
    (name(), vec(task(), 1..4), start(), tags(), numbers).prop_map(
        |(name, tasks, start, tags, (timeout, runs, chained))| {
            let mut job = start.as_object().unwrap().clone();
            let mut list = Vec::new();
            for (at, mut task) in tasks.into_iter().enumerate() {
                task["task_key"] = json!(format!("t{at}"));
                if chained && at > 0 {
                    task["depends_on"] = json!([{ "task_key": format!("t{}", at - 1) }]);
                }
                list.push(task);
            }
            job.insert("name".to_owned(), json!(name));
            job.insert("tasks".to_owned(), Value::Array(list));
            job.insert("tags".to_owned(), tags);
            job.extend(timeout.map(|seconds| ("timeout_seconds".to_owned(), json!(seconds))));
            let runs = if job.contains_key("continuous") {
                Some(1)
            } else {
                runs
            };
            job.extend(runs.map(|runs| ("max_concurrent_runs".to_owned(), json!(runs))));
            Value::Object(job)
        },
    )
}

fn policy() -> impl Strategy<Value = Value> {
    let rule = prop_oneof![
        (5_u32..90).prop_map(|minutes| (
            "autotermination_minutes",
            json!({ "type": "range", "maxValue": minutes })
        )),
        any::<bool>().prop_map(|hidden| (
            "spark_conf.spark.x",
            json!({ "type": "fixed", "value": "ä\"b", "hidden": hidden })
        )),
        Just(("instance_pool_id", json!({ "type": "forbidden" }))),
        Just((
            "node_type_id",
            json!({ "type": "allowlist", "values": ["Standard_DS3_v2", "Standard_DS4_v2"] })
        )),
    ];
    (
        name(),
        vec(rule, 0..4),
        option::of("[ -~]{1,20}"),
        option::of(1_u32..9),
    )
        .prop_map(|(name, rules, description, most)| {
            let definition: Map<String, Value> = rules
                .into_iter()
                .map(|(key, rule)| (key.to_owned(), rule))
                .collect();
            let mut body =
                json!({ "name": name, "definition": Value::Object(definition).to_string() });
            if let Some(description) = description {
                body["description"] = json!(description);
            }
            if let Some(most) = most {
                body["max_clusters_per_user"] = json!(most);
            }
            body
        })
}

fn extra() -> impl Strategy<Value = Extra> {
    let pool = (name(), 0_u32..3, option::of(3_u32..9), tags()).prop_map(|(name, idle, most, tags)| {
        let mut body = json!({
            "instance_pool_name": name, "node_type_id": "Standard_DS3_v2", "min_idle_instances": idle, "custom_tags": tags,
            "idle_instance_autotermination_minutes": 15
        });
        if let Some(most) = most {
            body["max_capacity"] = json!(most);
        }
        Extra::Pool(body)
    });
    let script = (name(), any::<bool>()).prop_map(|(name, enabled)| {
        Extra::Script(
            json!({ "name": name, "script": "IyEvYmluL3NoCmVjaG8gaGkK", "enabled": enabled }),
        )
    });
    let notebook = ("[A-Za-z0-9 ä.:]{1,10}[a-z]", select(vec!["PYTHON", "SQL", "SCALA", "R"]), any::<bool>()).prop_map(
        |(name, language, long)| {
            // "1", and a text of two lines without an end.
            let content = if long { "MQoyCjM=" } else { "MQ==" };
            Extra::Notebook(json!({
                "path": format!("/Shared/{name}"), "language": language, "format": "SOURCE", "content": content, "overwrite": true
            }))
        },
    );
    prop_oneof![
        4 => job().prop_map(Extra::Job),
        2 => cluster().prop_map(Extra::Cluster),
        2 => policy().prop_map(Extra::Policy),
        1 => pool,
        1 => script,
        1 => notebook,
    ]
}

/// Makes the objects in the source. What the service refuses (a name that is taken) is not there, which is a workspace,
/// too. Gives the ids.
async fn make(stage: &Stage, extras: &[Extra]) -> Vec<Option<Value>> {
    let source = client(&stage.source);
    let mut made = Vec::new();
    for extra in extras {
        let (path, body, id) = match extra {
            Extra::Job(body) => ("/api/2.2/jobs/create", body, "job_id"),
            Extra::Cluster(body) => ("/api/2.1/clusters/create", body, "cluster_id"),
            Extra::Policy(body) => ("/api/2.0/policies/clusters/create", body, "policy_id"),
            Extra::Pool(body) => ("/api/2.0/instance-pools/create", body, "instance_pool_id"),
            Extra::Script(body) => ("/api/2.0/global-init-scripts", body, "script_id"),
            Extra::Notebook(body) => ("/api/2.0/workspace/import", body, "object_id"),
        };
        let reply = source
            .send("POST", path, &[], Body::Json(body), Safety::Create)
            .await;
        made.push(reply.ok().map(|reply| reply[id].clone()));
    }
    made
}

/// Changes each object into another of its kind.
async fn change(stage: &Stage, extras: &[Extra], made: &[Option<Value>], others: &[Extra]) {
    let source = client(&stage.source);
    stage.source.advance(std::time::Duration::from_secs(5));
    for ((extra, id), other) in extras.iter().zip(made).zip(others) {
        let Some(id) = id else { continue };
        let (path, body) = match (extra, other) {
            (Extra::Job(_), Extra::Job(other)) => (
                "/api/2.2/jobs/reset",
                json!({ "job_id": id, "new_settings": other }),
            ),
            (Extra::Policy(_), Extra::Policy(other)) => {
                let mut body = other.clone();
                body["policy_id"] = id.clone();
                ("/api/2.0/policies/clusters/edit", body)
            }
            (Extra::Notebook(body), Extra::Notebook(other))
                if body["language"] == other["language"] =>
            {
                let mut body = body.clone();
                body["content"] = other["content"].clone();
                ("/api/2.0/workspace/import", body)
            }
            _ => continue,
        };
        // Refused where the name is taken: then it did not change.
        let _ = source
            .send("POST", path, &[], Body::Json(&body), Safety::Idempotent)
            .await;
    }
}

/// What is said of a scope that nobody else manages.
const MANAGED_BY_IMPORTER: &str = "the importer keeps managing";

/// How such a scope then differs from the source's.
const IMPORTER_MANAGES: &str = "acl.admin@example.com: absent -> \"MANAGE\"";

/// Exports and applies; then nothing is left to do, however it is asked for.
async fn carried(stage: &Stage, turn: &str) -> Result<(), TestCaseError> {
    stage.export().await;
    let report = stage.apply(&stage.options()).await.unwrap();
    // A scope that only its creator managed is managed by the importer here, and that is said.
    let mut gaps = troubles(&report);
    gaps.retain(|gap| !(gap.starts_with("secret-scopes ") && gap.contains(MANAGED_BY_IMPORTER)));
    prop_assert_eq!(gaps, Vec::<String>::new(), "{}", turn);
    let compared = report.comparison.unwrap().differences;
    prop_assert!(compared.is_empty(), "{turn}: {compared:?}");
    let mut differences = stage.differences();
    differences
        .retain(|one| !(one.starts_with("secret-scopes ") && one.ends_with(IMPORTER_MANAGES)));
    prop_assert_eq!(differences, Vec::<String>::new(), "{}", turn);
    for recheck in [Recheck::None, Recheck::All] {
        let plan = stage
            .plan(&Options {
                recheck,
                ..stage.options()
            })
            .await
            .unwrap();
        let work: Vec<_> = plan
            .actions
            .iter()
            .filter(|action| action.has_work())
            .collect();
        prop_assert!(work.is_empty(), "{turn}: {work:?}");
    }
    stage.target.reset_calls();
    let again = stage.apply(&stage.options()).await.unwrap();
    prop_assert_eq!(again.writes, 0, "{}", turn);
    prop_assert!(stage.writes().is_empty(), "{turn}: {:?}", stage.writes());
    Ok(())
}

/// `LIFEBOAT_PROPERTY_CASES` says how many workspaces, of chance; without it 12, always the same ones.
#[test]
fn after_any_import_the_plan_is_empty() {
    let asked = std::env::var("LIFEBOAT_PROPERTY_CASES").map(|text| text.parse().unwrap());
    let cases = asked.clone().unwrap_or(12);
    let config = ProptestConfig {
        max_shrink_iters: 40,
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let workspaces = (fill(), vec((extra(), extra()), 0..7));
    let mut runner = match asked {
        Ok(_) => TestRunner::new(config),
        Err(_) => {
            TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        }
    };
    let (wanted, done) = (Cell::new(0), Cell::new(0));
    let result = runner.run(&workspaces, |(fill, extras)| {
        let (extras, others): (Vec<Extra>, Vec<Extra>) = extras.into_iter().unzip();
        runtime.block_on(async {
            let stage = Stage::new(&fill).await;
            let made = make(&stage, &extras).await;
            wanted.set(wanted.get() + made.len());
            done.set(done.get() + made.iter().flatten().count());
            // Clusters of the source come to rest.
            stage.source.advance(std::time::Duration::from_secs(10_000));
            carried(&stage, "first archive").await?;
            change(&stage, &extras, &made, &others).await;
            carried(&stage, "second archive").await
        })
    });
    assert!(result.is_ok(), "{}", result.unwrap_err());
    let (wanted, done) = (wanted.get(), done.get());
    println!("{cases} workspaces, {done} of {wanted} objects beside those of the fill");
    assert!(done * 2 >= wanted, "most are refused: {done} of {wanted}");
}
