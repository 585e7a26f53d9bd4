//! Git folders (fact sheet, section 14).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::http::{ApiError, Caller, Reply, Request, need_str, opt_str};
use crate::permissions::may;
use crate::route::Route;
use crate::tree::{self, Object};
use crate::workspace::normal;
use crate::world::World;

/// Git folders on one page.
const PAGE: usize = 20;

const PROVIDERS: [&str; 9] = [
    "gitHub",
    "gitHubEnterprise",
    "gitLab",
    "gitLabEnterpriseEdition",
    "bitbucketCloud",
    "bitbucketServer",
    "azureDevOpsServices",
    "azureDevOpsServicesAad",
    "awsCodeCommit",
];

/// One git folder; its id is the object id in the tree.
#[derive(Clone, Debug)]
struct Repo {
    url: String,
    provider: String,
    branch: Option<String>,
    head: String,
    sparse: Value,
}

/// All git folders, by object id.
#[derive(Debug, Default)]
pub struct Repos {
    by_id: BTreeMap<i64, Repo>,
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/2.0/repos", list),
        Route::post("/api/2.0/repos", create),
        Route::get("/api/2.0/repos/{id}", get),
        Route::patch("/api/2.0/repos/{id}", update),
        Route::delete("/api/2.0/repos/{id}", delete),
    ]
}

/// Adds a git folder; returns its id, which is also its object id.
pub fn add(
    world: &mut World,
    path: &str,
    url: &str,
    provider: &str,
    branch: &str,
    creator: &Caller,
) -> i64 {
    let id = tree::put(world, path, Object::Repo, creator);
    let head = world.ids.hex(40);
    world.repos.by_id.insert(
        id,
        Repo {
            url: url.to_owned(),
            provider: provider.to_owned(),
            branch: Some(branch.to_owned()),
            head,
            sparse: Value::Null,
        },
    );
    id
}

/// A provider as the service spells it.
pub(crate) fn known_provider(name: &str) -> Result<&'static str, ApiError> {
    PROVIDERS
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(name))
        .ok_or_else(|| ApiError::invalid(format!("Unsupported provider: {name}")))
}

/// `git_info` of `get-status`; none for other objects.
pub(crate) fn git_info(world: &World, id: i64) -> Option<Value> {
    let repo = world.repos.by_id.get(&id)?;
    let mut info = json!({
        "id": id,
        "path": world.tree.path(id),
        "url": repo.url,
        "head_commit_id": repo.head,
    });
    if let Some(branch) = &repo.branch {
        info["branch"] = json!(branch);
    }
    Some(info)
}

/// Forgets the git folders at and below an object that is about to be removed.
pub(crate) fn removed_below(world: &mut World, id: i64) {
    let tree = &world.tree;
    world
        .repos
        .by_id
        .retain(|repo, _| !tree.lineage(*repo).iter().any(|node| node.id == id));
}

fn render(world: &World, id: i64, repo: &Repo) -> Value {
    let mut map = Map::from_iter([
        ("id".to_owned(), json!(id)),
        ("path".to_owned(), json!(world.tree.path(id))),
        ("url".to_owned(), json!(repo.url)),
        ("provider".to_owned(), json!(repo.provider)),
        ("head_commit_id".to_owned(), json!(repo.head)),
    ]);
    if let Some(branch) = &repo.branch {
        map.insert("branch".to_owned(), json!(branch));
    }
    if !repo.sparse.is_null() {
        map.insert("sparse_checkout".to_owned(), repo.sparse.clone());
    }
    Value::Object(map)
}

/// Only those that the caller can manage; below `/Repos` unless `path_prefix` says otherwise.
fn list(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let prefix = normal(
        request
            .query("path_prefix")
            .filter(|p| !p.is_empty())
            .unwrap_or("/Repos"),
    )?;
    let after: i64 = match request
        .query("next_page_token")
        .filter(|token| !token.is_empty())
    {
        None => 0,
        Some(token) => token
            .parse()
            .map_err(|_| ApiError::invalid(format!("Invalid next_page_token: {token}")))?,
    };
    let mut matching = world.repos.by_id.range(after + 1..).filter(|(id, _)| {
        let path = world.tree.path(**id);
        let below = prefix == "/" || path.starts_with(&prefix);
        below
            && may(
                world,
                &request.caller,
                "repos",
                &id.to_string(),
                "CAN_MANAGE",
            )
    });
    let page: Vec<(i64, Value)> = matching
        .by_ref()
        .take(PAGE)
        .map(|(id, repo)| (*id, render(world, *id, repo)))
        .collect();
    let more = matching.next().is_some();
    let last = page.last().map_or(0, |(id, _)| *id);
    let mut reply = Reply::list("repos", page.into_iter().map(|(_, value)| value).collect());
    if more && let crate::http::Body::Json(body) = &mut reply.body {
        body["next_page_token"] = json!(last.to_string());
    }
    Ok(reply)
}

fn find<'w>(world: &'w World, request: &Request) -> Result<(i64, &'w Repo), ApiError> {
    let text = request.param("id");
    let missing = || ApiError::not_found(format!("Repo {text} does not exist."));
    let id = text.parse().map_err(|_| missing())?;
    let repo = world.repos.by_id.get(&id).ok_or_else(missing)?;
    if !may(world, &request.caller, "repos", text, "CAN_READ") {
        return Err(missing());
    }
    Ok((id, repo))
}

fn get(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let (id, repo) = find(world, request)?;
    Ok(Reply::json(render(world, id, repo)))
}

fn create(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let body = request.json()?;
    let url = need_str(&body, "url")?.to_owned();
    let provider = need_str(&body, "provider")?;
    let provider = known_provider(provider)?;
    let name = url
        .trim_end_matches(".git")
        .rsplit('/')
        .next()
        .unwrap_or("repo");
    let path = match opt_str(&body, "path").filter(|path| !path.is_empty()) {
        Some(path) => normal(path)?,
        None => format!("/Repos/{}/{name}", request.caller.name),
    };
    let parent = tree::split(&path)
        .map_or("/", |(parent, _)| parent)
        .to_owned();
    tree::settle_homes(world, &path);
    if path.starts_with("/Repos/") && path.split('/').count() != 4 {
        return Err(ApiError::invalid(
            "Repo path must be of the form /Repos/{folder}/{repo-name}",
        ));
    }
    if world
        .tree
        .find(&parent)
        .is_none_or(|node| !node.object.is_folder())
    {
        return Err(ApiError::not_found(format!(
            "Parent directory {parent} does not exist."
        )));
    }
    if world.tree.find(&path).is_some() {
        return Err(ApiError::exists(format!("Path {path} already exists.")));
    }
    let id = add(world, &path, &url, provider, "main", &request.caller);
    if let Some(repo) = world.repos.by_id.get_mut(&id) {
        repo.sparse = body.get("sparse_checkout").cloned().unwrap_or_default();
    }
    let repo = world.repos.by_id.get(&id).cloned();
    Ok(Reply::json(
        repo.map_or(Value::Null, |repo| render(world, id, &repo)),
    ))
}

fn update(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let (id, _) = find(world, request)?;
    let body = request.json()?;
    let (branch, tag) = (opt_str(&body, "branch"), opt_str(&body, "tag"));
    if branch.is_some() && tag.is_some() {
        return Err(ApiError::invalid("Only one of branch and tag may be given"));
    }
    let head = world.ids.hex(40);
    if let Some(repo) = world.repos.by_id.get_mut(&id) {
        if branch.is_some() || tag.is_some() {
            if branch != repo.branch.as_deref() {
                repo.head = head;
            }
            repo.branch = branch.map(str::to_owned);
        }
        if let Some(sparse) = body.get("sparse_checkout") {
            repo.sparse = sparse.clone();
        }
    }
    Ok(Reply::empty_object())
}

fn delete(world: &mut World, request: &Request) -> Result<Reply, ApiError> {
    let (id, _) = find(world, request)?;
    let path = world.tree.path(id);
    world.repos.by_id.remove(&id);
    tree::remove(world, &path);
    Ok(Reply::empty_object())
}

/// Git folders by path.
#[must_use]
pub fn dump(world: &World) -> Value {
    let all: BTreeMap<String, Value> = world
        .repos
        .by_id
        .iter()
        .map(|(id, repo)| {
            let facts = json!({"url": repo.url, "provider": repo.provider, "branch": repo.branch, "sparse_checkout": repo.sparse});
            (world.tree.path(*id), facts)
        })
        .collect();
    json!(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::testing::{call, get};

    const URL: &str = "https://example.com/team/code.git";

    #[test]
    fn paged_by_a_token_that_is_also_the_query_name() {
        let mut world = World::for_tests();
        let admin = world.admin();
        for n in 0..45 {
            add(
                &mut world,
                &format!("/Repos/a/r{n}"),
                URL,
                "gitHub",
                "main",
                &admin,
            );
        }
        add(
            &mut world,
            "/Shared/elsewhere",
            URL,
            "gitHub",
            "main",
            &admin,
        );
        let mut seen = 0;
        let mut target = "/api/2.0/repos".to_owned();
        loop {
            let (_, body) = get(&mut world, &target);
            seen += body["repos"].as_array().map_or(0, Vec::len);
            let Some(token) = body["next_page_token"].as_str() else {
                break;
            };
            target = format!("/api/2.0/repos?next_page_token={token}");
        }
        assert_eq!(seen, 45, "only /Repos by default");
        let (_, all) = get(&mut world, "/api/2.0/repos?path_prefix=/Workspace/Shared");
        assert_eq!(all["repos"][0]["path"], "/Shared/elsewhere");
    }

    #[test]
    fn created_below_an_existing_folder_and_moved_to_a_branch() {
        let mut world = World::for_tests();
        let body = json!({"url": URL, "provider": "GITHUB", "path": "/Shared/x/code"});
        assert_eq!(call(&mut world, "POST", "/api/2.0/repos", body).0, 404);
        let body = json!({"url": URL, "provider": "GITHUB", "path": "/Shared/code"});
        let (status, made) = call(&mut world, "POST", "/api/2.0/repos", body.clone());
        assert_eq!((status, made["provider"].as_str()), (200, Some("gitHub")));
        assert_eq!(
            call(&mut world, "POST", "/api/2.0/repos", body).1["error_code"],
            "RESOURCE_ALREADY_EXISTS"
        );
        let target = format!("/api/2.0/repos/{}", made["id"]);
        assert_eq!(
            call(&mut world, "PATCH", &target, json!({"branch": "dev"})).0,
            200
        );
        assert_eq!(get(&mut world, &target).1["branch"], "dev");
        let (_, info) = get(
            &mut world,
            "/api/2.0/workspace/get-status?path=/Shared/code&return_git_info=true",
        );
        assert_eq!(
            (&info["object_type"], &info["git_info"]["branch"]),
            (&json!("REPO"), &json!("dev"))
        );
        assert_eq!(
            get(
                &mut world,
                &format!("/api/2.0/permissions/repos/{}", made["id"])
            )
            .0,
            200
        );
        assert_eq!(call(&mut world, "DELETE", &target, json!({})).0, 200);
        assert_eq!(get(&mut world, &target).0, 404);
    }
}
