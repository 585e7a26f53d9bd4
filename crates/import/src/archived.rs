//! What an archive holds, read into memory as far as planning needs it: all records, no contents of notebooks and files.
//! Verification and the guards that concern the archive alone are here too (`spec/import.md`, "Guards").

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lifeboat_archive::{Archive, Fate, Inventory, LedgerLine, Listing, ReadError, Scope};
use lifeboat_catalog::records::{self, ContentRef, DbfsLine, ObjectRecord};
use lifeboat_catalog::{Layout, kinds};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Rule};
use crate::events::{Event, Observer};
use crate::failback::Gone;
use crate::held::{Reply, TreeLine};
use crate::map::Translation;
use crate::target::{Content, TargetState, normal_digest};

/// The records of an archive.
#[derive(Debug, Clone, Default)]
pub struct ArchiveState {
    /// The archive id.
    pub archive_id: String,
    /// Workspace id of the source.
    pub workspace_id: String,
    /// Host of the source.
    pub host: String,
    /// Objects by kind, in the order of the archive.
    pub objects: BTreeMap<String, Vec<ObjectRecord>>,
    /// The workspace tree, by path.
    pub tree: Vec<TreeLine>,
    /// DBFS, by path.
    pub dbfs: Vec<DbfsLine>,
    /// Ids of the secrets whose values the archive holds; the values themselves are read when they are written.
    pub secret_values: BTreeSet<String>,
    /// Access control by kind and id: the service's replies.
    pub acls: BTreeMap<String, HashMap<String, Reply>>,
    /// Digests of Jupyter notebooks by path, in the form in which they are compared; only those that were needed.
    pub normal: BTreeMap<String, String>,
    /// The same of notebooks' sources ([`lifeboat_catalog::tree::normal_source`]); only of those that the target does not
    /// hold to the byte.
    pub(crate) sources: BTreeMap<String, String>,
    /// True when the whole workspace was asked for, by an administrator, and everything could be listed: what is not in
    /// the archive did not exist in the source.
    pub complete: bool,
    /// Kinds of identities that the archive does not hold as a whole: who is not in it may still be a member.
    pub partial_identities: BTreeSet<String>,
    /// Kinds whose access control the source does not have, because the feature is switched off there.
    pub without_access: BTreeSet<String>,
    /// True when the inventory is incomplete and that was allowed: what is missing is a gap.
    pub incomplete: bool,
    /// Kinds that were listed to the end.
    pub listed: BTreeSet<String>,
    /// Ids, names and paths of everything that the ledger names, what vanished among them.
    pub ledger: BTreeSet<String>,
    /// Ids, names and paths that the ledger lists as existing and not captured.
    pub uncaptured: BTreeSet<String>,
    /// What the export could not read, by kind, id and name; paths of the tree as the map translates them. Access control
    /// is not among it: its object says that the archive does not hold it.
    pub failed: Vec<LedgerLine>,
    /// Kinds that this build does not know, with the number of objects that the summary counts.
    pub unknown: BTreeMap<String, u64>,
    /// What the operator should know before anything else: gaps of the archive that were allowed.
    pub warnings: Vec<String>,
    /// What a map file made of the records.
    pub translation: Translation,
    /// Of a failback: what stands in the old primary and was deleted or moved in the secondary.
    pub(crate) gone: Vec<Gone>,
}

impl ArchiveState {
    /// The objects of a kind.
    #[must_use]
    pub fn of_kind(&self, kind: &str) -> &[ObjectRecord] {
        self.objects.get(kind).map_or(&[], Vec::as_slice)
    }

    /// SHA-256 of a content as it compares with the target's.
    #[must_use]
    pub fn comparable<'a>(&'a self, path: &str, content: &'a ContentRef) -> &'a str {
        self.normal.get(path).unwrap_or(&content.sha256)
    }

    /// Whether what was read of the target is what a service makes of an archived content.
    pub(crate) fn is_read_as(&self, path: &str, content: &ContentRef, read: &Content) -> bool {
        let normal = self.sources.get(path);
        read.is(self.comparable(path, content))
            || (normal.is_some() && normal == read.normal.as_ref())
    }

    /// Prepares [`ArchiveState::is_read_as`] for sources of which the target holds another version: it may be the same
    /// with other line ends. `place` is the path of the target for one of the source.
    ///
    /// # Errors
    /// [`Error::Archive`].
    pub(crate) fn normalise_sources(
        &mut self,
        archive: &Archive,
        target: &TargetState,
        place: impl Fn(&str) -> String,
    ) -> Result<(), Error> {
        for line in &self.tree {
            let (Some(content), Some(language)) = (&line.content, &line.language) else {
                continue;
            };
            let key = ("notebooks".to_owned(), place(&line.path));
            let read = target.contents.get(&key);
            let another =
                read.is_some_and(|read| read.normal.is_some() && !read.is(&content.sha256));
            if another && content.format == "SOURCE" && !self.sources.contains_key(&line.path) {
                let bytes = read_member(archive, &content.path)?;
                self.sources
                    .insert(line.path.clone(), normal_digest(language, &bytes));
            }
        }
        Ok(())
    }

    /// Prepares [`ArchiveState::comparable`] for the Jupyter notebooks among these paths of the source.
    ///
    /// # Errors
    /// [`Error::Archive`].
    pub fn normalise(&mut self, archive: &Archive, paths: &BTreeSet<String>) -> Result<(), Error> {
        for line in &self.tree {
            let Some(content) = &line.content else {
                continue;
            };
            if content.format != "JUPYTER"
                || self.normal.contains_key(&line.path)
                || !paths.contains(&line.path)
            {
                continue;
            }
            let bytes = read_member(archive, &content.path)?;
            self.normal.insert(
                line.path.clone(),
                crate::target::digest_of(&bytes, &content.format),
            );
        }
        Ok(())
    }

    /// The access control of an object, as the service replied; `None` when the archive does not have it.
    #[must_use]
    pub fn acl(&self, kind: &str, id: &str) -> Option<Value> {
        self.acls.get(kind)?.get(id).map(Reply::value)
    }
}

/// A line of the values of secrets without the value.
#[derive(Debug, serde::Deserialize)]
struct SecretValueId {
    id: String,
}

/// A line of access control, as far as it is looked at: [`records::AclLine`].
#[derive(Debug, serde::Deserialize)]
struct AclRow {
    id: String,
    body: Reply,
}

/// What `run.json` says of who made the archive.
#[derive(Debug, serde::Deserialize)]
struct RunRecord {
    caller: RunCaller,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RunCaller {
    user_name: String,
    admin: bool,
}

/// Proves every member of the archive.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Archive`].
pub fn verify(archive: &Archive, observer: &dyn Observer) -> Result<(), Error> {
    let report = archive
        .verify(&mut |done, total| observer.event(Event::Verifying { done, total }))
        .map_err(|source| reading("verification", source))?;
    match report.damage.first() {
        None => Ok(()),
        Some(first) => Err(Error::Damaged {
            places: report.damage.len(),
            first: first.to_string(),
        }),
    }
}

/// Reads the records.
///
/// # Errors
/// [`Error::Refused`] when the inventory is incomplete and that is not allowed; [`Error::Record`],
/// [`Error::Archive`].
pub fn load(archive: &Archive, allow_incomplete: bool) -> Result<ArchiveState, Error> {
    let header = archive
        .header()
        .map_err(|source| reading("lifeboat.json", source))?;
    let summary = archive
        .summary()
        .map_err(|source| reading("summary.json", source))?;
    let mut state = ArchiveState {
        archive_id: archive
            .archive_id()
            .map_err(|source| reading("archive id", source))?
            .to_string(),
        workspace_id: header.source.workspace_id,
        host: header.source.host,
        ..ArchiveState::default()
    };
    if summary.inventory == Inventory::Incomplete {
        let gaps = missing(&summary.kinds);
        if !allow_incomplete {
            return Err(Error::Refused {
                rule: Rule::Incomplete,
                detail: format!("not in the archive: {gaps}"),
                hint: "take another archive, or go on without these with --allow-incomplete"
                    .to_owned(),
            });
        }
        state.incomplete = true;
        state.warnings.push(format!(
            "the archive's inventory is incomplete; not in the archive: {gaps}"
        ));
    }
    state.complete = summary.inventory == Inventory::Complete && summary.scope == Scope::Workspace;
    check_caller(archive, &mut state)?;
    state.listed = summary
        .kinds
        .iter()
        .filter(|(_, counts)| counts.listing == Listing::Listed)
        .map(|(kind, _)| kind.clone())
        .collect();
    state.partial_identities = ["users", "groups", "service-principals"]
        .into_iter()
        .filter(|kind| {
            let counts = summary.kinds.get(*kind);
            counts.is_none_or(|counts| counts.listing != Listing::Listed || counts.failed > 0)
        })
        .map(str::to_owned)
        .collect();
    state.without_access = summary
        .kinds
        .iter()
        .filter(|(_, counts)| counts.listing == Listing::Unavailable)
        .filter_map(|(kind, _)| kind.strip_prefix("acls/").map(str::to_owned))
        .collect();
    load_ledger(archive, &mut state)?;
    let known: BTreeSet<&str> = kinds()
        .iter()
        .map(|kind| kind.name)
        .chain(["workspace", "dbfs", "acls", records::SECRET_VALUES])
        .collect();
    for (kind, counts) in &summary.kinds {
        // Access control has rows of its own, `acls/<kind>`.
        let name = kind.strip_prefix("acls/").unwrap_or(kind);
        if !known.contains(name) && counts.stored + counts.reused > 0 {
            state
                .unknown
                .insert(kind.clone(), counts.stored + counts.reused);
        }
    }
    load_objects(archive, &mut state)?;
    state.tree = lines(archive, records::WORKSPACE_TABLE)?;
    state.tree.sort_by(|a: &TreeLine, b| a.path.cmp(&b.path));
    state.dbfs = lines(archive, records::DBFS_TABLE)?;
    load_acls(archive, &mut state)?;
    let values: Vec<SecretValueId> = lines(archive, records::SECRET_VALUES_TABLE)?;
    state.secret_values = values.into_iter().map(|line| line.id).collect();
    find_unknown(archive, &known, &mut state)?;
    Ok(state)
}

/// The service hides what its caller may not read, and no listing says so.
fn check_caller(archive: &Archive, state: &mut ArchiveState) -> Result<(), Error> {
    let run: RunRecord = archive
        .document("run.json")
        .map_err(|source| reading("run.json", source))?;
    if !run.caller.admin {
        state.complete = false;
        state.warnings.push(format!(
            "the archive was made by {}, no administrator of the workspace: what the service hid from this caller is not \
             in it, so nothing counts as removed at the source",
            run.caller.user_name
        ));
    }
    Ok(())
}

fn missing(kinds: &BTreeMap<String, lifeboat_archive::KindSummary>) -> String {
    let gaps: Vec<String> = kinds
        .iter()
        .filter(|(_, counts)| counts.listing == Listing::Unknown)
        .map(|(kind, counts)| match &counts.reason {
            Some(reason) => format!("{kind} ({reason})"),
            None => kind.clone(),
        })
        .collect();
    if gaps.is_empty() {
        "folders that could not be listed".to_owned()
    } else {
        gaps.join(", ")
    }
}

fn load_ledger(archive: &Archive, state: &mut ArchiveState) -> Result<(), Error> {
    let ledger: Vec<LedgerLine> = lines(archive, "ledger")?;
    let mut unsupported: BTreeMap<String, u64> = BTreeMap::new();
    for line in ledger {
        state.ledger.insert(line.id.clone());
        state.ledger.insert(line.name.clone());
        match line.fate {
            Fate::Failed if !line.kind.starts_with("acls/") => state.failed.push(line.clone()),
            // What a rule leaves out of every archive is no news, and what is only inventoried is in the plan.
            Fate::Unsupported
                if !line.message.starts_with("rule:")
                    && line.kind != "workspace-objects"
                    && lifeboat_catalog::kind(&line.kind).is_some() =>
            {
                *unsupported.entry(line.kind.clone()).or_default() += 1;
            }
            _ => {}
        }
        // What vanished while it was read does not exist in the source either.
        if line.fate != Fate::Vanished {
            state.uncaptured.insert(line.id);
            state.uncaptured.insert(line.name);
        }
    }
    if !unsupported.is_empty() {
        let counts: Vec<String> = unsupported
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        state.warnings.push(format!(
            "the export left out what it does not support, so it is not restored: {}; the ledger of the archive names it",
            counts.join(", ")
        ));
    }
    Ok(())
}

fn load_objects(archive: &Archive, state: &mut ArchiveState) -> Result<(), Error> {
    for kind in kinds() {
        let mut objects: Vec<ObjectRecord> = match kind.layout {
            Layout::Tree => continue,
            Layout::Table => lines(archive, &records::table(kind.name))?,
            Layout::Object => {
                let prefix = format!("data/{}/", kind.name);
                let members = archive
                    .members(&prefix)
                    .map_err(|source| reading(&prefix, source))?;
                let mut objects = Vec::new();
                for member in members {
                    let member = member.map_err(|source| reading(&prefix, source))?;
                    let bytes = archive
                        .read(&member)
                        .map_err(|source| reading(&member.path, source))?;
                    let record = serde_json::from_slice(&bytes).map_err(|error| Error::Record {
                        record: member.path.clone(),
                        what: error.to_string(),
                    })?;
                    objects.push(record);
                }
                objects
            }
        };
        objects.retain(|record| record.kind == kind.name);
        if !objects.is_empty() {
            state.objects.insert(kind.name.to_owned(), objects);
        }
    }
    Ok(())
}

fn load_acls(archive: &Archive, state: &mut ArchiveState) -> Result<(), Error> {
    for kind in kinds().iter().filter(|kind| kind.permissions.is_some()) {
        let table: Vec<AclRow> = lines(archive, &records::acl_table(kind.name))?;
        if !table.is_empty() {
            let by_id = table.into_iter().map(|line| (line.id, line.body)).collect();
            state.acls.insert(kind.name.to_owned(), by_id);
        }
    }
    Ok(())
}

/// Kinds may stand in the payload without being counted in the summary.
fn find_unknown(
    archive: &Archive,
    known: &BTreeSet<&str>,
    state: &mut ArchiveState,
) -> Result<(), Error> {
    let members = archive
        .members("data/")
        .map_err(|source| reading("data/", source))?;
    for member in members {
        let member = member.map_err(|source| reading("data/", source))?;
        let Some((folder, _)) = member
            .path
            .strip_prefix("data/")
            .and_then(|rest| rest.split_once('/'))
        else {
            continue;
        };
        if !known.contains(folder) && !state.unknown.contains_key(folder) {
            state.unknown.insert(folder.to_owned(), 0);
        }
    }
    Ok(())
}

fn lines<T: DeserializeOwned>(archive: &Archive, table: &str) -> Result<Vec<T>, Error> {
    let mut parsed = Vec::new();
    for (index, line) in archive
        .lines(table)
        .map_err(|source| reading(table, source))?
        .enumerate()
    {
        let line = line.map_err(|source| reading(table, source))?;
        let record = serde_json::from_str(&line).map_err(|error| Error::Record {
            record: format!("{table}, line {}", index + 1),
            what: error.to_string(),
        })?;
        parsed.push(record);
    }
    Ok(parsed)
}

/// The value of a secret in Base64.
pub(crate) fn secret_value(archive: &Archive, id: &str) -> Result<String, Error> {
    let table = records::SECRET_VALUES_TABLE;
    let line = archive
        .find_line(table, id)
        .map_err(|source| reading(table, source))?;
    let line: Option<records::SecretValueLine> =
        line.and_then(|line| serde_json::from_str(&line).ok());
    // What is wrong with it is not said: the message would hold the line.
    line.map(|line| line.value).ok_or_else(|| Error::Record {
        record: format!("{table}, {id}"),
        what: "there is no such line, or it cannot be read".to_owned(),
    })
}

/// The bytes of a member, whatever its size.
pub(crate) fn read_member(archive: &Archive, path: &str) -> Result<Vec<u8>, Error> {
    let member = archive
        .find(path)
        .map_err(|source| reading(path, source))?
        .ok_or_else(|| Error::Record {
            record: path.to_owned(),
            what: "the content is not in the archive".to_owned(),
        })?;
    match archive.read(&member) {
        Err(ReadError::TooLarge { .. }) => {
            let mut bytes = Vec::new();
            archive
                .copy(&member, &mut bytes)
                .map_err(|source| reading(path, source))?;
            Ok(bytes)
        }
        other => other.map_err(|source| reading(path, source)),
    }
}

pub(crate) fn reading(what: &str, source: ReadError) -> Error {
    Error::Archive {
        what: what.to_owned(),
        source,
    }
}
