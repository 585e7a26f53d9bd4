//! Two simulated workspaces, an archive between them, and the runs that the import tests make.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod old;
pub mod standby;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_archive::Archive;
use lifeboat_databricks::{Client, ClientOptions, Config, Limits, Secret};
use lifeboat_import::{Error, Options, Plan, Report, Rule, Silent};
use lifeboat_sim::{Call, Fill, Sim};

/// Workspace id of the source.
pub const SOURCE: &str = "1111111111111111";
/// Workspace id of the target.
pub const TARGET: &str = "2222222222222222";

/// A source with an archive of it, a target, and a place for journals.
pub struct Stage {
    pub source: Arc<Sim>,
    pub target: Sim,
    /// A client of the target: making one takes longer than an import of a small workspace makes calls.
    pub client: Client,
    pub folder: tempfile::TempDir,
    pub archive: PathBuf,
}

pub fn client(sim: &Sim) -> Client {
    client_with(sim, Duration::from_secs(5))
}

pub fn client_with(sim: &Sim, retry_budget: Duration) -> Client {
    let config = Config::with_token(&sim.url(), Secret::new(sim.token().to_owned())).unwrap();
    let options = ClientOptions {
        limits: Limits::Off,
        retry_budget,
        max_concurrent: 32,
        second: Duration::from_millis(20),
        ..ClientOptions::default()
    };
    Client::new(config, options).unwrap()
}

/// A client with another bearer token.
pub fn client_as(sim: &Sim, token: &str) -> Client {
    let config = Config::with_token(&sim.url(), Secret::new(token.to_owned())).unwrap();
    let options = ClientOptions {
        limits: Limits::Off,
        ..ClientOptions::default()
    };
    Client::new(config, options).unwrap()
}

/// An empty workspace whose clusters stop within the blink of an eye.
pub fn workspace(id: &str) -> Sim {
    let options = lifeboat_sim::Options {
        // So fast that nobody waits, and so slow that a busy machine is quicker than clusters start and handles expire.
        clock_rate: 50,
        ..lifeboat_sim::Options::workspace(id)
    };
    Sim::start(options).unwrap()
}

impl Stage {
    /// A source with this fill, exported, and an empty target.
    pub async fn new(fill: &Fill) -> Self {
        let source = Arc::new(workspace(SOURCE));
        source.fill(fill);
        let folder = tempfile::tempdir().unwrap();
        let target = workspace(TARGET);
        // Both workspaces belong to one account, whose groups the target does not have yet.
        target.with(|world| fill.join_account(world));
        let stage = Self {
            source,
            client: client(&target),
            target,
            archive: folder.path().join("a.tar.zst"),
            folder,
        };
        stage.export().await;
        stage
    }

    /// The same source and archive with another empty target and no journal. This stage must outlive it.
    pub fn sibling(&self, fill: &Fill) -> Self {
        let target = workspace(TARGET);
        target.with(|world| fill.join_account(world));
        Self {
            source: Arc::clone(&self.source),
            client: client(&target),
            target,
            archive: self.archive.clone(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Exports the source anew.
    pub async fn export(&self) {
        self.export_with(|options| options.dbfs = vec!["/".to_owned()])
            .await;
    }

    pub async fn export_with(&self, change: impl FnOnce(&mut lifeboat_export::Options)) {
        self.export_as(&client(&self.source), change).await;
    }

    /// The same by another caller.
    pub async fn export_as(
        &self,
        client: &Client,
        change: impl FnOnce(&mut lifeboat_export::Options),
    ) {
        let sink = fs_err::File::create(&self.archive).unwrap();
        let mut options = lifeboat_export::Options::new("2026-11-22T01:00:00Z".parse().unwrap());
        change(&mut options);
        lifeboat_export::run(client, &options, sink.into_parts().0, &Nothing)
            .await
            .unwrap();
    }

    pub fn open(&self) -> Archive {
        Archive::open(&self.archive).unwrap()
    }

    pub fn options(&self) -> Options {
        Options {
            target: Some(TARGET.to_owned()),
            admins: true,
            state_home: Some(self.folder.path().join("state")),
            home_wait: Duration::from_secs(2),
            cluster_wait: Duration::from_secs(20),
            second: Duration::from_millis(20),
            ..Options::default()
        }
    }

    pub fn journal(&self) -> PathBuf {
        self.folder
            .path()
            .join(format!("state/lifeboat/{SOURCE}-{TARGET}/journal.jsonl"))
    }

    pub async fn apply(&self, options: &Options) -> Result<Report, Error> {
        lifeboat_import::apply(&self.open(), &self.client, options, &Silent).await
    }

    pub async fn plan(&self, options: &Options) -> Result<Plan, Error> {
        lifeboat_import::plan(&self.open(), &self.client, options, &Silent).await
    }

    /// Calls of the target that change something.
    pub fn writes(&self) -> Vec<Call> {
        self.target
            .calls()
            .into_iter()
            .filter(|call| call.method != "GET")
            .collect()
    }

    /// What differs between the two workspaces as the simulator itself sees them, less what no import can or should
    /// carry.
    pub fn differences(&self) -> Vec<String> {
        let (source, target) = (self.source.dump(), self.target.dump());
        let account: Vec<String> = names(&source, "groups", |group| group["account"] == true);
        let not_carried = |kind: &str, key: &str, what: &str| match kind {
            "other-objects" | "acls/dashboards" | "acls/experiments" => true,
            // Members of groups of the account are managed in the account.
            "groups" => account.iter().any(|name| name == key) && what.starts_with("members"),
            // Read as source, so that its outputs are gone.
            "notebooks" => source[kind][key]["jupyter"] == true,
            // Absent means its owner; restored, it is said.
            "jobs" => what.starts_with("run_as: absent ->"),
            _ => false,
        };
        lifeboat_sim::compare(&source, &target)
            .iter()
            .filter(|one| !not_carried(&one.kind, &one.key, &one.what))
            .map(|one| format!("{} {}: {}", one.kind, one.key, one.what))
            .collect()
    }
}

fn names(
    dump: &serde_json::Value,
    kind: &str,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> Vec<String> {
    let objects = dump[kind].as_object().unwrap();
    objects
        .iter()
        .filter(|(_, facts)| wanted(facts))
        .map(|(name, _)| name.clone())
        .collect()
}

struct Nothing;

impl lifeboat_export::Observer for Nothing {
    fn event(&self, _: lifeboat_export::Event<'_>) {}
}

/// Every object of a report that did not come out well, as text.
pub fn troubles(report: &Report) -> Vec<String> {
    use lifeboat_import::Fate;
    report
        .objects
        .iter()
        .filter(|object| {
            matches!(object.fate, Fate::Blocked | Fate::Failed) || !object.notes.is_empty()
        })
        .map(|object| {
            let reason = object.reason.as_deref().unwrap_or("");
            format!(
                "{} {} {}: {reason} {:?}",
                object.kind,
                object.name,
                object.fate.word(),
                object.notes
            )
        })
        .collect()
}

/// The objects with this fate, by name.
pub fn names_with(report: &Report, fate: lifeboat_import::Fate) -> Vec<&str> {
    let objects = report.objects.iter();
    objects
        .filter(|object| object.fate == fate)
        .map(|object| object.name.as_str())
        .collect()
}

/// The rule that refused, with a way on.
pub fn rule<T>(result: Result<T, Error>) -> Rule {
    match result {
        Err(Error::Refused { rule, hint, .. }) => {
            assert!(!hint.is_empty());
            rule
        }
        Err(other) => panic!("another error: {other}"),
        Ok(_) => panic!("not refused"),
    }
}
