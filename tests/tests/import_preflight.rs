//! What a plan says before anything is written: what the target lacks, what nobody could check, what an apply would be
//! refused for, and that the apply then does what was said.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod import_support;

use import_support::{Stage, TARGET, client_as, rule, workspace};
use lifeboat_import::{Effect, Fate, Finding, Options, Plan, Rule, Selection, Silent, What};
use lifeboat_sim::{Fault, Fill};

fn of<'f>(findings: &'f [Finding], check: &str) -> Vec<&'f Finding> {
    findings.iter().filter(|one| one.check == check).collect()
}

/// Node type and Spark version of a cluster of the source that has machines of its own.
fn machine_of_a_cluster(stage: &Stage) -> (String, String) {
    stage.source.with(|world| {
        let own = |cluster: &&lifeboat_sim::clusters::Cluster| {
            cluster.source != "JOB" && !cluster.spec.contains_key("instance_pool_id")
        };
        let cluster = world.clusters.all.iter().find(own).unwrap();
        let text = |field: &str| cluster.spec[field].as_str().unwrap().to_owned();
        (text("node_type_id"), text("spark_version"))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_target_lacks_is_one_line_each_and_the_apply_does_what_was_said() {
    let stage = Stage::new(&Fill::small()).await;
    let (node, version) = machine_of_a_cluster(&stage);
    stage.target.with(|world| {
        world.clusters.withdrawn.insert(node.clone());
        world.clusters.withdrawn.insert(version.clone());
    });
    let plan = stage.plan(&stage.options()).await.unwrap();
    assert!(plan.refusals.is_empty(), "{:?}", plan.refusals);
    let types = of(&plan.preflight, "node-type");
    let blocked = types
        .iter()
        .find(|one| one.effect == Effect::Blocks)
        .unwrap();
    assert_eq!(blocked.name, node);
    assert!(
        blocked.needed_by[0].starts_with("cluster ")
            || blocked.needed_by[0].starts_with("instance pool "),
        "{blocked:?}"
    );
    assert!(blocked.hint.contains("[node-types]"), "{blocked:?}");
    let versions = of(&plan.preflight, "spark-version");
    assert_eq!(
        (versions.len(), versions[0].effect),
        (1, Effect::Risk),
        "{versions:?}"
    );
    assert_eq!(versions[0].name, version);
    let said: Vec<String> = plan
        .actions
        .iter()
        .filter(|action| action.what == What::Blocked)
        .map(|action| format!("{} {}", action.kind, action.name))
        .collect();
    assert!(!said.is_empty());

    let report = stage.apply(&stage.options()).await.unwrap();
    let blocked: Vec<String> = report
        .objects
        .iter()
        .filter(|object| object.fate == Fate::Blocked)
        .map(|object| format!("{} {}", object.kind, object.name))
        .collect();
    assert_eq!(
        said, blocked,
        "nothing was blocked that the plan did not say"
    );
    assert_eq!(report.preflight, plan.preflight);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn references_that_lead_nowhere_say_who_needs_them_and_what_to_do() {
    let stage = Stage::new(&Fill::broken()).await;
    let plan = stage.plan(&stage.options()).await.unwrap();
    for (check, needs, section) in [
        (
            "notification-destination",
            "job tells a webhook",
            "[notification-destinations]",
        ),
        (
            "sql-warehouse",
            "job queries a warehouse",
            "[sql-warehouses]",
        ),
        ("pipeline", "job runs a pipeline", "[pipelines]"),
    ] {
        let found = of(&plan.preflight, check);
        assert_eq!(found.len(), 1, "{:?}", plan.preflight);
        assert_eq!(found[0].effect, Effect::Blocks);
        assert_eq!(found[0].needed_by, [needs]);
        assert!(found[0].hint.contains(section), "{:?}", found[0]);
    }
    let gone = of(&plan.preflight, "user");
    assert!(
        gone.iter()
            .any(|one| one.name == "departed.person@contoso.example" && one.effect == Effect::Gap),
        "{gone:?}"
    );
    let clusters = of(&plan.preflight, "cluster");
    assert!(
        clusters
            .iter()
            .any(|one| one.needed_by == ["job on no cluster"]),
        "{clusters:?}"
    );
    // A pool that the selection leaves out is missing, too.
    let stage = Stage::new(&Fill::small()).await;
    let mut options = stage.options();
    options.selection.kinds = Some(vec!["clusters".to_owned()]);
    let plan = stage.plan(&options).await.unwrap();
    let pools = of(&plan.preflight, "instance-pool");
    assert!(!pools.is_empty(), "{:?}", plan.preflight);
    assert!(
        pools[0].what.contains("not selected") && pools[0].effect == Effect::Blocks,
        "{pools:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn git_folders_need_credentials() {
    let stage = Stage::new(&Fill::small()).await;
    let found = stage.plan(&stage.options()).await.unwrap().preflight;
    let risks: Vec<String> = of(&found, "git-provider")
        .iter()
        .filter(|one| one.effect == Effect::Risk)
        .map(|one| one.name.clone())
        .collect();
    assert!(!risks.is_empty(), "{found:?}");
    stage.target.with(|world| {
        for provider in &risks {
            lifeboat_sim::git_credentials::add(world, lifeboat_sim::ADMIN, provider);
        }
    });
    let found = stage.plan(&stage.options()).await.unwrap().preflight;
    assert!(
        of(&found, "git-provider")
            .iter()
            .all(|one| one.effect != Effect::Risk),
        "{found:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_endpoint_is_unchecked_and_never_empty() {
    let stage = Stage::new(&Fill::small()).await;
    for path in [
        "*/clusters/list-node-types",
        "*/clusters/spark-versions",
        "*/git-credentials",
    ] {
        stage.target.fault(Fault::status("GET", path, 403));
    }
    let plan = stage.plan(&stage.options()).await.unwrap();
    for check in ["node-type", "spark-version", "git-provider"] {
        let found = of(&plan.preflight, check);
        assert!(!found.is_empty(), "{check}: {:?}", plan.preflight);
        for one in found {
            assert_eq!(one.effect, Effect::Unchecked, "{one:?}");
        }
    }
    let blocked = plan
        .actions
        .iter()
        .filter(|action| action.what == What::Blocked);
    assert_eq!(blocked.count(), 0);
    assert!(stage.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_without_rights_is_told_what_he_may_not_do() {
    let stage = Stage::new(&Fill::small()).await;
    let person = stage.target.with(|world| {
        lifeboat_sim::identities::add_user(world, "plain@example.com", "Plain", false)
    });
    stage
        .target
        .add_token("plain-token", "plain@example.com")
        .unwrap();
    let plain = client_as(&stage.target, "plain-token");
    // Some servers show nobody's groups: then a person without any may be an administrator.
    let plan = lifeboat_import::plan(&stage.open(), &plain, &stage.options(), &Silent)
        .await
        .unwrap();
    let rules: Vec<Option<Rule>> = plan.refusals.iter().map(|one| one.rule).collect();
    assert!(!rules.contains(&Some(Rule::NotAdmin)), "{rules:?}");
    stage
        .target
        .with(|world| lifeboat_sim::identities::add_group(world, "plain people", &[person], false));
    let plan = lifeboat_import::plan(&stage.open(), &plain, &stage.options(), &Silent)
        .await
        .unwrap();
    let rights = of(&plan.preflight, "rights");
    assert!(
        rights
            .iter()
            .any(|one| one.name.contains("users") && one.needed > 0),
        "{:?}",
        plan.preflight
    );
    let scripts = of(&plan.preflight, "listing");
    assert!(
        scripts
            .iter()
            .any(|one| one.name == "global-init-scripts" && one.effect == Effect::Blocks),
        "{scripts:?}"
    );
    assert!(!plan.warnings.is_empty());
    let refused = |plan: &Plan| {
        let rules = plan.refusals.iter();
        rules
            .filter_map(|one| one.rule)
            .any(|rule| rule == Rule::NotAdmin)
    };
    assert!(refused(&plan), "{:?}", plan.refusals);

    // Nothing is written and no journal begun, unless a part of the tree is all that is wanted.
    let apply = async |selection: Selection| {
        let options = Options {
            selection,
            ..stage.options()
        };
        lifeboat_import::apply(&stage.open(), &plain, &options, &Silent).await
    };
    let without_jobs = Selection {
        exclude: vec!["/Shared".to_owned()],
        ..Selection::default()
    };
    stage.target.reset_calls();
    for selection in [Selection::default(), without_jobs] {
        assert_eq!(rule(apply(selection).await), Rule::NotAdmin);
    }
    assert_eq!(stage.writes(), []);
    assert!(!stage.journal().exists());
    let home = Selection {
        include: vec!["/Shared".to_owned()],
        ..Selection::default()
    };
    let report = apply(home).await.unwrap();
    assert!(report.writes > 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_what_an_apply_would_be_refused_for() {
    let stage = Stage::new(&Fill::small()).await;
    let unnamed = Options {
        target: None,
        ..stage.options()
    };
    let plan = stage.plan(&unnamed).await.unwrap();
    assert_eq!(plan.refusals.len(), 1, "{:?}", plan.refusals);
    assert_eq!(plan.refusals[0].rule, Some(Rule::UnknownTarget));
    assert!(
        plan.refusals[0].hint.contains(TARGET),
        "{:?}",
        plan.refusals
    );
    // Objects of the same names, made by hand.
    let dump = stage.source.dump();
    let scope = dump["secret-scopes"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap();
    stage.target.with(|world| {
        let admin = world.admin();
        lifeboat_sim::secrets::create_scope(world, scope, &admin);
    });
    let plan = stage.plan(&stage.options()).await.unwrap();
    assert_eq!(plan.refusals.len(), 1, "{:?}", plan.refusals);
    assert_eq!(plan.refusals[0].rule, Some(Rule::NoJournal));
    let refused = stage.apply(&stage.options()).await.unwrap_err();
    assert!(refused.is_refusal(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_the_account_does_not_know_is_blocked_in_the_plan_already() {
    let stage = Stage::new(&Fill::small()).await;
    let stranger = workspace("5555555555555555");
    let options = Options {
        target: Some("5555555555555555".to_owned()),
        ..stage.options()
    };
    let plan = lifeboat_import::plan(
        &stage.open(),
        &import_support::client(&stranger),
        &options,
        &Silent,
    )
    .await
    .unwrap();
    let groups = of(&plan.preflight, "account-group");
    assert_eq!(groups.len(), 1, "{:?}", plan.preflight);
    let action = plan
        .actions
        .iter()
        .find(|action| action.kind == "groups" && action.name == groups[0].name)
        .unwrap();
    assert_eq!(action.what, What::Blocked);
    assert!(
        action
            .reason
            .as_deref()
            .unwrap()
            .contains("workspace-assignment update 5555555555555555")
    );
    assert!(plan.checklist.iter().any(|todo| todo.kind == "groups"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_is_named_in_every_run_as_long_as_it_stands() {
    let stage = Stage::new(&Fill::small()).await;
    // The archive gets no access control of jobs.
    stage.source.fault(Fault {
        times: u64::MAX,
        ..Fault::status("GET", "*/permissions/jobs/*", 500)
    });
    stage.export().await;
    let options = Options {
        allow_incomplete: true,
        ..stage.options()
    };
    let first = stage.apply(&options).await.unwrap();
    let gaps = |report: &lifeboat_import::Report| {
        report
            .objects
            .iter()
            .filter(|object| object.kind == "jobs" && !object.notes.is_empty())
            .count()
    };
    assert!(first.has_gaps() && gaps(&first) > 0);
    let second = stage.apply(&options).await.unwrap();
    assert_eq!(second.writes, 0);
    assert_eq!(gaps(&second), gaps(&first), "the same gaps again");
    assert!(second.has_gaps());
    assert!(second.calls > 0);
    let compared = second
        .objects
        .iter()
        .filter(|object| object.compared.is_some())
        .count();
    assert!(compared > 0, "every object carries how it compared");
}
