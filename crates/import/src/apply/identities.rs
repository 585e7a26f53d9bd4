//! Users, service principals and groups. Existing ones keep everything but their entitlements here; groups of the
//! account are assigned, never created.

use lifeboat_catalog::{Kind, groups, places, scim};
use lifeboat_databricks::{Body, Safety, segment};
use serde_json::{Value, json};

use super::run::{Done, Fail, Run, Step};
use super::{create, of_kind};
use crate::journal::{Made, Op};
use crate::plan::{
    Action, Members, Plan, What, another_name, assignment_digest, entitlement_changes,
    member_changes, of_the_account, unassigned,
};
use crate::resolve::digest;
use crate::target::{Asked, TargetObject, concurrently, list_whole, read_object};

const SCIM: &str = "/api/2.0/preview/scim/v2";

/// All of them beside each other, each group after the members that are still to be made.
pub(super) async fn apply(run: &Run<'_>, plan: &Plan) {
    tokio::join!(
        people(run, plan, "users"),
        people(run, plan, "service-principals"),
        groups(run, plan)
    );
}

async fn people(run: &Run<'_>, plan: &Plan, kind: &str) {
    let actions = of_kind(plan, kind);
    run.announce(kind, actions.len());
    concurrently(
        actions,
        run.options.concurrency,
        |(index, action)| async move {
            let outcome = person(run, action).await;
            run.finish(index, action, outcome);
        },
    )
    .await;
}

async fn groups(run: &Run<'_>, plan: &Plan) {
    let actions = of_kind(plan, "groups");
    run.announce("groups", actions.len());
    // Who waits for others takes nobody's place: all are begun.
    let all = actions.len();
    concurrently(actions, all, |(index, action)| async move {
        run.waiting.for_all(&members(run, index, action)).await;
        let outcome = group(run, action).await;
        run.finish(index, action, outcome);
    })
    .await;
}

/// Positions of the members of a local group. The plan has inner groups first; those in a circle do not wait for what comes
/// after them. Members of the account's groups are managed there: they wait for nobody.
fn members(run: &Run<'_>, index: usize, action: &Action) -> Vec<usize> {
    let (Some(kind), Ok(record)) = (
        lifeboat_catalog::kind("groups"),
        run.record("groups", &action.id),
    ) else {
        return Vec::new();
    };
    if is_assigned(run, action) {
        return Vec::new();
    }
    let mut members = run.waiting.referred(kind, &record.body);
    members.retain(|position| *position < index);
    members
}

/// Whether a group is one of the account that the workspace does not have yet.
fn is_assigned(run: &Run<'_>, action: &Action) -> bool {
    let record = run.record("groups", &action.id);
    action.what == What::Create && record.is_ok_and(|record| groups::is_account_group(&record.body))
}

fn catalog(kind: &str) -> Result<&'static Kind, Fail> {
    lifeboat_catalog::kind(kind).ok_or_else(|| Fail::Other(format!("{kind} is no kind of object")))
}

async fn person(run: &Run<'_>, action: &Action) -> Result<Done, Fail> {
    let kind = catalog(&action.kind)?;
    let record = run.record(kind.name, &action.id)?;
    if let (What::Update, Some(id)) = (action.what, &action.target) {
        return entitlements(run, kind, action, id, &record.body).await;
    }
    let request = kind.request_form(&record.body);
    let body = kind
        .create_body(&request)
        .ok_or_else(|| Fail::Other("no create call".to_owned()))?;
    let step = create::step(kind.name, &action.id, &action.name, digest(&request), false);
    match create::object(run, kind, &step, &body, &request).await {
        Ok(id) => Ok(Done {
            target: Some(id),
            ..Done::default()
        }),
        // Listings of identities lag behind: it was there all the time.
        Err(fail)
            if fail
                .error()
                .is_some_and(lifeboat_databricks::Error::is_already_exists) =>
        {
            let key = kind.key_of(&record.body);
            let found = run
                .read(list_whole(run.client, kind, key.as_deref()))
                .await?;
            let Some(object) = found.into_iter().next() else {
                return Err(fail);
            };
            run.adopt(
                kind.name,
                &action.id,
                &action.name,
                &object.id,
                Made::Found,
                None,
            )?;
            let mut done =
                entitlements_to(run, kind, action, &object.id, &record.body, &object.body).await?;
            done.remarks.push("it existed already".to_owned());
            Ok(done)
        }
        Err(fail) => Err(fail),
    }
}

async fn entitlements(
    run: &Run<'_>,
    kind: &Kind,
    action: &Action,
    id: &str,
    archived: &Value,
) -> Result<Done, Fail> {
    let present = run
        .target
        .by_id(kind.name, id)
        .map_or(Value::Null, |object| object.body.clone());
    entitlements_to(run, kind, action, id, archived, &present).await
}

async fn entitlements_to(
    run: &Run<'_>,
    kind: &Kind,
    action: &Action,
    id: &str,
    archived: &Value,
    present: &Value,
) -> Result<Done, Fail> {
    let ours = run
        .journal
        .entry(kind.name, &action.id)
        .is_some_and(|entry| entry.is_ours_as(id));
    let (add, remove) = entitlement_changes(archived, present, ours);
    if !add.is_empty() || !remove.is_empty() {
        let body = scim::change_entitlements(&add, &remove);
        patch(run, kind, action, id, &body).await?;
    }
    Ok(Done {
        target: Some(id.to_owned()),
        ..Done::default()
    })
}

async fn patch(
    run: &Run<'_>,
    kind: &Kind,
    action: &Action,
    id: &str,
    body: &Value,
) -> Result<(), Fail> {
    let resource = match kind.name {
        "users" => "Users",
        "groups" => "Groups",
        _ => "ServicePrincipals",
    };
    let path = format!("{SCIM}/{resource}/{}", segment(id));
    let step = Step::new(Op::Update, kind.name, &action.id, &action.name);
    let call = run
        .client
        .send("PATCH", &path, &[], Body::Json(body), Safety::Idempotent);
    run.write(&step, call, |_| Some(id.to_owned()))
        .await
        .map(|_| ())
}

async fn group(run: &Run<'_>, action: &Action) -> Result<Done, Fail> {
    let kind = catalog("groups")?;
    let record = run.record("groups", &action.id)?;
    match action.what {
        What::Create if is_assigned(run, action) => assign(run, action).await,
        What::Create => create_group(run, kind, action, &record.body).await,
        _ => change_group(run, kind, action, &record.body).await,
    }
}

async fn create_group(
    run: &Run<'_>,
    kind: &'static Kind,
    action: &Action,
    archived: &Value,
) -> Result<Done, Fail> {
    let mut members = Members::of(archived, &run.resolver());
    if members.waits {
        members
            .notes
            .push("member missing: one that is not made yet".to_owned());
    }
    let mut request = kind.request_form(archived);
    if let Some(map) = request.as_object_mut() {
        map.shift_remove("members");
        if !members.ids.is_empty() {
            let list: Vec<Value> = members
                .ids
                .iter()
                .map(|id| json!({ "value": id }))
                .collect();
            map.insert("members".to_owned(), Value::Array(list));
        }
    }
    let body = kind
        .create_body(&request)
        .ok_or_else(|| Fail::Other("no create call".to_owned()))?;
    let step = create::step(kind.name, &action.id, &action.name, digest(&request), false);
    let id = create::object(run, kind, &step, &body, &request).await?;
    Ok(Done {
        target: Some(id),
        notes: members.notes,
        remarks: Vec::new(),
    })
}

async fn change_group(
    run: &Run<'_>,
    kind: &Kind,
    action: &Action,
    archived: &Value,
) -> Result<Done, Fail> {
    let Some(id) = action.target.clone() else {
        return Err(Fail::Other("the group has no id".to_owned()));
    };
    if action.what == What::Adopt {
        let made = if action.recovered {
            Made::Created
        } else {
            Made::Adopted
        };
        run.adopt("groups", &action.id, &action.name, &id, made, None)?;
    }
    let present = run
        .target
        .by_id("groups", &id)
        .map_or(Value::Null, |object| object.body.clone());
    let ours = run
        .journal
        .entry("groups", &action.id)
        .is_some_and(|entry| entry.is_ours_as(&id));
    let account = of_the_account(archived, &present);
    let mut done = Done {
        target: Some(id.clone()),
        ..Done::default()
    };
    let may_have_members =
        !account && action.name != "users" && (action.name != "admins" || run.options.admins);
    if may_have_members {
        let members = Members::of(archived, &run.resolver());
        let change = member_changes(&members, &present, ours);
        done.notes = members.notes;
        if !change.is_empty() {
            let body = scim::change_members(&change.add, &change.remove);
            patch(run, kind, action, &id, &body).await?;
        }
    }
    let (add, remove) = entitlement_changes(archived, &present, ours && !account);
    if !add.is_empty() || !remove.is_empty() {
        patch(
            run,
            kind,
            action,
            &id,
            &scim::change_entitlements(&add, &remove),
        )
        .await?;
    }
    Ok(done)
}

/// Assigns a group of the account to the workspace: looked up in the account by name, else, where the account may not be
/// asked, taken to have the id that it has in the source, which lies in the same account.
async fn assign(run: &Run<'_>, action: &Action) -> Result<Done, Fail> {
    let kind = catalog("groups")?;
    // Where the account may not be asked: the source lies in the same account, where the group has the same id.
    let asked = run.target.offer.account_groups.get(&action.name);
    let id = match asked.and_then(Asked::known) {
        Some(known) => known.clone(),
        None => Some(action.id.clone()),
    };
    let blocked = |why: &str| {
        let workspace = &run.target.workspace_id;
        let (reason, todo) = unassigned(workspace, &action.name, id.as_deref(), why);
        run.todo(&todo.kind, &todo.name, &todo.what, todo.command);
        Fail::Blocked(reason)
    };
    let Some(id) = &id else {
        return Err(blocked("the account does not know it"));
    };
    let path = format!(
        "/api/2.0/preview/permissionassignments/principals/{}",
        segment(id)
    );
    let body = json!({ "permissions": ["USER"] });
    let step =
        Step::new(Op::Update, "groups", &action.id, &action.name).writing(assignment_digest(id));
    let call = run
        .client
        .send("PUT", &path, &[], Body::Json(&body), Safety::Idempotent);
    match run.write(&step, call, |_| None).await {
        Ok(_) => {}
        Err(Fail::Stopped) => return Err(Fail::Stopped),
        // Assigned already, by an earlier try.
        Err(fail)
            if fail
                .error()
                .is_some_and(|error| error.status() == Some(400)) => {}
        Err(fail) => return Err(blocked(&fail.text())),
    }
    let Some(object) = assigned_group(run, kind, &action.name).await? else {
        return Err(blocked(&another_name(id)));
    };
    run.adopt(
        "groups",
        &action.id,
        &action.name,
        &object.id,
        Made::Found,
        None,
    )?;
    let mut done = Done {
        target: Some(object.id.clone()),
        ..Done::default()
    };
    done.remarks
        .push("group of the account, assigned to the workspace".to_owned());
    let record = run.record("groups", &action.id)?;
    let (add, _) = entitlement_changes(&record.body, &object.body, false);
    if !add.is_empty() {
        patch(
            run,
            kind,
            action,
            &object.id,
            &scim::change_entitlements(&add, &[]),
        )
        .await?;
    }
    Ok(done)
}

/// The group of the account as the workspace knows it now: asked by name, and where that shows nothing, by the whole list.
async fn assigned_group(
    run: &Run<'_>,
    kind: &'static Kind,
    name: &str,
) -> Result<Option<TargetObject>, Fail> {
    let filter = scim::filter("displayName", name);
    let path = format!("{SCIM}/Groups");
    let reply = run
        .read(run.client.get(&path, &[("filter", filter.as_str())]))
        .await;
    let listed = match reply {
        Ok(reply) => of_name(&reply, name),
        Err(Fail::Stopped) => return Err(Fail::Stopped),
        Err(_) => None,
    };
    if let Some(id) = listed
        && let Some(body) = run.read(read_object(run.client, kind, &id)).await?
    {
        return Ok(Some(TargetObject { id, body }));
    }
    let found = run.read(list_whole(run.client, kind, Some(name))).await?;
    Ok(found.into_iter().next())
}

/// The id of the group of exactly that name in a SCIM listing.
fn of_name(reply: &Value, name: &str) -> Option<String> {
    reply
        .get("Resources")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|group| places::text(group, "displayName").as_deref() == Some(name))
        .and_then(|group| places::text(group, "id"))
}
