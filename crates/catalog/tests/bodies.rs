//! Each kind on bodies as the service sends them: archived, sent, compared, waiting.

#![expect(clippy::unwrap_used, reason = "a test stops at what it cannot read")]

mod common;

use common::{all, body, kind};
use lifeboat_catalog::{
    Found, Target, clusters, groups, kinds, libraries, needs, order, places, secret_scopes,
};
use serde_json::{Value, json};

fn values(found: &[Found], to: Target) -> Vec<&str> {
    found
        .iter()
        .filter(|one| one.to == to)
        .map(|one| one.value.as_str())
        .collect()
}

fn sorted(mut values: Vec<&str>) -> Vec<&str> {
    values.sort_unstable();
    values.dedup();
    values
}

#[test]
fn every_object_kind_has_a_body_to_test_with() {
    let tested: Vec<&str> = all().iter().map(|(kind, ..)| kind.name).collect();
    for kind in kinds().iter().filter(|kind| kind.list.is_some()) {
        assert!(tested.contains(&kind.name), "no body for {}", kind.name);
    }
}

#[test]
fn every_body_has_an_id_a_name_and_a_key() {
    for (kind, name, body) in all() {
        assert!(kind.id_of(&body).is_some(), "id of {name}");
        assert!(kind.label_of(&body).is_some(), "label of {name}");
        assert!(kind.key_of(&body).is_some(), "key of {name}");
        assert_eq!((kind.include)(&body), Ok(()), "{name}");
    }
}

#[test]
fn archived_and_observed_together_are_the_body() {
    for (kind, name, body) in all() {
        let (mut archived, observed) = kind.archive_form(body.clone());
        for (pointer, value) in observed
            .iter()
            .flat_map(|observed| observed.as_object().unwrap())
        {
            assert!(
                archived.pointer(pointer).is_none(),
                "{name}: {pointer} is in both"
            );
            assert!(places::put_pointer(&mut archived, pointer, value.clone()));
        }
        let (again, _) = kind.archive_form(archived);
        assert_eq!(again, kind.archive_form(body).0, "{name}");
    }
}

#[test]
fn archiving_keeps_unknown_fields_and_number_texts() {
    let (archived, observed) = kind("clusters").archive_form(body("clusters/got"));
    assert!(
        archived
            .to_string()
            .ends_with(r#""field_of_tomorrow":{"x":1.50}}"#)
    );
    let observed = observed.unwrap();
    assert_eq!(observed["/state"], json!("RUNNING"));
    assert_eq!(observed["/cluster_cores"].to_string(), "8.0");
    assert!(archived.get("executors").is_none() && archived.get("cluster_log_conf").is_some());
}

#[test]
fn server_set_fields_are_never_sent() {
    for (kind, name, body) in all() {
        let request = kind.request_form(&body);
        for place in kind.server_set.iter().chain(kind.volatile) {
            assert!(
                places::get(&request, place).is_none(),
                "{name}: {place} is sent"
            );
        }
    }
}

#[test]
fn a_cluster_of_a_pool_leaves_its_machines_to_the_pool() {
    let request = kind("clusters").request_form(&body("clusters/got"));
    for decided in [
        "node_type_id",
        "driver_node_type_id",
        "enable_elastic_disk",
        "azure_attributes",
    ] {
        assert!(request.get(decided).is_none(), "{decided}");
    }
    assert_eq!(request["driver_instance_pool_id"], json!("pool-c"));
    assert_eq!(request["num_workers"], json!(0));
    assert_eq!(request["custom_tags"], json!({"team": "data"}));
    assert_eq!(request["apply_policy_default_values"], json!(false));
    assert!(request.get("spec").is_none());
}

#[test]
fn a_cluster_that_scales_sends_no_number_of_workers() {
    let request = kind("clusters").request_form(&body("clusters/autoscale"));
    assert!(request.get("num_workers").is_none());
    assert_eq!(request["autoscale"]["max_workers"], json!(8));
    assert!(
        request.get("driver_instance_pool_id").is_none(),
        "a driver pool only with a pool"
    );
    assert_eq!(request["driver_node_type_id"], json!("Standard_DS5_v2"));
}

#[test]
fn a_single_node_says_its_zero_workers() {
    let node = json!({"spark_conf": {"spark.databricks.cluster.profile": "singleNode"}});
    assert_eq!(
        kind("clusters").request_form(&node)["num_workers"],
        json!(0)
    );
    let simple = json!({"kind": "CLASSIC_PREVIEW", "is_single_node": true});
    assert!(
        kind("clusters")
            .request_form(&simple)
            .get("num_workers")
            .is_none()
    );
}

#[test]
fn references_of_a_cluster() {
    let found = kind("clusters").found_references(&body("clusters/got"));
    assert_eq!(values(&found, Target::InstancePool), ["pool-a", "pool-c"]);
    assert_eq!(values(&found, Target::ClusterPolicy), ["001ABC0123456789"]);
    assert_eq!(values(&found, Target::Principal), ["ana.lopez@example.com"]);
    assert_eq!(
        values(&found, Target::WorkspacePath),
        ["/Users/ana.lopez@example.com/init.sh"]
    );
    assert_eq!(values(&found, Target::DbfsPath), ["/init/old.sh"]);
    assert_eq!(
        values(&found, Target::SecretScope),
        ["storage", "platform", "storage"]
    );
    let outside = [
        "/Volumes/main/default/v/init.sh",
        "abfss://c@a.dfs.core.windows.net/init.sh",
    ];
    assert_eq!(values(&found, Target::AnyPath), outside);
    assert!(
        found
            .iter()
            .all(|one| one.required() == (one.to != Target::AnyPath))
    );
}

#[test]
fn clusters_of_other_services_are_not_ours() {
    for source in ["JOB", "PIPELINE", "PIPELINE_MAINTENANCE", "SQL", "MODELS"] {
        assert!(
            (kind("clusters").include)(&json!({ "cluster_source": source })).is_err(),
            "{source}"
        );
    }
    assert!((kind("clusters").include)(&json!({})).is_ok());
    assert!((kind("clusters").include)(&json!({"cluster_source": "NEW"})).is_ok());
}

#[test]
fn pins_are_taken_over_from_the_listing() {
    let listed = json!({"cluster_id": "a", "pinned_by_user_name": "root@example.com", "other": 1});
    let whole = kind("clusters").with_listed(&listed, json!({"cluster_id": "a", "spec": {}}));
    assert!(clusters::is_pinned(&whole));
    assert!(whole.get("other").is_none());
    assert!(!clusters::is_pinned(&json!({"pinned_by_user_name": ""})));
}

#[test]
fn what_the_server_fills_in_makes_no_difference() {
    let archived = body("clusters/autoscale");
    let mut target = kind("clusters").request_form(&archived);
    for (field, value) in [
        ("cluster_id", json!("other")),
        ("state", json!("TERMINATED")),
        ("enable_elastic_disk", json!(true)),
        ("spark_conf", json!({})),
        ("ssh_public_keys", json!([])),
        ("runtime_engine", json!("STANDARD")),
        ("default_tags", json!({"Vendor": "Databricks"})),
        ("custom_tags", json!({"Vendor": "Databricks"})),
    ] {
        target[field] = value;
    }
    assert_eq!(
        kind("clusters").compare_form(&archived),
        kind("clusters").compare_form(&target)
    );
    target["azure_attributes"]["first_on_demand"] = json!(3);
    assert_ne!(
        kind("clusters").compare_form(&archived),
        kind("clusters").compare_form(&target)
    );
}

#[test]
fn a_pool_lands_without_idle_machines_and_without_the_tags_of_the_server() {
    let pools = kind("instance-pools");
    let mut request = pools.request_form(&body("instance-pools/got"));
    assert!(pools.is_active(&request));
    pools.land_passive(&mut request);
    assert_eq!(request["min_idle_instances"], json!(0));
    assert!(!pools.is_active(&request));
    assert_eq!(request["custom_tags"], json!({"cost": "42"}));
    let update = pools.update_body(&request, "new").unwrap();
    assert_eq!(update["instance_pool_id"], json!("new"));
    assert!(update.get("azure_attributes").is_none() && update.get("max_capacity").is_some());
    pools.restore_active(&mut request, &body("instance-pools/got"));
    assert_eq!(request["min_idle_instances"], json!(3));
    assert!((pools.include)(&json!({"state": "DELETED"})).is_err());
}

#[test]
fn ids_inside_the_text_of_a_policy_are_rewritten_in_place() {
    let policies = kind("cluster-policies");
    let mut policy = body("cluster-policies/own");
    let before = policy["definition"].as_str().unwrap().to_owned();
    let found = policies.found_references(&policy);
    assert_eq!(
        values(&found, Target::InstancePool),
        ["pool-a", "pool-b", "pool-a", "pool-c"]
    );
    assert_eq!(found[0].pointer, "/definition#/instance_pool_id/values/0");
    assert_eq!(
        values(&found, Target::WorkspacePath),
        ["/Shared/init/base.sh"]
    );
    assert_eq!(values(&found, Target::SecretScope), ["platform"]);
    assert_eq!(
        values(&found, Target::DbfsPath),
        ["/libs/base-1.0-py3-none-any.whl"]
    );
    policies.rewrite(&mut policy, &mut |one| {
        (one.to == Target::InstancePool).then(|| format!("new-{}", one.value))
    });
    assert_eq!(
        policy["definition"].as_str().unwrap(),
        before.replace("\"pool-", "\"new-pool-")
    );
}

#[test]
fn a_policy_of_a_family_is_sent_as_overrides() {
    let policies = kind("cluster-policies");
    let family = body("cluster-policies/family");
    assert!((policies.builtin)(&family) && !(policies.builtin)(&body("cluster-policies/own")));
    let request = policies.request_form(&family);
    assert!(request.get("definition").is_none());
    assert_eq!(request["policy_family_id"], json!("personal-vm"));
    assert!(
        policies
            .request_form(&body("cluster-policies/own"))
            .get("definition")
            .is_some()
    );
}

#[test]
fn definitions_are_compared_by_meaning() {
    let policies = kind("cluster-policies");
    let one = json!({"name": "p", "definition": "{\"a\": {\"value\": 1.0}, \"b\": 2}"});
    let other =
        json!({"name": "p", "definition": "{\"b\":2,\"a\":{\"value\":1}}", "description": ""});
    assert_eq!(policies.compare_form(&one), policies.compare_form(&other));
}

#[test]
fn a_global_init_script_lands_disabled() {
    let scripts = kind("global-init-scripts");
    let archived = body("global-init-scripts/got");
    let mut request = scripts.request_form(&archived);
    scripts.land_passive(&mut request);
    assert_eq!(
        scripts.create_body(&request).unwrap(),
        json!({"name": "proxy", "position": 1, "enabled": false, "script": "IyEvYmluL2Jhc2gKZWNobyBoaQo="})
    );
    scripts.restore_active(&mut request, &archived);
    assert_eq!(request["enabled"], json!(true));
}

#[test]
fn a_secret_scope_is_composed_and_created_with_its_vault() {
    let scopes = kind("secret-scopes");
    let listed = body("secret-scopes/listed");
    assert_eq!(scopes.id_of(&listed).as_deref(), Some("Platform"));
    let composed = body("secret-scopes/composed");
    let whole = secret_scopes::compose(listed, vec![json!({"key": "token"})], vec![]);
    assert_eq!(scopes.id_of(&whole), scopes.id_of(&composed));
    assert_eq!(scopes.key_of(&whole).as_deref(), Some("platform"));
    let (archived, _) = scopes.archive_form(composed.clone());
    assert_eq!(secret_scopes::keys(&archived), ["password", "token"]);
    assert_eq!(
        secret_scopes::acls(&archived)[1],
        ("users".to_owned(), "READ".to_owned())
    );
    assert!(secret_scopes::is_key_vault(&archived));
    let create = scopes.create_body(&scopes.request_form(&archived)).unwrap();
    assert_eq!(create["scope"], json!("Platform"));
    assert_eq!(create["scope_backend_type"], json!("AZURE_KEYVAULT"));
    assert_eq!(
        create["backend_azure_keyvault"]["dns_name"],
        json!("https://v.vault.azure.net/")
    );
    assert_eq!(create.as_object().unwrap().len(), 3);
    assert_eq!(
        scopes.delete_body("Platform"),
        Some(json!({"scope": "Platform"}))
    );
    assert_eq!(
        values(&scopes.found_references(&composed), Target::Principal).len(),
        2
    );
}

#[test]
fn a_library_list_holds_what_is_configured() {
    let kind = kind("libraries");
    let listed = body("libraries/listed");
    let (archived, observed) = kind.archive_form(libraries::compose(listed));
    let expected = json!([
        {"jar": "dbfs:/FileStore/jars/b.jar"},
        {"pypi": {"package": "pandas==2.2"}},
        {"requirements": "/Volumes/main/default/v/requirements.txt"},
        {"whl": "/Workspace/Shared/libs/a-1.0-py3-none-any.whl"},
    ]);
    assert_eq!(
        archived,
        json!({"cluster_id": "0722-120000-abcd1234", "libraries": expected})
    );
    assert_eq!(
        observed.unwrap()["/library_statuses"]
            .as_array()
            .map(Vec::len),
        Some(6)
    );
    assert_eq!(
        needs::dbfs_files(kind, &archived)
            .into_iter()
            .collect::<Vec<_>>(),
        ["/FileStore/jars/b.jar"]
    );
    let found = kind.found_references(&archived);
    assert_eq!(values(&found, Target::Cluster), ["0722-120000-abcd1234"]);
    assert_eq!(
        values(&found, Target::WorkspacePath),
        ["/Shared/libs/a-1.0-py3-none-any.whl"]
    );
    let unneeded = json!({"cluster_id": "x", "library_statuses": [{"library": {}, "status": "UNINSTALL_ON_RESTART"}]});
    assert!(
        (kind.include)(&unneeded).is_err() && (kind.include)(&json!({"cluster_id": "x"})).is_err()
    );
}

#[test]
fn a_git_folder_is_created_first_and_put_on_its_branch_then() {
    let kind = kind("git-folders");
    let request = kind.request_form(&body("git-folders/listed"));
    let create = kind.create_body(&request).unwrap();
    assert_eq!(
        create.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["path", "url", "provider", "sparse_checkout"]
    );
    let update = kind.update_body(&request, "7").unwrap();
    assert_eq!(
        update,
        json!({"branch": "main", "sparse_checkout": {"patterns": ["src"]}})
    );
}

#[test]
fn a_user_is_the_same_in_any_case_of_the_name() {
    let users = kind("users");
    let user = body("users/listed");
    assert_eq!(
        users.key_of(&user).as_deref(),
        Some("ana.lopez@example.com")
    );
    let (archived, _) = users.archive_form(user.clone());
    assert_eq!(
        archived["entitlements"][0]["value"],
        json!("databricks-sql-access")
    );
    assert_eq!(archived["groups"][0]["value"], json!("9001"));
    let request = users.request_form(&archived);
    assert_eq!(
        request["schemas"],
        json!(["urn:ietf:params:scim:schemas:core:2.0:User"])
    );
    assert!(request.get("groups").is_none() && request.get("id").is_none());
    let mut target = request.clone();
    target["userName"] = json!("ana.lopez@EXAMPLE.com");
    target["id"] = json!("1");
    target.as_object_mut().unwrap().shift_remove("emails");
    target.as_object_mut().unwrap().shift_remove("active");
    assert_eq!(users.compare_form(&user), users.compare_form(&target));
    target["entitlements"] = json!([]);
    assert_ne!(users.compare_form(&user), users.compare_form(&target));
}

#[test]
fn members_of_a_group_are_references_of_their_kind() {
    let kind = kind("groups");
    let mut group = kind.request_form(&body("groups/nested"));
    let found = kind.found_references(&group);
    assert_eq!(values(&found, Target::ServicePrincipal), ["5001"]);
    assert_eq!(values(&found, Target::Group), ["3001"]);
    assert_eq!(values(&found, Target::User), ["1001"]);
    assert_eq!(
        values(&found, Target::Principal),
        ["7001"],
        "a member without $ref may be of any kind"
    );
    kind.rewrite(&mut group, &mut |one| Some(format!("8{}", one.value)));
    assert_eq!(
        group["members"][1],
        json!({"value": "83001", "$ref": "Groups/83001"})
    );
    let create = kind.create_body(&group).unwrap();
    assert_eq!(
        create["members"],
        json!([{"value": "85001"}, {"value": "83001"}, {"value": "81001"}, {"value": "87001"}])
    );
    assert_eq!(create["displayName"], json!("data platform"));
    assert_eq!(
        create["schemas"],
        json!(["urn:ietf:params:scim:schemas:core:2.0:Group"])
    );
}

#[test]
fn groups_of_the_account_and_of_every_workspace_are_told_apart() {
    let kind = kind("groups");
    assert!(groups::is_account_group(&body("groups/account")));
    assert!(!groups::is_account_group(&body("groups/nested")));
    assert!((kind.builtin)(&body("groups/admins")) && !(kind.builtin)(&body("groups/nested")));
    let listed = json!({"id": "1", "displayName": "g", "meta": {"resourceType": "Group"}});
    assert!(groups::is_account_group(
        &kind.with_listed(&listed, json!({"id": "1", "displayName": "g"}))
    ));
}

#[test]
fn inner_groups_come_first() {
    let group =
        |member: &str| json!({"members": [{"value": member, "$ref": format!("Groups/{member}")}]});
    let (outer, middle, inner) = (group("2"), group("3"), json!({}));
    let given = [
        ("1".to_owned(), &outer),
        ("2".to_owned(), &middle),
        ("3".to_owned(), &inner),
    ];
    assert_eq!(order::groups(&given).sorted, ["3", "2", "1"]);
}

#[test]
fn a_service_principal_is_known_by_its_application() {
    let kind = kind("service-principals");
    let body = body("service-principals/listed");
    assert_eq!(
        kind.key_of(&body).as_deref(),
        Some("8f2c9a10-3b4d-4e5f-8a9b-0c1d2e3f4a5b")
    );
    let create = kind.create_body(&kind.request_form(&body)).unwrap();
    assert_eq!(create["applicationId"], body["applicationId"]);
    assert!(create.get("groups").is_none());
}

#[test]
fn every_reference_of_every_task_is_found() {
    let jobs = kind("jobs");
    let job = body("jobs/every_task");
    let found = jobs.found_references(&job);
    let expect = |to, expected: &[&str]| assert_eq!(sorted(values(&found, to)), expected, "{to:?}");
    expect(
        Target::Cluster,
        &["0722-120000-abcd1234", "0722-130000-efgh5678"],
    );
    expect(Target::InstancePool, &["pool-a", "pool-b", "pool-each"]);
    expect(Target::ClusterPolicy, &["policy-1", "policy-2"]);
    expect(
        Target::Job,
        &["620000000000002", "620000000000003", "620000000000009"],
    );
    expect(
        Target::Warehouse,
        &["wh-1", "wh-2", "wh-3", "wh-4", "wh-5", "wh-6", "wh-9"],
    );
    expect(Target::Pipeline, &["pipe-1"]);
    expect(Target::Query, &["q-1", "q-9"]);
    expect(Target::Dashboard, &["dash-1", "dash-2"]);
    expect(Target::Alert, &["alert-1", "alert-2"]);
    expect(
        Target::NotificationDestination,
        &["dest-1", "dest-2", "dest-3", "dest-4"],
    );
    expect(
        Target::User,
        &[
            "bo@example.com",
            "cy@example.com",
            "di@example.com",
            "ed@example.com",
        ],
    );
    expect(
        Target::ServicePrincipal,
        &["8f2c9a10-3b4d-4e5f-8a9b-0c1d2e3f4a5b"],
    );
    expect(Target::Principal, &["ana.lopez@example.com"]);
    expect(
        Target::EmailAddress,
        &["ana.lopez@example.com", "ops@example.com"],
    );
    expect(Target::SecretScope, &["storage"]);
    expect(Target::BudgetPolicy, &["bp-1"]);
    expect(Target::AnyPath, &["abfss://c@a.dfs.core.windows.net/in/"]);
    let dbfs = [
        "/data/in.csv",
        "/init/j.sh",
        "/jars/a.jar",
        "/jars/b.jar",
        "/scripts/run.py",
        "/w/inner.whl",
    ];
    expect(Target::DbfsPath, &dbfs);
    let paths = [
        "/Shared/a.dbalert.json",
        "/Shared/a.whl",
        "/Shared/conf.json",
        "/Shared/dbt",
        "/Shared/init.sh",
        "/Shared/inner",
        "/Shared/inner3",
        "/Shared/q.sql",
        "/Shared/r.txt",
        "/Shared/train.py",
        "/Shared/w.whl",
        "/Users/ana.lopez@example.com",
        "/Users/ana.lopez@example.com/etl",
    ];
    expect(Target::WorkspacePath, &paths);
    assert_eq!(needs::clusters(jobs, &job).len(), 2);
    assert_eq!(needs::principals(jobs, &job).len(), 6);
}

#[test]
fn a_rewritten_job_keeps_its_types_and_prefixes() {
    let jobs = kind("jobs");
    let mut job = body("jobs/every_task");
    jobs.rewrite(&mut job, &mut |one| match one.to {
        Target::Job => Some(format!("99{}", one.value)),
        Target::WorkspacePath => Some(format!("/Moved{}", one.value)),
        _ => None,
    });
    let at = |pointer: &str| job.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(
        at("/settings/tasks/11/run_job_task/job_id"),
        json!(99_620_000_000_000_002_u64)
    );
    assert_eq!(
        at("/settings/tasks/14/for_each_task/task/run_job_task/job_id"),
        json!(99_620_000_000_000_003_u64)
    );
    assert_eq!(
        at("/settings/tasks/9/sql_task/file/path"),
        json!("/Workspace/Moved/Shared/q.sql")
    );
    assert_eq!(
        at("/settings/tasks/13/for_each_task/task/notebook_task/notebook_path"),
        json!("/Moved/Shared/inner")
    );
    assert_eq!(
        at("/settings/environments/0/spec/dependencies/2"),
        json!("-r /Workspace/Moved/Shared/r.txt")
    );
    assert_eq!(
        at("/settings/environments/0/spec/dependencies/0"),
        json!("requests==2.0")
    );
    assert_eq!(
        at("/settings/tasks/1/spark_python_task/parameters/2"),
        json!("/Users/not-a-reference")
    );
}

#[test]
fn a_job_lands_paused_and_gets_back_what_it_had() {
    let jobs = kind("jobs");
    let archived = body("jobs/every_task");
    assert!(jobs.is_active(&archived), "an absent pause_status runs");
    let mut waiting = archived.clone();
    jobs.land_passive(&mut waiting);
    for pointer in [
        "/settings/schedule",
        "/settings/trigger",
        "/settings/triggers/0",
    ] {
        assert_eq!(
            waiting.pointer(pointer).unwrap()["pause_status"],
            json!("PAUSED"),
            "{pointer}"
        );
    }
    assert!(
        waiting["settings"].get("continuous").is_none(),
        "nothing is invented"
    );
    assert!(!jobs.is_active(&waiting));
    jobs.restore_active(&mut waiting, &archived);
    assert_eq!(waiting.to_string(), archived.to_string());
}

#[test]
fn the_single_task_form_becomes_one_task() {
    let jobs = kind("jobs");
    let old = body("jobs/single_task");
    let mut request = jobs.request_form(&old);
    jobs.land_passive(&mut request);
    let expected = json!({
        "name": "old",
        "email_notifications": {},
        "timeout_seconds": 3600,
        "continuous": {"pause_status": "PAUSED"},
        "tasks": [{
            "task_key": "main",
            "existing_cluster_id": "0722-120000-abcd1234",
            "notebook_task": {"notebook_path": "/Shared/old"},
            "libraries": [{"jar": "dbfs:/jars/old.jar"}],
            "max_retries": 2,
        }],
        "run_as": {"user_name": "ana.lopez@example.com"},
    });
    assert_eq!(jobs.create_body(&request).unwrap(), expected);
    let in_old_form: Vec<_> = jobs
        .found_references(&old)
        .into_iter()
        .map(|one| (one.to, one.value))
        .collect();
    let in_new_form: Vec<_> = jobs
        .found_references(&request)
        .into_iter()
        .map(|one| (one.to, one.value))
        .collect();
    assert_eq!(in_old_form[..3], in_new_form[..3]);
    assert_eq!(
        needs::dbfs_files(jobs, &old)
            .into_iter()
            .collect::<Vec<_>>(),
        ["/jars/old.jar"]
    );
}

#[test]
fn run_as_of_an_old_job_is_the_one_it_is_shown_with() {
    let jobs = kind("jobs");
    let run_as = |name: Value| {
        jobs.request_form(&json!({"run_as_user_name": name, "settings": {}}))["settings"].clone()
    };
    let application = "8f2c9a10-3b4d-4e5f-8a9b-0c1d2e3f4a5b";
    assert_eq!(
        run_as(json!(application)),
        json!({"run_as": {"service_principal_name": application}})
    );
    assert_eq!(
        run_as(json!("a@b.c")),
        json!({"run_as": {"user_name": "a@b.c"}})
    );
    assert_eq!(run_as(json!("")), json!({}));
    let kept = body("jobs/every_task");
    assert_eq!(
        jobs.request_form(&kept)["settings"]["run_as"],
        kept["settings"]["run_as"]
    );
}

#[test]
fn a_reset_carries_the_id_as_a_number_beside_the_settings() {
    let jobs = kind("jobs");
    let reset = jobs
        .update_body(&jobs.request_form(&body("jobs/git")), "77")
        .unwrap();
    assert_eq!(reset["job_id"], json!(77));
    assert_eq!(reset["new_settings"]["name"], json!("from git"));
    assert_eq!(jobs.delete_body("77"), Some(json!({"job_id": 77})));
}

#[test]
fn paths_into_a_repository_are_no_references() {
    let found = kind("jobs").found_references(&body("jobs/git"));
    assert!(
        found.iter().all(|one| one.to == Target::Cluster),
        "{found:?}"
    );
}

#[test]
fn order_of_tasks_and_defaults_of_the_server_make_no_difference() {
    let jobs = kind("jobs");
    let archived = body("jobs/git");
    let mut target = jobs.request_form(&archived);
    target["settings"]["tasks"]
        .as_array_mut()
        .unwrap()
        .reverse();
    let settings = target["settings"].as_object_mut().unwrap();
    for (field, value) in [
        (
            "email_notifications",
            json!({"no_alert_for_skipped_runs": false}),
        ),
        ("webhook_notifications", json!({})),
        ("timeout_seconds", json!(0)),
        ("max_concurrent_runs", json!(1)),
        ("format", json!("MULTI_TASK")),
    ] {
        settings.insert(field.to_owned(), value);
    }
    for task in settings["tasks"].as_array_mut().unwrap() {
        task["run_if"] = json!("ALL_SUCCESS");
        task["timeout_seconds"] = json!(0);
        places::take(task, "(notebook_task|spark_python_task).source");
    }
    target["run_as_user_name"] = json!("somebody");
    assert_eq!(jobs.compare_form(&archived), jobs.compare_form(&target));
    target["settings"]["tasks"][0]["run_if"] = json!("ALL_DONE");
    assert_ne!(jobs.compare_form(&archived), jobs.compare_form(&target));
}

#[test]
fn unpaused_and_absent_are_the_same_state() {
    let jobs = kind("jobs");
    let job = |schedule: Value| json!({"settings": {"name": "a", "schedule": schedule}});
    let absent = jobs.compare_form(&job(json!({"timezone_id": "UTC"})));
    assert_eq!(
        absent,
        jobs.compare_form(&job(
            json!({"timezone_id": "UTC", "pause_status": "UNPAUSED"})
        ))
    );
    assert_ne!(
        absent,
        jobs.compare_form(&job(
            json!({"timezone_id": "UTC", "pause_status": "PAUSED"})
        ))
    );
}

#[test]
fn job_clusters_follow_the_rules_of_clusters() {
    let request = kind("jobs").request_form(&body("jobs/every_task"));
    let of_pool = &request["settings"]["job_clusters"][0]["new_cluster"];
    assert!(of_pool.get("node_type_id").is_none());
    assert_eq!(of_pool["driver_instance_pool_id"], json!("pool-b"));
    assert_eq!(
        request["settings"]["tasks"][2]["new_cluster"]["num_workers"],
        json!(0)
    );
    assert!(request["settings"].get("format").is_none());
}

#[test]
fn jobs_that_run_jobs_are_ordered_and_circles_named() {
    let runs = |job: u64| json!({"settings": {"tasks": [{"run_job_task": {"job_id": job}}]}});
    let after = |job: u64| json!({"settings": {"trigger": {"job_completion": {"job_ids": [job]}}}});
    let (a, b, c, d, e) = (runs(2), after(3), json!({"settings": {}}), runs(5), runs(4));
    let given: Vec<(String, &Value)> = [("1", &a), ("2", &b), ("3", &c), ("4", &d), ("5", &e)]
        .map(|(id, body)| (id.to_owned(), body))
        .into();
    let order = order::jobs(&given);
    assert_eq!(order.sorted, ["3", "2", "1"]);
    assert_eq!(order.circles, [["4".to_owned(), "5".to_owned()]]);
}

#[test]
fn jobs_of_the_service_itself_are_not_ours_but_those_of_bundles_are() {
    let job = |kind: &str| json!({"settings": {"deployment": {"kind": kind}}});
    assert!((kind("jobs").include)(&job("SYSTEM_MANAGED")).is_err());
    assert!((kind("jobs").include)(&job("BUNDLE")).is_ok());
}

#[test]
fn a_reply_of_the_permissions_api_gives_a_put() {
    let reply = body("acls/job");
    let grants = lifeboat_catalog::acl::grants(&reply);
    let owner = lifeboat_catalog::acl::check_owner(&grants).unwrap();
    assert_eq!(owner.name, "8f2c9a10-3b4d-4e5f-8a9b-0c1d2e3f4a5b");
    let expected = json!([
        {"user_name": "zoe@example.com", "permission_level": "CAN_VIEW"},
        {"group_name": "engineers", "permission_level": "CAN_MANAGE_RUN"},
        {"service_principal_name": "8f2c9a10-3b4d-4e5f-8a9b-0c1d2e3f4a5b", "permission_level": "IS_OWNER"},
    ]);
    assert_eq!(lifeboat_catalog::acl::direct(&reply), expected);
}

#[test]
fn the_text_of_a_compare_form_does_not_depend_on_the_order_of_keys() {
    let job = |settings: &str| {
        let body: Value = serde_json::from_str(&format!("{{\"settings\":{settings}}}")).unwrap();
        kind("jobs").compare_form(&body).to_string()
    };
    let one = job(
        r#"{"name":"a","tasks":[{"task_key":"t","libraries":[{"pypi":{"package":"x","repo":"r"}},{"cran":{"package":"x"}}]}]}"#,
    );
    let other = job(
        r#"{"tasks":[{"libraries":[{"cran":{"package":"x"}},{"pypi":{"repo":"r","package":"x"}}],"task_key":"t"}],"name":"a"}"#,
    );
    assert_eq!(one, other);
}
