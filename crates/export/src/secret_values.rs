//! The values of secrets, for encrypted archives that are asked for them: read beside their scopes, kept in memory alone, and
//! written as a table of their own.
//!
//! Specified in `spec/export.md`, "Secret values".

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt};
use lifeboat_archive::{Fate, TableWriter};
use lifeboat_catalog::records::{
    SECRET_VALUES, SECRET_VALUES_TABLE, SecretValueLine, secret_value_id,
};
use lifeboat_catalog::secret_scopes;
use serde_json::Value;

use crate::context::{Context, Phase};
use crate::error::Error;
use crate::gate::Failure;
use crate::ledger::line;
use crate::objects::serialise;
use crate::secrets;
use crate::writer::ArchiveWriter;

/// Values that are kept at most, in bytes: they wait in memory, as a file would hold them in the clear.
const MOST: usize = 64 << 20;
/// What the service says, with 400, where only notebooks may read values.
const NOTEBOOKS_ONLY: &str = "not allowed outside databricks notebooks";

/// Lines of the table by id, until they are written.
#[derive(Default)]
pub(crate) struct SecretValues {
    lines: Mutex<Lines>,
    /// The service gives values to notebooks only.
    refused: AtomicBool,
}

#[derive(Default)]
struct Lines {
    by_id: BTreeMap<String, String>,
    bytes: usize,
}

impl SecretValues {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// States how the values were listed: as their scopes.
pub(crate) fn state(ctx: &Context<'_>) {
    if ctx.options.secret_values
        && let Some(listing) = ctx.ledger.listing_of(secrets::KIND)
    {
        let reason = (listing != lifeboat_archive::Listing::Listed)
            .then(|| format!("the listing of {} failed", secrets::KIND));
        ctx.ledger.listing(SECRET_VALUES, listing, reason);
    }
}

/// Reads the values of one scope, if they are asked for. What cannot be read is stated.
pub(crate) async fn read(
    ctx: &Context<'_>,
    scope: &str,
    body: &Value,
    phase: &Phase<'_>,
) -> Result<(), Error> {
    if !ctx.options.secret_values {
        return Ok(());
    }
    let keys = secret_scopes::keys(body);
    if secret_scopes::is_key_vault(body) {
        for key in keys {
            let message = "rule: the value stays in its Key Vault";
            state_gap(ctx, scope, &key, Fate::Excluded, message);
        }
        return Ok(());
    }
    phase.expect(keys.len() as u64);
    let mut values = stream::iter(keys)
        .map(|key| async {
            let value = value(ctx, scope, &key).await;
            (key, value)
        })
        .buffer_unordered(ctx.concurrency());
    while let Some((key, value)) = values.next().await {
        phase.step(0);
        match value {
            Ok(value) => keep(ctx, scope, key, value)?,
            Err((fate, failure)) => {
                let id = secret_value_id(scope, &key);
                ctx.ledger.gap(&failure.line(SECRET_VALUES, &id, &id, fate));
            }
        }
    }
    Ok(())
}

fn state_gap(ctx: &Context<'_>, scope: &str, key: &str, fate: Fate, message: &str) {
    let id = secret_value_id(scope, key);
    ctx.ledger
        .gap(&line(SECRET_VALUES, &id, &id, fate, message));
}

fn keep(ctx: &Context<'_>, scope: &str, key: String, value: String) -> Result<(), Error> {
    let id = secret_value_id(scope, &key);
    let text = serialise(
        "a secret value",
        &SecretValueLine {
            id: id.clone(),
            scope: scope.to_owned(),
            key: key.clone(),
            value,
        },
    )?;
    let mut lines = ctx.secret_values.lines();
    if lines.bytes + text.len() > MOST {
        drop(lines);
        let message = format!("more than {MOST} bytes of secret values");
        state_gap(ctx, scope, &key, Fate::Failed, &message);
        return Ok(());
    }
    lines.bytes += text.len();
    ctx.ledger.stored(SECRET_VALUES, text.len() as u64);
    lines.by_id.insert(id, text);
    Ok(())
}

/// One value in Base64, or its fate.
async fn value(ctx: &Context<'_>, scope: &str, key: &str) -> Result<String, (Fate, Failure)> {
    match get(ctx, scope, key).await {
        // Gone is said only after a second look.
        Err(failure) if failure.is_gone() => {
            get(ctx, scope, key)
                .await
                .map_err(|failure| match failure.is_gone() {
                    true => (Fate::Vanished, failure),
                    false => (Fate::Failed, failure),
                })
        }
        other => other.map_err(|failure| (Fate::Failed, failure)),
    }
}

async fn get(ctx: &Context<'_>, scope: &str, key: &str) -> Result<String, Failure> {
    let path = secret_scopes::VALUE_PATH;
    let reply = |what: &str| Failure::Reply {
        request: format!("GET {path}"),
        what: what.to_owned(),
    };
    let refused = &ctx.secret_values.refused;
    if refused.load(Ordering::Relaxed) {
        return Err(reply(
            "not attempted: the service gives values to notebooks only",
        ));
    }
    let query = [("scope", scope), ("key", key)];
    let result = ctx.gate.ask(ctx.gate.client.get(path, &query)).await;
    if let Err(Failure::Service(error)) = &result
        && error.status() == Some(400)
        && error.message().contains(NOTEBOOKS_ONLY)
    {
        refused.store(true, Ordering::Relaxed);
    }
    match result?.get("value").and_then(Value::as_str) {
        Some(value) => Ok(value.to_owned()),
        None => Err(reply("the reply has no value")),
    }
}

/// Writes the table; nothing when no value was read.
pub(crate) async fn write<W: Write + Send + 'static>(
    ctx: &Context<'_>,
    writer: &mut ArchiveWriter<W>,
) -> Result<(), Error> {
    let lines = std::mem::take(&mut *ctx.secret_values.lines()).by_id;
    let table = TableWriter::new(SECRET_VALUES_TABLE);
    writer.table(table, lines.into_values().map(Ok)).await
}
