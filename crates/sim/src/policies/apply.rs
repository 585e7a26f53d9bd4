//! What a policy does to the specification of a cluster: fixed values, limits, defaults.

use serde_json::{Map, Value, json};

use crate::http::{ApiError, as_i64};
use crate::world::World;

/// Checks a specification against a policy and fills in its fixed values, with `defaults` also its default values.
///
/// # Errors
/// 400 `INVALID_PARAMETER_VALUE` when there is no such policy or a rule is broken.
pub fn apply(
    world: &World,
    id: &str,
    spec: &mut Map<String, Value>,
    defaults: bool,
) -> Result<(), ApiError> {
    let policy = world
        .policies
        .get(id)
        .ok_or_else(|| ApiError::invalid(format!("Can't find a cluster policy with id: {id}.")))?;
    let rules: Map<String, Value> = match serde_json::from_str(&policy.definition) {
        Ok(Value::Object(rules)) => rules,
        _ => return Ok(()),
    };
    for (attribute, rule) in &rules {
        // Rules on list elements, on computed sizes and on the kind of cluster have no field to act on.
        if attribute.contains('*')
            || attribute.starts_with("init_scripts")
            || matches!(attribute.as_str(), "dbus_per_hour" | "cluster_type")
        {
            continue;
        }
        one_rule(spec, attribute, rule, defaults)?;
    }
    Ok(())
}

fn one_rule(
    spec: &mut Map<String, Value>,
    attribute: &str,
    rule: &Value,
    defaults: bool,
) -> Result<(), ApiError> {
    let place = Place::of(attribute);
    let given = place.get(spec).cloned();
    let broken = |why: String| {
        Err(ApiError::invalid(format!(
            "Validation failed for {attribute}, {why}"
        )))
    };
    match (rule["type"].as_str().unwrap_or(""), &given) {
        ("fixed", None) => {
            place.set(spec, &rule["value"]);
            return Ok(());
        }
        ("fixed", Some(value)) if !same(value, &rule["value"]) => {
            return broken(format!("the value must be {}", rule["value"]));
        }
        ("forbidden", Some(_)) => return broken("the value must not be present".into()),
        ("allowlist", Some(value)) if !listed(rule, value) => {
            return broken(format!("the value must be one of {}", rule["values"]));
        }
        ("blocklist", Some(value)) if listed(rule, value) => {
            return broken(format!("the value must not be one of {}", rule["values"]));
        }
        ("range", Some(value)) => {
            let number = as_i64(value).unwrap_or(0);
            let bound = |name: &str| rule.get(name).and_then(as_i64);
            if bound("minValue").is_some_and(|low| number < low)
                || bound("maxValue").is_some_and(|high| number > high)
            {
                return broken(format!("the value {number} is out of range"));
            }
        }
        ("allowlist" | "range" | "unlimited" | "regex" | "blocklist", None) => {
            let default = rule.get("defaultValue");
            let needed = rule["isOptional"].as_bool() != Some(true)
                && default.is_none()
                && rule["type"] != "unlimited";
            match default {
                Some(value) if defaults => place.set(spec, value),
                _ if needed => return broken("the value must be present".into()),
                _ => {}
            }
        }
        _ => {}
    }
    Ok(())
}

fn listed(rule: &Value, value: &Value) -> bool {
    rule["values"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|allowed| same(allowed, value))
}

/// Equal as the service compares them: `5` and `"5"` are the same.
fn same(a: &Value, b: &Value) -> bool {
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    text(a) == text(b)
}

/// Where an attribute stands: `autoscale.min_workers`, and `spark_conf.spark.x` whose key holds dots itself.
struct Place<'a> {
    outer: &'a str,
    inner: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(attribute: &'a str) -> Self {
        match attribute.split_once('.') {
            Some((outer, inner)) => Self {
                outer,
                inner: Some(inner),
            },
            None => Self {
                outer: attribute,
                inner: None,
            },
        }
    }

    fn get<'v>(&self, spec: &'v Map<String, Value>) -> Option<&'v Value> {
        let outer = spec.get(self.outer)?;
        self.inner.map_or(Some(outer), |inner| outer.get(inner))
    }

    fn set(&self, spec: &mut Map<String, Value>, value: &Value) {
        match self.inner {
            None => {
                spec.insert(self.outer.to_owned(), value.clone());
            }
            Some(inner) => {
                if let Value::Object(map) = spec.entry(self.outer).or_insert_with(|| json!({})) {
                    map.insert(inner.to_owned(), value.clone());
                }
            }
        }
    }
}
