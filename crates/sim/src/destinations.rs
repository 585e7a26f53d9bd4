//! Notification destinations (fact sheet, section 15) and SQL warehouses (section 16), as far as other objects name them.
//!
//! Destinations are listed, read, made and deleted; warehouses are only listed and read. Neither starts anything here.

use serde_json::{Map, Value, json};

use crate::http::{ApiError, Reply, Request, need_str};
use crate::route::Route;
use crate::world::World;

/// Destinations on one page, whatever `page_size` asks for.
const PAGE: usize = 20;

/// All destinations and warehouses, in the order of their creation.
#[derive(Debug, Default)]
pub struct Destinations {
    destinations: Vec<Destination>,
    warehouses: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
struct Destination {
    id: String,
    name: String,
    config: Map<String, Value>,
}

const ONE: &str = "/api/2.0/notification-destinations/{id}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/2.0/notification-destinations", list),
        Route::post("/api/2.0/notification-destinations", create),
        Route::get(ONE, get),
        Route::delete(ONE, delete),
        Route::get("/api/2.0/sql/warehouses", warehouses),
        Route::get("/api/2.0/sql/warehouses/{id}", warehouse),
    ]
}

/// Adds a destination that writes to an address; returns its id.
pub fn add(world: &mut World, name: &str, address: &str) -> String {
    let config = json!({"email": {"addresses": [address]}});
    let Value::Object(config) = config else {
        return String::new();
    };
    insert(world, name, config)
}

/// Adds a stopped SQL warehouse; returns its id.
pub fn add_warehouse(world: &mut World, name: &str) -> String {
    let id = world.ids.hex(16);
    let warehouses = &mut world.destinations.warehouses;
    warehouses.push((id.clone(), name.to_owned()));
    id
}

fn insert(world: &mut World, name: &str, config: Map<String, Value>) -> String {
    let id = world.ids.uuid();
    world.destinations.destinations.push(Destination {
        id: id.clone(),
        name: name.to_owned(),
        config,
    });
    id
}

fn destination_type(config: &Map<String, Value>) -> &'static str {
    match config.keys().next().map(String::as_str) {
        Some("slack") => "SLACK",
        Some("microsoft_teams") => "MICROSOFT_TEAMS",
        Some("pagerduty") => "PAGERDUTY",
        Some("generic_webhook") => "WEBHOOK",
        _ => "EMAIL",
    }
}

/// An element of the listing; only `get` shows the configuration, and what is secret in it only as `*_set`.
fn brief(one: &Destination) -> Value {
    json!({"id": one.id, "display_name": one.name, "destination_type": destination_type(&one.config)})
}

fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let all = &world.destinations.destinations;
    let start = match request
        .query("page_token")
        .filter(|token| !token.is_empty())
    {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| ApiError::invalid(format!("Invalid page token: {token}")))?,
    };
    let asked = request.number("page_size")?.filter(|size| *size > 0);
    let size = asked.map_or(PAGE, |size| usize::try_from(size).unwrap_or(PAGE).min(PAGE));
    let page: Vec<Value> = all.iter().skip(start).take(size).map(brief).collect();
    let end = start + page.len();
    let mut reply = Reply::list("results", page);
    if end < all.len()
        && let crate::http::Body::Json(body) = &mut reply.body
    {
        body["next_page_token"] = json!(end.to_string());
    }
    Ok(reply)
}

fn position(world: &World, id: &str) -> Result<usize, ApiError> {
    let mut all = world.destinations.destinations.iter();
    all.position(|one| one.id == id)
        .ok_or_else(|| ApiError::not_found(format!("Notification destination {id} not found.")))
}

fn get(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let at = position(world, request.param("id"))?;
    let one = &world.destinations.destinations[at];
    let mut body = brief(one);
    let shown: Map<String, Value> = one
        .config
        .iter()
        .map(|(kind, fields)| (kind.clone(), without_secrets(kind, fields)))
        .collect();
    body["config"] = Value::Object(shown);
    Ok(Reply::json(body))
}

fn without_secrets(kind: &str, fields: &Value) -> Value {
    let Some(fields) = fields.as_object().filter(|_| kind != "email") else {
        return fields.clone();
    };
    let shown = fields.keys().map(|key| (format!("{key}_set"), json!(true)));
    Value::Object(shown.collect())
}

fn need_admin(request: &Request) -> Result<(), ApiError> {
    if request.caller.admin {
        return Ok(());
    }
    Err(ApiError::denied(
        "Only workspace admins can manage notification destinations.",
    ))
}

fn create(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    let body = request.json()?;
    let name = need_str(&body, "display_name")?.to_owned();
    let taken = world.destinations.destinations.iter();
    if taken.clone().any(|one| one.name == name) {
        return Err(ApiError::exists(format!(
            "A notification destination named {name} already exists."
        )));
    }
    let config = body.get("config").and_then(Value::as_object);
    let Some(config) = config.filter(|config| config.len() == 1).cloned() else {
        return Err(ApiError::invalid("Exactly one config must be given"));
    };
    let id = insert(world, &name, config);
    let at = position(world, &id)?;
    Ok(Reply::json(brief(&world.destinations.destinations[at])))
}

fn delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    let at = position(world, request.param("id"))?;
    world.destinations.destinations.remove(at);
    Ok(Reply::empty_object())
}

fn render_warehouse((id, name): &(String, String)) -> Value {
    json!({"id": id, "name": name, "state": "STOPPED", "cluster_size": "2X-Small", "warehouse_type": "PRO", "num_clusters": 0})
}

fn warehouses(world: &mut World, _: &Request) -> Result<Reply, ApiError> {
    let all = world.destinations.warehouses.iter();
    Ok(Reply::list(
        "warehouses",
        all.map(render_warehouse).collect(),
    ))
}

fn warehouse(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let id = request.param("id");
    let mut all = world.destinations.warehouses.iter();
    all.find(|(known, _)| known == id)
        .map(|found| Reply::json(render_warehouse(found)))
        .ok_or_else(|| ApiError::not_found(format!("SQL warehouse {id} does not exist.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::testing::{call, get};

    #[test]
    fn destinations_come_in_pages_and_hide_their_secrets() {
        let mut world = World::for_tests();
        for number in 0..25 {
            add(&mut world, &format!("mail {number}"), "a@example.com");
        }
        let (_, first) = get(
            &mut world,
            "/api/2.0/notification-destinations?page_size=100",
        );
        assert_eq!(first["results"].as_array().map(Vec::len), Some(PAGE));
        let token = first["next_page_token"].as_str().expect("a second page");
        let path = format!("/api/2.0/notification-destinations?page_token={token}");
        let (_, second) = get(&mut world, &path);
        assert_eq!(second["results"].as_array().map(Vec::len), Some(5));
        assert!(second.get("next_page_token").is_none());
        let body = json!({"display_name": "hook", "config": {"generic_webhook": {"url": "https://x", "password": "p"}}});
        let (status, made) = call(
            &mut world,
            "POST",
            "/api/2.0/notification-destinations",
            body.clone(),
        );
        assert_eq!(
            (status, &made["destination_type"]),
            (200, &json!("WEBHOOK"))
        );
        let path = format!(
            "/api/2.0/notification-destinations/{}",
            made["id"].as_str().expect("id")
        );
        let (_, read) = get(&mut world, &path);
        assert_eq!(
            read["config"]["generic_webhook"],
            json!({"url_set": true, "password_set": true})
        );
        assert_eq!(
            call(
                &mut world,
                "POST",
                "/api/2.0/notification-destinations",
                body
            )
            .0,
            400
        );
    }
}
