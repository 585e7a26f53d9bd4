//! Logins that another program keeps: `databricks auth token`, and how programs are run.

use std::ffi::OsStr;
use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::time::{OffsetDateTime, parse_rfc3339};
use serde_json::Value;
use tokio::process::Command;

use crate::Secret;
use crate::secret::Cleaner;
use crate::token::{Fetch, NoToken, Token};

/// Longest time for one program.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Secrets of ours in the environment, which no program needs.
const SECRETS: [&str; 9] = [
    "DATABRICKS_TOKEN",
    "DATABRICKS_PASSWORD",
    "DATABRICKS_CLIENT_SECRET",
    "ARM_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "LIFEBOAT_SIGN_PASSWORD",
];

/// Runs a program without input to its end; one that takes too long is ended.
pub(crate) async fn output(program: &OsStr, arguments: &[&OsStr]) -> io::Result<Output> {
    let mut command = Command::new(program);
    for name in SECRETS {
        command.env_remove(name);
    }
    let run = command
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(TIMEOUT, run).await {
        Ok(output) => output,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no end after {} s", TIMEOUT.as_secs()),
        )),
    }
}

/// Runs a program that prints a JSON document.
pub(crate) async fn json(
    program: &str,
    arguments: &[&str],
    cleaner: &Cleaner,
) -> Result<Value, NoToken> {
    let shown = format!("{program} {}", arguments.join(" "));
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    let output = match output(program.as_ref(), &arguments).await {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(NoToken::refused(format!("there is no program {program}")));
        }
        Err(error) => return Err(NoToken::refused(format!("`{shown}`: {error}"))),
    };
    if !output.status.success() {
        let said = cleaner.clean(&String::from_utf8_lossy(&output.stderr));
        return Err(NoToken::refused(format!("`{shown}` fails: {said}")));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|_| NoToken::refused(format!("`{shown}` prints no JSON")))
}

/// Time until a moment, none if it has passed.
pub(crate) fn until(moment: OffsetDateTime) -> Duration {
    (moment - OffsetDateTime::now_utc())
        .try_into()
        .unwrap_or(Duration::ZERO)
}

/// The login of the Databricks command line.
pub(crate) struct DatabricksCli {
    pub(crate) program: String,
    pub(crate) whose: [String; 2],
    pub(crate) cleaner: Cleaner,
}

#[async_trait]
impl Fetch for DatabricksCli {
    async fn fetch(&self) -> Result<Token, NoToken> {
        let [flag, whose] = &self.whose;
        let reply = json(
            &self.program,
            &["auth", "token", flag, whose],
            &self.cleaner,
        )
        .await?;
        let text = |key: &str| {
            reply
                .get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        let bearer = text("access_token")
            .ok_or_else(|| NoToken::refused(format!("{} prints no access_token", self.program)))?;
        let ends = text("expiry").map(|moment| {
            parse_rfc3339(moment).map_err(|_| {
                NoToken::refused(format!("{} prints an expiry that is no time", self.program))
            })
        });
        Ok(Token::bearer(
            Secret::new(bearer),
            ends.transpose()?.map(until),
        ))
    }
}
