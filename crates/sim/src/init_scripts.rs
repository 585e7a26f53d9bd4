//! Global init scripts (fact sheet, section 10.1): administrators only, in an order without holes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::http::{ApiError, Reply, Request, as_i64, need_str, opt_str};
use crate::route::Route;
use crate::tree::digest;
use crate::workspace::form;
use crate::world::World;

const MAX_SCRIPT: usize = 64 * 1024;

#[derive(Clone, Debug)]
struct Script {
    id: String,
    name: String,
    script: Bytes,
    enabled: bool,
    created: (i64, String),
    updated: (i64, String),
}

/// All scripts; the place in the list is the position.
#[derive(Debug, Default)]
pub struct InitScripts {
    scripts: Vec<Script>,
}

const ONE: &str = "/api/2.0/global-init-scripts/{id}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/2.0/global-init-scripts", list),
        Route::post("/api/2.0/global-init-scripts", create),
        Route::get(ONE, get),
        Route::patch(ONE, update),
        Route::delete(ONE, delete),
    ]
}

/// Adds a script at the end; returns its id.
pub fn add(world: &mut World, name: &str, script: &[u8], enabled: bool) -> String {
    let id = world.ids.hex(16).to_uppercase();
    let by = (world.clock.now_ms(), crate::world::ADMIN.to_owned());
    world.init_scripts.scripts.push(Script {
        id: id.clone(),
        name: name.to_owned(),
        script: Bytes::copy_from_slice(script),
        enabled,
        created: by.clone(),
        updated: by,
    });
    id
}

/// Scripts in their order.
#[must_use]
pub fn dump(world: &World) -> Value {
    let all = world.init_scripts.scripts.iter();
    all.map(|one| json!({"name": one.name, "script": digest(&one.script), "enabled": one.enabled}))
        .collect()
}

fn need_admin(request: &Request) -> Result<(), ApiError> {
    if request.caller.admin {
        return Ok(());
    }
    Err(ApiError::denied(
        "Only workspace admins can manage global init scripts.",
    ))
}

fn render(position: usize, script: &Script) -> Value {
    json!({
        "script_id": script.id,
        "name": script.name,
        "position": position,
        "enabled": script.enabled,
        "created_by": script.created.1,
        "created_at": script.created.0,
        "updated_by": script.updated.1,
        "updated_at": script.updated.0,
    })
}

fn place(world: &World, request: &Request) -> Result<usize, ApiError> {
    need_admin(request)?;
    let id = request.param("id");
    let scripts = &world.init_scripts.scripts;
    scripts
        .iter()
        .position(|script| script.id == id)
        .ok_or_else(|| ApiError::not_found(format!("Global init script {id} does not exist.")))
}

fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    let scripts = world.init_scripts.scripts.iter().enumerate();
    Ok(Reply::list(
        "scripts",
        scripts
            .map(|(position, script)| render(position, script))
            .collect(),
    ))
}

fn get(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let place = place(world, request)?;
    let script = &world.init_scripts.scripts[place];
    let mut body = render(place, script);
    body["script"] = json!(STANDARD.encode(&script.script));
    Ok(Reply::json(body))
}

fn content(body: &Map<String, Value>) -> Result<Bytes, ApiError> {
    let script = form::decode(need_str(body, "script")?)?;
    if script.len() > MAX_SCRIPT {
        return Err(ApiError::invalid(format!(
            "Script exceeds the limit of {MAX_SCRIPT} bytes"
        )));
    }
    Ok(script)
}

/// The position asked for; none when it is left out.
fn position(body: &Map<String, Value>, count: usize) -> Result<Option<usize>, ApiError> {
    let Some(given) = body.get("position").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    as_i64(given)
        .and_then(|position| usize::try_from(position).ok())
        .filter(|position| *position < count)
        .map(Some)
        .ok_or_else(|| ApiError::invalid(format!("Invalid position: {given}")))
}

fn create(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    need_admin(request)?;
    let body = request.json()?;
    let name = need_str(&body, "name")?;
    let script = content(&body)?;
    let count = world.init_scripts.scripts.len();
    let position = position(&body, count + 1)?.unwrap_or(count);
    let id = add(
        world,
        name,
        &script,
        body.get("enabled") == Some(&json!(true)),
    );
    let scripts = &mut world.init_scripts.scripts;
    if let Some(mut made) = scripts.pop() {
        made.created.1.clone_from(&request.caller.name);
        made.updated = made.created.clone();
        scripts.insert(position, made);
    }
    Ok(Reply::json(json!({"script_id": id})))
}

fn update(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let place = place(world, request)?;
    let body = request.json()?;
    let mut script = world.init_scripts.scripts[place].clone();
    if let Some(name) = opt_str(&body, "name") {
        name.clone_into(&mut script.name);
    }
    if body.contains_key("script") {
        script.script = content(&body)?;
    }
    if let Some(enabled) = body.get("enabled").and_then(Value::as_bool) {
        script.enabled = enabled;
    }
    let to = position(&body, world.init_scripts.scripts.len())?.unwrap_or(place);
    script.updated = (world.clock.now_ms(), request.caller.name.clone());
    world.init_scripts.scripts.remove(place);
    world.init_scripts.scripts.insert(to, script);
    Ok(Reply::empty_object())
}

fn delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let place = place(world, request)?;
    world.init_scripts.scripts.remove(place);
    Ok(Reply::empty_object())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identities;
    use crate::world::testing::{call, call_as, get as get_call};

    const ALL: &str = "/api/2.0/global-init-scripts";

    fn names(world: &mut World) -> Vec<String> {
        let (_, body) = get_call(world, ALL);
        let scripts = body["scripts"].as_array().cloned().unwrap_or_default();
        assert!(
            scripts.iter().all(|script| script.get("script").is_none()),
            "lists carry no content"
        );
        scripts
            .iter()
            .filter_map(|script| script["name"].as_str().map(str::to_owned))
            .collect()
    }

    #[test]
    fn positions_shift_and_content_is_read_one_by_one() {
        let mut world = World::for_tests();
        assert_eq!(get_call(&mut world, ALL), (200, json!({})));
        let (_, first) = call(
            &mut world,
            "POST",
            ALL,
            json!({"name": "a", "script": "QQ=="}),
        );
        call(
            &mut world,
            "POST",
            ALL,
            json!({"name": "b", "script": "Qg==", "enabled": true}),
        );
        call(
            &mut world,
            "POST",
            ALL,
            json!({"name": "c", "script": "Qw==", "position": 0}),
        );
        assert_eq!(names(&mut world), ["c", "a", "b"]);
        let one = format!("{ALL}/{}", first["script_id"].as_str().expect("id"));
        assert_eq!(
            call(
                &mut world,
                "PATCH",
                &one,
                json!({"enabled": true, "position": 2})
            )
            .0,
            200
        );
        assert_eq!(names(&mut world), ["c", "b", "a"]);
        let (_, body) = get_call(&mut world, &one);
        assert_eq!(
            (&body["script"], &body["enabled"], &body["position"]),
            (&json!("QQ=="), &json!(true), &json!(2))
        );
        assert_eq!(call(&mut world, "DELETE", &one, json!({})).0, 200);
        assert_eq!(get_call(&mut world, &one).0, 404);
        assert_eq!(
            call(
                &mut world,
                "POST",
                ALL,
                json!({"name": "d", "script": "QQ==", "position": 9})
            )
            .0,
            400
        );
        let large = STANDARD.encode(vec![0; MAX_SCRIPT + 1]);
        assert_eq!(
            call(
                &mut world,
                "POST",
                ALL,
                json!({"name": "d", "script": large})
            )
            .0,
            400
        );
    }

    #[test]
    fn others_are_refused() {
        let mut world = World::for_tests();
        identities::add_user(&mut world, "ann@example.com", "Ann", false);
        let ann = world
            .identities
            .caller_named("ann@example.com")
            .expect("added");
        assert_eq!(call_as(&mut world, ann, "GET", ALL, "", "").status, 403);
    }
}
