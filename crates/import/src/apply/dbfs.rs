//! DBFS files: small ones in one call, larger ones block by block.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lifeboat_catalog::records::DbfsLine;
use lifeboat_catalog::{places, tree};
use lifeboat_databricks::{Body, Error, Safety};
use serde_json::json;

use super::of_kind;
use super::readback::Written;
use super::run::{Done, Fail, Run, Step};
use crate::archived::read_member;
use crate::journal::{Made, Op};
use crate::plan::{Action, Plan, What};
use crate::target::{Wanted, concurrently, dbfs_digest, dbfs_info};

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
        run.tell_written(Written::DbfsDirectory(line.path.clone()));
        return Ok(done);
    };
    if action.what == What::Adopt || action.recovered {
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
            (action.what == What::Adopt).then(|| content.sha256.clone()),
        )?;
    }
    if action.what != What::Adopt {
        let _held = super::files::hold(run, content.size).await?;
        let bytes = read_member(run.archive, &content.path)
            .map_err(|error| Fail::Other(error.to_string()))?;
        let step = Step::new(op, "dbfs", &action.id, &action.name)
            .writing(content.sha256.clone())
            .of_several_calls(bytes.len() as u64 > tree::DBFS_BLOCK);
        let overwrite = action.target.is_some();
        let written = run
            .write(&step, upload(run, line, &bytes, overwrite), |_| {
                Some(line.path.clone())
            })
            .await;
        match written {
            Err(fail) if !overwrite && fail.error().is_some_and(Error::is_already_exists) => {
                appeared(run, action, line, &content.sha256, fail).await?;
            }
            other => {
                other?;
            }
        }
    }
    let query = [("path", line.path.as_str())];
    let info = dbfs_info(
        &run.read(run.client.get("/api/2.0/dbfs/get-status", &query))
            .await?,
    );
    let wanted = Wanted::new("dbfs", line.path.clone(), content, None);
    run.tell_written(Written::Dbfs(wanted, info.clone()));
    if info.size == content.size {
        run.seen("dbfs", &action.id, Some(&line.path), info.modified_at, None)?;
    }
    Ok(done)
}

/// It was not there when the target was listed. If it is equal, an unanswered call of this run made it.
async fn appeared(
    run: &Run<'_>,
    action: &Action,
    line: &DbfsLine,
    wanted: &str,
    fail: Fail,
) -> Result<(), Fail> {
    let found = run.read(dbfs_digest(run.client, &line.path)).await?;
    if found != wanted {
        return Err(Fail::Blocked(format!(
            "it appeared in the target meanwhile with other content: {}",
            fail.text()
        )));
    }
    let digest = Some(wanted.to_owned());
    run.adopt(
        "dbfs",
        &action.id,
        &action.name,
        &line.path,
        Made::Created,
        digest,
    )
}

async fn upload(
    run: &Run<'_>,
    line: &DbfsLine,
    bytes: &[u8],
    overwrite: bool,
) -> Result<serde_json::Value, Error> {
    if bytes.len() as u64 <= tree::DBFS_BLOCK {
        let body = json!({ "path": line.path, "contents": STANDARD.encode(bytes), "overwrite": overwrite });
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
    let mut overwrite = overwrite;
    loop {
        tries += 1;
        match stream(run, line, bytes, &mut overwrite).await {
            Err(error) if tries < TRIES && (error.is_not_found() || error.is_uncertain()) => {}
            Err(error) if tries < TRIES && error.is_already_exists() && empty(run, line).await => {
                // A create whose answer was lost; nothing is lost with an empty file.
                overwrite = true;
            }
            other => return other,
        }
    }
}

async fn empty(run: &Run<'_>, line: &DbfsLine) -> bool {
    let query = [("path", line.path.as_str())];
    let status = run.client.get("/api/2.0/dbfs/get-status", &query).await;
    // Where nobody can tell, it stays: the first error says why.
    status.is_ok_and(|body| {
        let info = dbfs_info(&body);
        !info.is_dir && info.size == 0
    })
}

/// One pass over the file: a block that may have been taken twice spoils it, so blocks are never repeated.
async fn stream(
    run: &Run<'_>,
    line: &DbfsLine,
    bytes: &[u8],
    overwrite: &mut bool,
) -> Result<serde_json::Value, Error> {
    let body = json!({ "path": line.path, "overwrite": *overwrite });
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
    // From here on what stands there is this run's own.
    *overwrite = true;
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
