//! Git credentials (`/api/2.0/git-credentials`; fact sheet, section 14): every caller has and sees only its own.

use serde_json::{Value, json};

use crate::http::{ApiError, Reply, Request, need_str, opt_str};
use crate::repos::known_provider;
use crate::route::Route;
use crate::world::World;

/// All credentials, in the order of their creation. A token that was sent is never kept.
#[derive(Debug, Default)]
pub struct GitCredentials {
    all: Vec<Credential>,
}

#[derive(Clone, Debug)]
struct Credential {
    id: i64,
    owner: String,
    provider: String,
    user: Option<String>,
}

const ONE: &str = "/api/2.0/git-credentials/{id}";

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/2.0/git-credentials", list),
        Route::post("/api/2.0/git-credentials", create),
        Route::get(ONE, get),
        Route::delete(ONE, delete),
    ]
}

/// Adds a credential of somebody (user name or application id); returns its id.
pub fn add(world: &mut World, owner: &str, provider: &str) -> i64 {
    let id = world.ids.number();
    world.git_credentials.all.push(Credential {
        id,
        owner: owner.to_owned(),
        provider: provider.to_owned(),
        user: None,
    });
    id
}

fn render(one: &Credential) -> Value {
    let mut body = json!({"credential_id": one.id, "git_provider": one.provider, "is_default_for_provider": true});
    if let Some(user) = &one.user {
        body["git_username"] = json!(user);
    }
    body
}

fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let all = world.git_credentials.all.iter();
    let own = all.filter(|one| one.owner == request.caller.name);
    Ok(Reply::list("credentials", own.map(render).collect()))
}

fn position(world: &World, request: &Request) -> Result<usize, ApiError> {
    let id = request.param("id");
    let mut all = world.git_credentials.all.iter();
    all.position(|one| one.id.to_string() == id && one.owner == request.caller.name)
        .ok_or_else(|| ApiError::not_found(format!("Git credential {id} does not exist.")))
}

fn get(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let at = position(world, request)?;
    Ok(Reply::json(render(&world.git_credentials.all[at])))
}

fn create(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let provider = known_provider(need_str(&body, "git_provider")?)?;
    if provider != "azureDevOpsServicesAad" {
        need_str(&body, "personal_access_token")?;
    }
    let id = add(world, &request.caller.name, provider);
    if let Some(made) = world.git_credentials.all.last_mut() {
        made.user = opt_str(&body, "git_username").map(str::to_owned);
    }
    Ok(Reply::json(
        json!({"credential_id": id, "git_provider": provider}),
    ))
}

fn delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let at = position(world, request)?;
    world.git_credentials.all.remove(at);
    Ok(Reply::empty_object())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::testing::{call, get};

    #[test]
    fn everybody_sees_his_own_credentials_and_no_token() {
        let mut world = World::for_tests();
        add(&mut world, "somebody@example.com", "gitLab");
        assert_eq!(get(&mut world, "/api/2.0/git-credentials").1, json!({}));
        let body =
            json!({"git_provider": "GITHUB", "git_username": "u", "personal_access_token": "ghp"});
        let (status, made) = call(&mut world, "POST", "/api/2.0/git-credentials", body);
        assert_eq!((status, &made["git_provider"]), (200, &json!("gitHub")));
        let (_, listed) = get(&mut world, "/api/2.0/git-credentials");
        assert_eq!(listed["credentials"].as_array().map(Vec::len), Some(1));
        assert!(!listed.to_string().contains("ghp"));
        let path = format!("/api/2.0/git-credentials/{}", made["credential_id"]);
        assert_eq!(call(&mut world, "DELETE", &path, Value::Null).0, 200);
        assert_eq!(get(&mut world, &path).0, 404);
    }
}
