//! Policy families: templates of the service, the same in every workspace.

use serde_json::{Map, Value, json};

use crate::http::{ApiError, Reply, Request};
use crate::world::World;

/// A family.
pub struct Family {
    /// `policy_family_id`
    pub id: &'static str,
    /// Name, also of the built-in policy.
    pub name: &'static str,
    description: &'static str,
    node_types: &'static [&'static str],
    autotermination: i64,
    /// Every workspace has a policy of this family.
    pub builtin: bool,
}

impl Family {
    /// The definition as JSON text.
    pub fn definition(&self) -> String {
        let mut rules = Map::new();
        rules.insert("node_type_id".into(), json!({"type": "allowlist", "values": self.node_types, "defaultValue": self.node_types[0]}));
        rules.insert(
            "spark_version".into(),
            json!({"type": "unlimited", "defaultValue": "15.4.x-scala2.12"}),
        );
        if self.id == "job-cluster" {
            rules.insert(
                "cluster_type".into(),
                json!({"type": "fixed", "value": "job"}),
            );
            return Value::Object(rules).to_string();
        }
        rules.insert(
            "autotermination_minutes".into(),
            json!({"type": "unlimited", "defaultValue": self.autotermination}),
        );
        if self.id == "personal-vm" {
            rules.insert(
                "num_workers".into(),
                json!({"type": "fixed", "value": 0, "hidden": true}),
            );
            rules.insert(
                "spark_conf.spark.databricks.cluster.profile".into(),
                json!({"type": "fixed", "value": "singleNode", "hidden": true}),
            );
            rules.insert("data_security_mode".into(), json!({"type": "allowlist", "values": ["SINGLE_USER", "LEGACY_SINGLE_USER"], "defaultValue": "SINGLE_USER", "hidden": true}));
        }
        Value::Object(rules).to_string()
    }

    fn view(&self) -> Value {
        json!({"policy_family_id": self.id, "name": self.name, "description": self.description, "definition": self.definition()})
    }
}

/// All families.
pub const FAMILIES: &[Family] = &[
    Family {
        id: "personal-vm",
        name: "Personal Compute",
        description: "Use with small-to-medium data or libraries like pandas.",
        node_types: &["Standard_DS3_v2", "Standard_DS4_v2", "Standard_D4ds_v5"],
        autotermination: 4320,
        builtin: true,
    },
    Family {
        id: "power-user",
        name: "Power User Compute",
        description: "Create larger single-user compute resources.",
        node_types: &[
            "Standard_DS3_v2",
            "Standard_DS4_v2",
            "Standard_DS5_v2",
            "Standard_E8ds_v4",
        ],
        autotermination: 4320,
        builtin: true,
    },
    Family {
        id: "shared-compute",
        name: "Shared Compute",
        description: "Create larger multi-node resources intended for multiple users.",
        node_types: &["Standard_DS3_v2", "Standard_DS4_v2", "Standard_DS5_v2"],
        autotermination: 4320,
        builtin: true,
    },
    Family {
        id: "job-cluster",
        name: "Job Compute",
        description: "Default policy for jobs.",
        node_types: &["Standard_DS3_v2", "Standard_DS4_v2", "Standard_F8s_v2"],
        autotermination: 0,
        builtin: true,
    },
    Family {
        id: "shared-data-science",
        name: "Shared Data Science",
        description: "Shared by data scientists.",
        node_types: &["Standard_DS4_v2", "Standard_NC6s_v3"],
        autotermination: 120,
        builtin: false,
    },
];

pub fn missing(id: &str) -> ApiError {
    ApiError::not_found(format!("Can't find a policy family with id: {id}."))
}

pub fn list(_: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let size = usize::try_from(
        request
            .number("max_results")?
            .filter(|size| *size > 0)
            .unwrap_or(100),
    )
    .unwrap_or(100);
    let start: usize = match request
        .query("page_token")
        .filter(|token| !token.is_empty())
    {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| ApiError::invalid(format!("Invalid page token: {token}")))?,
    };
    let page: Vec<Value> = FAMILIES
        .iter()
        .skip(start)
        .take(size)
        .map(Family::view)
        .collect();
    let end = start + page.len();
    let mut body = json!({ "policy_families": page });
    if end < FAMILIES.len() {
        body["next_page_token"] = json!(end.to_string());
    }
    Ok(Reply::json(body))
}

pub fn get(_: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let id = request.param("id");
    let family = FAMILIES
        .iter()
        .find(|family| family.id == id)
        .ok_or_else(|| missing(id))?;
    Ok(Reply::json(family.view()))
}
