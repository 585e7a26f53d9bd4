//! Secret scopes: the scope as listed, the names of its keys and its access control. Values are the business of
//! [`crate::secret_values`].
//!
//! Specified in `spec/export.md`, "Objects".

use futures_util::stream::{self, StreamExt};
use lifeboat_archive::Fate;
use lifeboat_catalog::{Kind, secret_scopes};
use lifeboat_databricks::{Listing, Paging};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::access_control::AclRequest;
use crate::context::{Context, Phase};
use crate::error::Error;
use crate::gate::Failure;
use crate::objects::{self, KindRecords, Listed};
use crate::secret_values;

/// Name of the kind.
pub(crate) const KIND: &str = "secret-scopes";

/// Reads all scopes.
pub(crate) async fn read_all(
    ctx: &Context<'_>,
    kind: &'static Kind,
    acls: &UnboundedSender<AclRequest>,
    phase: &Phase<'_>,
) -> Result<KindRecords, Error> {
    let mut records = KindRecords::new(kind);
    let elements = objects::list(ctx, kind).await;
    secret_values::state(ctx);
    let Some(elements) = elements else {
        return Ok(records);
    };
    let wanted = objects::wanted(ctx, kind, elements, &mut records.listed);
    phase.expect(wanted.len() as u64);
    let mut scopes = stream::iter(wanted)
        .map(|listed| async {
            let body = read(ctx, &listed).await;
            (listed, body)
        })
        .buffer_unordered(ctx.concurrency());
    while let Some((listed, body)) = scopes.next().await {
        phase.step(0);
        match body {
            Ok(body) => {
                secret_values::read(ctx, &listed.id, &body, phase).await?;
                records.keep(ctx, acls, listed.id, body)?;
            }
            Err(failure) => {
                let fate = if failure.is_gone() && second_look(ctx, &listed.id).await {
                    Fate::Vanished
                } else {
                    Fate::Failed
                };
                ctx.ledger
                    .gap(&failure.line(KIND, &listed.id, &listed.name, fate));
            }
        }
    }
    ctx.gate.touch(KIND);
    Ok(records)
}

async fn read(ctx: &Context<'_>, listed: &Listed) -> Result<Value, Failure> {
    let (keys, acls) = futures_util::future::join(
        array(ctx, secret_scopes::KEYS_PATH, "secrets", Some(&listed.id)),
        array(ctx, secret_scopes::ACLS_PATH, "items", Some(&listed.id)),
    )
    .await;
    Ok(secret_scopes::compose(listed.body.clone(), keys?, acls?))
}

async fn array(
    ctx: &Context<'_>,
    path: &str,
    array: &str,
    scope: Option<&str>,
) -> Result<Vec<Value>, Failure> {
    let query = scope
        .map(|scope| ("scope", scope.to_owned()))
        .into_iter()
        .collect();
    let listing = Listing {
        path,
        query,
        array,
        paging: Paging::None,
    };
    let elements = ctx.gate.ask(ctx.gate.client.list(&listing)).await?;
    elements
        .iter()
        .map(|element| serde_json::from_str(element.get()))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::Reply {
            request: format!("GET {path}"),
            what: error.to_string(),
        })
}

/// Whether the scope is gone from the list of scopes too.
async fn second_look(ctx: &Context<'_>, scope: &str) -> bool {
    array(ctx, "/api/2.0/secrets/scopes/list", "scopes", None)
        .await
        .is_ok_and(|scopes| {
            scopes
                .iter()
                .all(|listed| listed.get("name").and_then(Value::as_str) != Some(scope))
        })
}
