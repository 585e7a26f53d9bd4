//! Contents of notebooks and workspace files.
//!
//! Files go as RAW: any other format turns a file with a notebook header into a notebook and strips its extension
//! (fact sheet, section 4.4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lifeboat_catalog::records::ContentRef;
use lifeboat_catalog::{places, tree};
use lifeboat_databricks::{Body, Safety, segment};
use serde_json::{Map, Value, json};
use tokio::sync::SemaphorePermit;

use super::run::{Done, Fail, Run, Step};
use crate::archived::read_member;
use crate::held::TreeLine;
use crate::journal::{Made, Op};
use crate::plan::{Action, What, parent};
use crate::target::{Wanted, digest_of, read_content};

const IMPORT: &str = "/api/2.0/workspace/import";

/// Waits until the content fits into the memory that contents may take.
pub(super) async fn hold<'r>(run: &'r Run<'_>, size: u64) -> Result<SemaphorePermit<'r>, Fail> {
    let mebibytes = u32::try_from(size / (1 << 20) + 1)
        .unwrap_or(u32::MAX)
        .min(super::run::BUDGET_MIB);
    run.budget
        .acquire_many(mebibytes)
        .await
        .map_err(|_| Fail::Stopped)
}

/// Writes a notebook or file; gives its object id when the reply holds it.
pub(super) async fn write(
    run: &Run<'_>,
    action: &Action,
    line: &TreeLine,
    path: &str,
) -> Result<Done, Fail> {
    let content = line
        .content
        .as_ref()
        .ok_or_else(|| Fail::Blocked("the archive does not hold its content".to_owned()))?;
    if action.what == What::Adopt || action.recovered {
        let target = action.target.clone().unwrap_or_default();
        run.adopt(
            &action.kind,
            &action.id,
            &action.name,
            &target,
            action.made(),
            (action.what == What::Adopt).then(|| content.sha256.clone()),
        )?;
    }
    if action.what == What::Adopt {
        return Ok(Done {
            target: action.target.clone(),
            ..Done::default()
        });
    }
    let _held = hold(run, content.size).await?;
    let bytes =
        read_member(run.archive, &content.path).map_err(|error| Fail::Other(error.to_string()))?;
    let import = Import {
        run,
        action,
        line,
        content,
        path,
        bytes: Bytes::from(bytes),
    };
    let target = import.go().await?;
    let mut remarks = Vec::new();
    if import.gets_header() {
        remarks.push("the service puts its header line before this source".to_owned());
    }
    // What was deleted and made again has another id than the one that stood there.
    let replaced = run
        .journal
        .entry(&action.kind, &action.id)
        .is_some_and(|entry| entry.target.as_deref() != action.target.as_deref());
    Ok(Done {
        target: target.or_else(|| action.target.clone().filter(|_| !replaced)),
        remarks,
        ..Done::default()
    })
}

struct Import<'r, 'a> {
    run: &'r Run<'a>,
    action: &'r Action,
    line: &'r TreeLine,
    content: &'r ContentRef,
    path: &'r str,
    bytes: Bytes,
}

impl Import<'_, '_> {
    async fn go(&self) -> Result<Option<String>, Fail> {
        let overwrite = self.action.target.is_some();
        let fail = match self.call(overwrite).await {
            Ok(id) => return Ok(id),
            Err(fail) => fail,
        };
        let Some(error) = fail.error() else {
            return Err(fail);
        };
        if error.is_already_exists() {
            return if overwrite {
                self.replace().await
            } else {
                self.appeared(fail).await
            };
        }
        if error.is_not_found() && !overwrite {
            // A directory that the archive does not list was missing.
            let Some(above) = parent(self.path) else {
                return Err(fail);
            };
            super::tree::make_directory(self.run, above).await?;
            return self.call(false).await;
        }
        if error.is_not_implemented() && self.is_file() && !tree::has_notebook_header(&self.bytes) {
            return self.upload(overwrite).await;
        }
        Err(fail)
    }

    fn is_file(&self) -> bool {
        self.action.kind == "files"
    }

    /// Whether it is a notebook's source without the header that the service wants.
    fn gets_header(&self) -> bool {
        let language = self.line.language.as_deref();
        let language = language.filter(|_| self.format() == "SOURCE");
        language
            .is_some_and(|language| tree::without_source_header(language, &self.bytes).is_none())
    }

    fn format(&self) -> &str {
        if self.is_file() {
            "RAW"
        } else {
            &self.content.format
        }
    }

    fn step(&self, overwrite: bool) -> Step<'_> {
        let op = if overwrite { Op::Update } else { Op::Create };
        Step::new(op, &self.action.kind, &self.action.id, &self.action.name)
            .writing(self.content.sha256.clone())
    }

    /// The import call: JSON while the service takes it, multipart beyond.
    async fn call(&self, overwrite: bool) -> Result<Option<String>, Fail> {
        let language = self
            .line
            .language
            .clone()
            .filter(|_| self.format() == "SOURCE");
        let step = self.step(overwrite);
        let known = self.action.target.clone().filter(|_| overwrite);
        let id = |reply: &Value| places::text(reply, "object_id").or(known);
        let reply = if self.bytes.len() as u64 <= tree::JSON_LIMIT {
            let mut body = Map::new();
            body.insert("path".to_owned(), json!(self.path));
            body.insert("format".to_owned(), json!(self.format()));
            if let Some(language) = language {
                body.insert("language".to_owned(), json!(language));
            }
            body.insert("overwrite".to_owned(), json!(overwrite));
            body.insert("content".to_owned(), json!(STANDARD.encode(&self.bytes)));
            let body = Value::Object(body);
            let call =
                self.run
                    .client
                    .send("POST", IMPORT, &[], Body::Json(&body), Safety::Idempotent);
            self.run.write(&step, call, id).await?
        } else {
            let overwrite = if overwrite { "true" } else { "false" };
            let mut fields = vec![
                ("path", self.path),
                ("format", self.format()),
                ("overwrite", overwrite),
            ];
            if let Some(language) = &language {
                fields.push(("language", language));
            }
            let body = Body::Multipart {
                fields: &fields,
                file: "content",
                content: self.bytes.clone(),
            };
            let call = self
                .run
                .client
                .send("POST", IMPORT, &[], body, Safety::Idempotent);
            self.run.write(&step, call, id).await?
        };
        Ok(places::text(&reply, "object_id"))
    }

    /// It was not there when the target was listed. If it is equal, an unanswered call of this run made it.
    async fn appeared(&self, fail: Fail) -> Result<Option<String>, Fail> {
        let wanted = Wanted {
            kind: self.action.kind.clone(),
            path: self.path.to_owned(),
            format: self.content.format.clone(),
            size: self.content.size,
            language: self.line.language.clone(),
        };
        let found = self
            .run
            .read(read_content(self.run.client, &wanted))
            .await?;
        if !found.is(&digest_of(&self.bytes, &self.content.format)) {
            return Err(Fail::Blocked(format!(
                "it appeared in the target meanwhile with other content: {}",
                fail.text()
            )));
        }
        let query = [("path", self.path)];
        let status = self
            .run
            .read(self.run.client.get("/api/2.0/workspace/get-status", &query))
            .await?;
        let id = places::text(&status, "object_id").unwrap_or_default();
        let digest = Some(self.content.sha256.clone());
        self.run.adopt(
            &self.action.kind,
            &self.action.id,
            &self.action.name,
            &id,
            Made::Created,
            digest,
        )?;
        Ok(Some(id))
    }

    /// The service refuses to overwrite some files by import (fact sheet, section 4.4): the raw call does it, except for
    /// what looks like a notebook, which is deleted and made again.
    async fn replace(&self) -> Result<Option<String>, Fail> {
        if self.is_file() && !tree::has_notebook_header(&self.bytes) {
            return self.upload(true).await;
        }
        self.is_the_planned_one().await?;
        let body = json!({ "path": self.path, "recursive": false });
        let step = Step::new(
            Op::Update,
            &self.action.kind,
            &self.action.id,
            &self.action.name,
        );
        let call = self.run.client.send(
            "POST",
            "/api/2.0/workspace/delete",
            &[],
            Body::Json(&body),
            Safety::Idempotent,
        );
        self.run
            .write(&step, call, |_| self.action.target.clone())
            .await?;
        self.call(false).await
    }

    /// What is deleted by its path is what the plan was made for, and nothing that took its place since.
    async fn is_the_planned_one(&self) -> Result<(), Fail> {
        let query = [("path", self.path)];
        let call = self.run.client.get("/api/2.0/workspace/get-status", &query);
        let now = places::text(&self.run.read(call).await?, "object_id");
        let planned = self.run.target.tree.get(self.path);
        if planned.is_some_and(|planned| now.as_deref() == Some(&planned.object_id)) {
            return Ok(());
        }
        Err(Fail::Blocked(
            "another object took its place since the target was listed".to_owned(),
        ))
    }

    async fn upload(&self, overwrite: bool) -> Result<Option<String>, Fail> {
        let path = format!(
            "/api/2.0/workspace-files/import-file/{}",
            segment(self.path.trim_start_matches('/'))
        );
        let query = [("overwrite", if overwrite { "true" } else { "false" })];
        let call = self.run.client.send(
            "POST",
            &path,
            &query,
            Body::Raw(self.bytes.clone()),
            Safety::Idempotent,
        );
        let target = self.action.target.clone();
        self.run
            .write(&self.step(overwrite), call, |_| target)
            .await?;
        Ok(None)
    }
}
