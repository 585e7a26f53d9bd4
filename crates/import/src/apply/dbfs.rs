//! DBFS files: small ones in one call, larger ones block by block.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lifeboat_catalog::records::DbfsLine;
use lifeboat_catalog::{places, tree};
use lifeboat_databricks::{Body, Safety};
use serde_json::json;

use super::of_kind;
use super::run::{Done, Fail, Run, Step};
use crate::archived::read_member;
use crate::journal::{Made, Op};
use crate::plan::{Action, Plan, What};
use crate::target::{concurrently, dbfs_info};

/// A handle that is lost in the middle starts the file anew, this often.
const TRIES: u32 = 3;

pub(super) async fn apply(run: &Run<'_>, plan: &Plan) {
    let actions = of_kind(plan, "dbfs");
    run.announce("dbfs", actions.len());
    concurrently(
        actions,
        run.options.concurrency,
        |(index, action)| async move {
            let outcome = object(run, action).await;
            run.finish(index, action, outcome);
        },
    )
    .await;
}

async fn object(run: &Run<'_>, action: &Action) -> Result<Done, Fail> {
    let line = run
        .state
        .dbfs
        .iter()
        .find(|line| line.path == action.id)
        .ok_or_else(|| Fail::Other("its record is not in the archive".to_owned()))?;
    let op = if action.what == What::Create {
        Op::Create
    } else {
        Op::Update
    };
    let done = Done {
        target: Some(line.path.clone()),
        ..Done::default()
    };
    let Some(content) = &line.content else {
        let body = json!({ "path": line.path });
        let step = Step::new(op, "dbfs", &action.id, &action.name);
        let call = run.client.send(
            "POST",
            "/api/2.0/dbfs/mkdirs",
            &[],
            Body::Json(&body),
            Safety::Idempotent,
        );
        run.write(&step, call, |_| Some(line.path.clone())).await?;
        return Ok(done);
    };
    if action.what == What::Adopt {
        let made = if action.recovered {
            Made::Created
        } else {
            Made::Adopted
        };
        run.adopt(
            "dbfs",
            &action.id,
            &action.name,
            &line.path,
            made,
            Some(content.sha256.clone()),
        )?;
    } else {
        let _held = super::files::hold(run, content.size).await?;
        let bytes = read_member(run.archive, &content.path)
            .map_err(|error| Fail::Other(error.to_string()))?;
        let step = Step::new(op, "dbfs", &action.id, &action.name).writing(content.sha256.clone());
        run.write(&step, upload(run, line, &bytes), |_| {
            Some(line.path.clone())
        })
        .await?;
    }
    let query = [("path", line.path.as_str())];
    let info = dbfs_info(
        &run.read(run.client.get("/api/2.0/dbfs/get-status", &query))
            .await?,
    );
    if info.size == content.size {
        run.seen("dbfs", &action.id, Some(&line.path), info.modified_at, None)?;
    }
    Ok(done)
}

async fn upload(
    run: &Run<'_>,
    line: &DbfsLine,
    bytes: &[u8],
) -> Result<serde_json::Value, lifeboat_databricks::Error> {
    if bytes.len() as u64 <= tree::DBFS_BLOCK {
        let body =
            json!({ "path": line.path, "contents": STANDARD.encode(bytes), "overwrite": true });
        return run
            .client
            .send(
                "POST",
                "/api/2.0/dbfs/put",
                &[],
                Body::Json(&body),
                Safety::Idempotent,
            )
            .await;
    }
    let mut tries = 0;
    loop {
        tries += 1;
        match stream(run, line, bytes).await {
            Err(error) if tries < TRIES && (error.is_not_found() || error.is_uncertain()) => {}
            other => return other,
        }
    }
}

/// One pass over the file: a block that may have been taken twice spoils it, so blocks are never repeated.
async fn stream(
    run: &Run<'_>,
    line: &DbfsLine,
    bytes: &[u8],
) -> Result<serde_json::Value, lifeboat_databricks::Error> {
    let body = json!({ "path": line.path, "overwrite": true });
    let reply = run
        .client
        .send(
            "POST",
            "/api/2.0/dbfs/create",
            &[],
            Body::Json(&body),
            Safety::Idempotent,
        )
        .await?;
    let handle = places::get(&reply, "handle").cloned().unwrap_or_default();
    let block = usize::try_from(tree::DBFS_BLOCK).unwrap_or(usize::MAX);
    for chunk in bytes.chunks(block) {
        let body = json!({ "handle": handle, "data": STANDARD.encode(chunk) });
        run.client
            .send(
                "POST",
                "/api/2.0/dbfs/add-block",
                &[],
                Body::Json(&body),
                Safety::Create,
            )
            .await?;
    }
    let body = json!({ "handle": handle });
    run.client
        .send(
            "POST",
            "/api/2.0/dbfs/close",
            &[],
            Body::Json(&body),
            Safety::Idempotent,
        )
        .await
}
