//! What the target offers besides the objects that archives hold: machine types, runtimes, destinations, warehouses, the
//! caller's git credentials, groups of the account (`spec/import.md`, "Preflight").
//!
//! Asked only where the archive names something of the kind. An endpoint that refuses is an answer of its own, never an
//! empty list.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_catalog::{Target, groups, places, scim};
use lifeboat_databricks::{Client, Listing, Paging};
use serde_json::Value;

use super::read::{concurrently, fatal, service};
use crate::archived::ArchiveState;
use crate::error::Error;

/// What an endpoint answered.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Asked<T> {
    /// Nothing in the archive names anything of the kind.
    #[default]
    No,
    /// The answer.
    Yes(T),
    /// It refused, for this reason: nobody knows.
    Refused(String),
}

impl<T> Asked<T> {
    /// The answer, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Yes(answer) => Some(answer),
            _ => None,
        }
    }

    /// Why there is none although it was asked.
    pub fn refused(&self) -> Option<&str> {
        match self {
            Self::Refused(reason) => Some(reason),
            _ => None,
        }
    }
}

/// A machine type that the target offers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeType {
    /// Cores of one machine.
    pub cores: f64,
    /// Cores of this type that the subscription may still use, where the service says so.
    pub available_cores: Option<f64>,
    /// Why it cannot be used although it is listed (`NotAvailableInRegion`, `NotEnabledOnSubscription`).
    pub status: Vec<String>,
}

/// What the target offers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Offer {
    /// Machine types by `node_type_id`.
    pub node_types: Asked<BTreeMap<String, NodeType>>,
    /// Runtime keys.
    pub spark_versions: Asked<BTreeSet<String>>,
    /// Names of notification destinations by id.
    pub destinations: Asked<BTreeMap<String, String>>,
    /// Names of SQL warehouses by id.
    pub warehouses: Asked<BTreeMap<String, String>>,
    /// Git providers for which the caller has credentials.
    pub git_providers: Asked<BTreeSet<String>>,
    /// Groups of the account that are not in the workspace yet: id in the account by name; `None` when the account has no
    /// such group.
    pub account_groups: BTreeMap<String, Asked<Option<String>>>,
}

/// Asks the target for everything that the archive names but the groups of the account ([`account_groups`]), which are
/// asked for when it is known which the target lacks.
///
/// # Errors
/// [`Error::Service`] when the credentials or the network are lost.
pub(crate) async fn read(client: &Client, archive: &ArchiveState) -> Result<Offer, Error> {
    let named = named_targets(archive);
    let has = |targets: &[Target]| targets.iter().any(|target| named.contains(target));
    let (node_types, spark_versions, destinations, warehouses, git) = tokio::join!(
        ask(has(&[Target::NodeType]), "node types", node_types(client)),
        ask(
            has(&[Target::SparkVersion]),
            "Spark versions",
            spark_versions(client)
        ),
        ask(
            has(&[Target::NotificationDestination]),
            "notification destinations",
            destinations(client)
        ),
        ask(
            has(&[Target::Warehouse]),
            "SQL warehouses",
            warehouses(client)
        ),
        ask(
            !archive.of_kind("git-folders").is_empty(),
            "git credentials",
            git_providers(client)
        ),
    );
    Ok(Offer {
        node_types: node_types?,
        spark_versions: spark_versions?,
        destinations: destinations?,
        warehouses: warehouses?,
        git_providers: git?,
        account_groups: BTreeMap::new(),
    })
}

/// Looks these groups up in the account.
///
/// # Errors
/// [`Error::Service`] when the credentials or the network are lost.
pub(crate) async fn account_groups(
    client: &Client,
    names: Vec<String>,
    concurrency: usize,
) -> Result<BTreeMap<String, Asked<Option<String>>>, Error> {
    let asked = concurrently(names, concurrency, |name| async move {
        let call = account_group(client, name.clone());
        let asked = ask(true, "groups of the account", call).await?;
        Ok((name, asked))
    });
    asked.await.into_iter().collect()
}

/// Groups of the account in the archive that the target does not have.
pub(crate) fn missing_account_groups(
    archive: &ArchiveState,
    in_target: &[super::TargetObject],
) -> Vec<String> {
    let name = |body: &Value| places::text(body, "displayName");
    let present: BTreeSet<String> = in_target
        .iter()
        .filter_map(|object| name(&object.body))
        .collect();
    archive
        .of_kind("groups")
        .iter()
        .filter(|record| groups::is_account_group(&record.body))
        .filter_map(|record| name(&record.body))
        .filter(|name| !present.contains(name) && !matches!(name.as_str(), "admins" | "users"))
        .collect()
}

/// The sorts of things that the archive's objects name.
fn named_targets(archive: &ArchiveState) -> BTreeSet<Target> {
    let mut named = BTreeSet::new();
    let compute = ["clusters", "instance-pools", "cluster-policies", "jobs"];
    for kind in compute
        .iter()
        .filter_map(|name| lifeboat_catalog::kind(name))
    {
        for record in archive.of_kind(kind.name) {
            named.extend(
                kind.found_references(&record.body)
                    .iter()
                    .map(|found| found.to),
            );
        }
    }
    named
}

async fn ask<T>(
    wanted: bool,
    what: &str,
    call: impl Future<Output = Result<T, lifeboat_databricks::Error>>,
) -> Result<Asked<T>, Error> {
    if !wanted {
        return Ok(Asked::No);
    }
    match call.await {
        Ok(answer) => Ok(Asked::Yes(answer)),
        Err(error) if fatal(&error) => Err(service(&format!("listing the target's {what}"), error)),
        Err(error) => Ok(Asked::Refused(error.to_string())),
    }
}

async fn node_types(
    client: &Client,
) -> Result<BTreeMap<String, NodeType>, lifeboat_databricks::Error> {
    let reply = client.get("/api/2.1/clusters/list-node-types", &[]).await?;
    Ok(elements(&reply, "node_types")
        .filter_map(|node| {
            let info = node.get("node_info");
            let number = |field: &str| info?.get(field)?.as_f64();
            let status = info.and_then(|info| info.get("status")?.as_array());
            let shown = NodeType {
                cores: node.get("num_cores").and_then(Value::as_f64).unwrap_or(0.0),
                available_cores: number("available_core_quota"),
                status: status
                    .into_iter()
                    .flatten()
                    .filter_map(|status| status.as_str().map(str::to_owned))
                    .collect(),
            };
            Some((places::text(node, "node_type_id")?, shown))
        })
        .collect())
}

async fn spark_versions(client: &Client) -> Result<BTreeSet<String>, lifeboat_databricks::Error> {
    let reply = client.get("/api/2.1/clusters/spark-versions", &[]).await?;
    Ok(elements(&reply, "versions")
        .filter_map(|version| places::text(version, "key"))
        .collect())
}

async fn destinations(
    client: &Client,
) -> Result<BTreeMap<String, String>, lifeboat_databricks::Error> {
    let listing = Listing {
        path: "/api/2.0/notification-destinations",
        query: Vec::new(),
        array: "results",
        paging: Paging::PageToken {
            size: Some(("page_size", 100)),
        },
    };
    let raw = client.list(&listing).await?;
    Ok(raw
        .iter()
        .map(|element| {
            serde_json::from_str::<Value>(element.get())
                .expect("a raw value is JSON: it was parsed to be cut out")
        })
        .filter_map(|one| {
            Some((
                places::text(&one, "id")?,
                places::text(&one, "display_name")?,
            ))
        })
        .collect())
}

async fn warehouses(
    client: &Client,
) -> Result<BTreeMap<String, String>, lifeboat_databricks::Error> {
    let reply = client.get("/api/2.0/sql/warehouses", &[]).await?;
    Ok(elements(&reply, "warehouses")
        .filter_map(|one| Some((places::text(one, "id")?, places::text(one, "name")?)))
        .collect())
}

async fn git_providers(client: &Client) -> Result<BTreeSet<String>, lifeboat_databricks::Error> {
    let reply = client.get("/api/2.0/git-credentials", &[]).await?;
    Ok(elements(&reply, "credentials")
        .filter_map(|one| places::text(one, "git_provider"))
        .collect())
}

async fn account_group(
    client: &Client,
    name: String,
) -> Result<Option<String>, lifeboat_databricks::Error> {
    let filter = scim::filter("displayName", &name);
    let query = [
        ("filter", filter.as_str()),
        ("attributes", "id,displayName"),
    ];
    let reply = client
        .get("/api/2.0/account/scim/v2/Groups", &query)
        .await?;
    Ok(elements(&reply, "Resources")
        .find(|group| places::text(group, "displayName").as_deref() == Some(name.as_str()))
        .and_then(|group| places::text(group, "id")))
}

fn elements<'r>(reply: &'r Value, field: &str) -> impl Iterator<Item = &'r Value> {
    reply
        .get(field)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
