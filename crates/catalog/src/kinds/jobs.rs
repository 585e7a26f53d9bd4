//! Jobs, API 2.2 (fact sheet, section 8).
//!
//! Every task type, tasks inside `for_each_task`, clusters of the job, triggers, and the single-task form of API 2.0,
//! which is sent as one task.

use serde_json::{Map, Value, json};

use super::cluster_spec::{self, cluster_defaults, cluster_references};
use crate::kind::{
    BASE, Form, Kind, List, NaturalKey, Paging, Passive, Permissions, Read, Stage, Target, WRITE,
    Write, reference,
};
use crate::places;

/// A place in every task: those of the job, those inside `for_each_task`, and the job itself in single-task form.
macro_rules! task {
    ($place:literal) => {
        concat!("settings.(tasks[*].|tasks[*].for_each_task.task.|)", $place)
    };
}

/// A place in every cluster specification of the job.
macro_rules! cluster {
    () => {
        "settings.(tasks[*].|tasks[*].for_each_task.task.|job_clusters[*].|)new_cluster."
    };
}

/// The kind.
pub static KIND: Kind = Kind {
    name: "jobs",
    singular: "job",
    stage: Stage::Jobs,
    list: Some(List {
        path: "/api/2.2/jobs/list",
        array: "jobs",
        paging: Paging::PageToken {
            size: ("limit", 100),
        },
        query: &[],
        only_listed: &[],
    }),
    read: Some(Read {
        path: "/api/2.2/jobs/get",
        id_query: Some("job_id"),
        paged_arrays: &[
            "settings.tasks",
            "settings.job_clusters",
            "settings.environments",
            "settings.parameters",
        ],
    }),
    id: "job_id",
    numeric_id: true,
    label: "settings.name",
    natural_key: NaturalKey::NameAndContent("settings.name"),
    include: |body| match places::text(body, "settings.deployment.kind").as_deref() {
        Some("SYSTEM_MANAGED") => Err("managed by the service"),
        _ => Ok(()),
    },
    volatile: &[
        "trigger_state",
        "trigger_details",
        "has_more",
        "next_page_token",
        "prev_page_token",
    ],
    server_set: &[
        "job_id",
        "creator_user_name",
        "run_as_user_name",
        "created_time",
        "effective_*",
        "settings.effective_*",
        "settings.format",
    ],
    defaults: DEFAULTS,
    compared_unordered: &[
        ("settings.tasks", "task_key"),
        ("settings.job_clusters", "job_cluster_key"),
        ("settings.environments", "environment_key"),
        (task!("depends_on"), "task_key"),
        (task!("libraries"), ""),
        (task!("email_notifications{*}"), ""),
        (task!("webhook_notifications{*}"), "id"),
    ],
    references: REFERENCES,
    passive: &[
        Passive {
            within: "settings.schedule",
            field: "pause_status",
            value: "\"PAUSED\"",
        },
        Passive {
            within: "settings.continuous",
            field: "pause_status",
            value: "\"PAUSED\"",
        },
        Passive {
            within: "settings.trigger",
            field: "pause_status",
            value: "\"PAUSED\"",
        },
        Passive {
            within: "settings.triggers[*]",
            field: "pause_status",
            value: "\"PAUSED\"",
        },
    ],
    permissions: Some(Permissions {
        segment: "jobs",
        object_type: "job",
        levels: &["CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"],
        has_owner: true,
    }),
    create: Some(Write {
        path: "/api/2.2/jobs/create",
        from: "settings",
        returns_id: Some("job_id"),
        ..WRITE
    }),
    update: Some(Write {
        path: "/api/2.2/jobs/reset",
        id_body: Some("job_id"),
        wrap: Some("new_settings"),
        from: "settings",
        ..WRITE
    }),
    delete: Some(Write {
        path: "/api/2.2/jobs/delete",
        id_body: Some("job_id"),
        ..WRITE
    }),
    shape_request,
    shape_compare,
    ..BASE
};

const DEFAULTS: &[(&str, &str)] = cluster_defaults!(
    cluster!(),
    [
        (
            task!("email_notifications.no_alert_for_skipped_runs"),
            "false"
        ),
        (task!("email_notifications"), "{}"),
        (task!("webhook_notifications"), "{}"),
        (
            task!(
                "notification_settings.(no_alert_for_skipped_runs|no_alert_for_canceled_runs|alert_on_last_attempt)"
            ),
            "false"
        ),
        (task!("notification_settings"), "{}"),
        (task!("run_if"), "\"ALL_SUCCESS\""),
        (task!("timeout_seconds"), "0"),
        (task!("max_retries"), "0"),
        (task!("min_retry_interval_millis"), "0"),
        (task!("retry_on_timeout"), "false"),
        (task!("disabled"), "false"),
        ("settings.name", "\"Untitled\""),
        ("settings.description", "\"\""),
        ("settings.max_concurrent_runs", "1"),
        ("settings.tags", "{}"),
        ("settings.queue.enabled", "false"),
        ("settings.queue", "{}"),
        ("settings.edit_mode", "\"EDITABLE\""),
        (
            "settings.(schedule|continuous|trigger|triggers[*]).pause_status",
            "\"UNPAUSED\""
        ),
    ]
);

const REFERENCES: &[crate::kind::Reference] = cluster_references!(
    cluster!(),
    [
        reference(task!("existing_cluster_id"), Target::Cluster, Form::Id),
        reference(
            task!("libraries[*].(jar|whl|egg|requirements)"),
            Target::AnyPath,
            Form::Path
        ),
        reference(
            task!("notebook_task.notebook_path"),
            Target::WorkspacePath,
            Form::Path
        ),
        reference(
            task!("spark_python_task.python_file"),
            Target::AnyPath,
            Form::Path
        ),
        reference(
            task!("spark_jar_task.jar_uri"),
            Target::DbfsPath,
            Form::DbfsPath
        ),
        reference(
            task!(
                "(spark_jar_task|spark_submit_task|spark_python_task|python_wheel_task).parameters[*]"
            ),
            Target::AnyPath,
            Form::Argument
        ),
        reference(
            task!("sql_task.file.path"),
            Target::WorkspacePath,
            Form::Path
        ),
        reference(
            task!("dbt_task.(project_directory|profiles_directory)"),
            Target::WorkspacePath,
            Form::Path
        ),
        reference(
            task!("alert_task.workspace_path"),
            Target::WorkspacePath,
            Form::Path
        ),
        reference(
            task!("gen_ai_compute_task.(training_script_path|yaml_parameters_file_path)"),
            Target::AnyPath,
            Form::Argument
        ),
        reference(
            task!(
                "(notebook_task|sql_task|dbt_task|dashboard_task|alert_task|power_bi_task).warehouse_id"
            ),
            Target::Warehouse,
            Form::Id
        ),
        reference(
            task!("pipeline_task.pipeline_id"),
            Target::Pipeline,
            Form::Id
        ),
        reference(task!("run_job_task.job_id"), Target::Job, Form::Id),
        reference(task!("sql_task.query.query_id"), Target::Query, Form::Id),
        reference(
            task!("(sql_task.dashboard|dashboard_task).dashboard_id"),
            Target::Dashboard,
            Form::Id
        ),
        reference(
            task!("(sql_task.alert|alert_task).alert_id"),
            Target::Alert,
            Form::Id
        ),
        reference(
            task!(
                "(sql_task.dashboard.subscriptions|sql_task.alert.subscriptions|dashboard_task.subscription.subscribers|alert_task.subscribers)[*].user_name"
            ),
            Target::User,
            Form::Name
        ),
        reference(
            task!(
                "(sql_task.dashboard.subscriptions|sql_task.alert.subscriptions|dashboard_task.subscription.subscribers|alert_task.subscribers)[*].destination_id"
            ),
            Target::NotificationDestination,
            Form::Id
        ),
        reference(
            task!("webhook_notifications{*}[*].id"),
            Target::NotificationDestination,
            Form::Id
        ),
        reference(
            task!("email_notifications{*}[*]"),
            Target::EmailAddress,
            Form::Name
        ),
        reference(
            "settings.environments[*].spec.(dependencies|java_dependencies)[*]",
            Target::AnyPath,
            Form::Argument
        ),
        reference(
            "settings.environments[*].spec.base_environment",
            Target::AnyPath,
            Form::Argument
        ),
        reference("settings.run_as.user_name", Target::User, Form::Name),
        reference(
            "settings.run_as.service_principal_name",
            Target::ServicePrincipal,
            Form::Name
        ),
        reference("settings.run_as.group_name", Target::Group, Form::Name),
        reference(
            "settings.(trigger|triggers[*]).job_completion.(job_id|job_ids[*])",
            Target::Job,
            Form::Id
        ),
        reference(
            "settings.(trigger|triggers[*]).file_arrival.url",
            Target::AnyPath,
            Form::Path
        ),
        reference(
            "settings.(schedule|trigger|triggers[*]).sql_condition.sql_query_id",
            Target::Query,
            Form::Id
        ),
        reference(
            "settings.(schedule|trigger|triggers[*]).sql_condition.warehouse_id",
            Target::Warehouse,
            Form::Id
        ),
        reference(
            "settings.(budget_policy_id|usage_policy_id)",
            Target::BudgetPolicy,
            Form::Id
        ),
        reference("settings.parent_path", Target::WorkspacePath, Form::Path),
        reference(
            "settings.deployment.metadata_file_path",
            Target::AnyPath,
            Form::Argument
        ),
    ]
);

/// Fields of the single-task form that belong to the task.
const OF_THE_TASK: [&str; 12] = [
    "existing_cluster_id",
    "new_cluster",
    "notebook_task",
    "spark_jar_task",
    "spark_python_task",
    "spark_submit_task",
    "python_wheel_task",
    "pipeline_task",
    "libraries",
    "max_retries",
    "min_retry_interval_millis",
    "retry_on_timeout",
];
/// Key of the task that a job in single-task form becomes.
pub const SINGLE_TASK_KEY: &str = "main";

fn shape_request(request: &mut Value, original: &Value) {
    let Some(settings) = request.get_mut("settings").and_then(Value::as_object_mut) else {
        return;
    };
    one_task(settings);
    if !settings.contains_key("run_as")
        && let Some(run_as) = original
            .get("run_as_user_name")
            .and_then(Value::as_str)
            .and_then(run_as)
    {
        settings.insert("run_as".to_owned(), run_as);
    }
    places::visit_mut(request, cluster!().trim_end_matches('.'), &mut |_, spec| {
        cluster_spec::shape(spec)
    });
}

fn shape_compare(form: &mut Value) {
    places::visit_mut(form, cluster!().trim_end_matches('.'), &mut |_, spec| {
        cluster_spec::normalise(spec)
    });
    let source = if places::get(form, "settings.git_source").is_some() {
        "GIT"
    } else {
        "WORKSPACE"
    };
    for place in [
        task!("(notebook_task|spark_python_task|dbt_task).source"),
        task!("sql_task.file.source"),
    ] {
        let at: Vec<String> = places::find(form, place)
            .into_iter()
            .filter(|(_, value)| value.as_str() == Some(source))
            .map(|(pointer, _)| pointer)
            .collect();
        for pointer in at {
            places::take_pointer(form, &pointer);
        }
    }
}

/// Turns the single-task form into a job with one task.
fn one_task(settings: &mut Map<String, Value>) {
    if settings.contains_key("tasks")
        || !OF_THE_TASK
            .iter()
            .any(|field| settings.contains_key(*field))
    {
        return;
    }
    let mut task = Map::from_iter([("task_key".to_owned(), json!(SINGLE_TASK_KEY))]);
    for field in OF_THE_TASK {
        if let Some(value) = settings.shift_remove(field) {
            task.insert(field.to_owned(), value);
        }
    }
    settings.insert("tasks".to_owned(), json!([task]));
}

/// `run_as` for what the service shows as `run_as_user_name`: the application id of a service principal is a GUID.
fn run_as(name: &str) -> Option<Value> {
    if name.is_empty() {
        return None;
    }
    let field = if is_guid(name) {
        "service_principal_name"
    } else {
        "user_name"
    };
    Some(json!({ field: name }))
}

/// True for 8-4-4-4-12 hexadecimal digits, the shape of application ids.
pub fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12])
        && text
            .bytes()
            .all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}
