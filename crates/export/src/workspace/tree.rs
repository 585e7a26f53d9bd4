//! The inventory of the tree, compact: one node per object, the listed facts as text elsewhere.
//!
//! A hundred thousand parsed entries would take more memory than a whole run may; the text of an entry lies in a
//! temporary file and is parsed when its record is written.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash as _, Hasher as _};
use std::io;

use lifeboat_archive::names::{self, Sibling};
use lifeboat_archive::{Digest, Stored};
use lifeboat_catalog::records::WORKSPACE_CONTENT;
use lifeboat_catalog::{Kind, tree as rules};

use super::entry::Entry;
use crate::gate::Failure;
use crate::ledger::Source;
use crate::spill::{Slot, Spill};

/// Index of a node.
pub(crate) type NodeId = u32;

/// All nodes; the first is the root.
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// The listed facts of all nodes.
    facts: Spill,
    /// Why facts could not be kept or read; the run ends with it.
    broken: Option<io::Error>,
    /// What was read of contents that are to be read again: it stands if that fails.
    earlier: HashMap<NodeId, Earlier>,
    /// Members that were given to later contents of an object.
    later_members: HashSet<Box<str>>,
}

/// A content that was read, and the facts that stood before it was.
struct Earlier {
    content: Box<ContentFacts>,
    facts: Option<(Slot, u64)>,
}

/// One object.
pub(crate) struct Node {
    parent: NodeId,
    pub(crate) name: Box<str>,
    pub(crate) object_id: Box<str>,
    pub(crate) kind: &'static Kind,
    archive_name: ArchiveName,
    /// Where the ObjectInfo as listed lies, and its hash; absent when the object is not in the archive.
    facts: Option<(Slot, u64)>,
    pub(crate) folder: Folder,
    pub(crate) state: State,
    /// How many contents of this node went into the archive.
    deliveries: u8,
}

/// Name of a node in the archive.
enum ArchiveName {
    /// Its own.
    Same,
    /// Its own with an extension.
    Extended(&'static str),
    /// Another one.
    Other(Box<str>),
}

/// Whether a node is a folder of the walk.
pub(crate) enum Folder {
    /// No folder, or one that is not walked.
    No,
    /// Waits to be listed.
    Pending,
    /// Listed: its children in the order of their archive paths.
    Listed(Vec<NodeId>),
    /// Could not be listed.
    Failed(Box<Failure>),
}

/// How a node stands.
pub(crate) enum State {
    /// A folder that is walked only for what may be below it.
    Passing,
    /// In the archive, without content.
    Plain,
    /// In the inventory; its fate is stated.
    Inventoried,
    /// In the archive, content to be read.
    Wanted,
    /// In the archive with content.
    Content(Box<ContentFacts>),
    /// The content answered "not found"; the second listing decides.
    Missing(Box<Failure>),
    /// Not in the archive; its fate is stated, or another node stands for it.
    Out,
}

/// What is known about a stored content.
pub(crate) struct ContentFacts {
    pub(crate) format: &'static str,
    pub(crate) file_type: Option<Cow<'static, str>>,
    /// Member path, where it is not the first one of this node.
    pub(crate) member: Option<Box<str>>,
    /// The node under which the content was handed to the writer.
    pub(crate) token: NodeId,
    /// Size and digest, once the writer has told them.
    pub(crate) stored: Option<Stored>,
    pub(crate) source: Source,
    /// Digest of the same content in the base, where this reading is to be compared with it.
    pub(crate) expected: Option<Box<Digest>>,
}

impl Tree {
    /// A tree with a root that waits to be listed.
    pub(crate) fn new(root: State) -> Self {
        let root = Node {
            parent: 0,
            name: Box::default(),
            object_id: Box::default(),
            kind: rules::kind_of("DIRECTORY"),
            archive_name: ArchiveName::Same,
            facts: None,
            folder: Folder::Pending,
            state: root,
            deliveries: 0,
        };
        Self {
            nodes: vec![root],
            facts: Spill::new(),
            broken: None,
            earlier: HashMap::new(),
            later_members: HashSet::new(),
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[index(id)]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[index(id)]
    }

    /// The listed facts of a node as text; nothing for one that is not in the archive.
    pub(crate) fn facts(&mut self, id: NodeId) -> Option<String> {
        let (slot, _) = self.node(id).facts?;
        match self.facts.get(slot) {
            Ok(text) => Some(text),
            Err(error) => {
                self.broken.get_or_insert(error);
                None
            }
        }
    }

    /// Keeps the listed facts of a node.
    pub(crate) fn set_facts(&mut self, id: NodeId, text: &str) {
        match self.facts.put(text) {
            Ok(slot) => self.node_mut(id).facts = Some((slot, hash(text))),
            Err(error) => {
                self.broken.get_or_insert(error);
            }
        }
    }

    /// Takes newer facts of an object that was read: it is to be read again, and what was read stays in reserve.
    pub(crate) fn want_again(&mut self, id: NodeId, facts: &str) {
        let before = self.node(id).facts;
        if let State::Content(content) =
            std::mem::replace(&mut self.node_mut(id).state, State::Wanted)
        {
            let facts = before;
            self.earlier.insert(id, Earlier { content, facts });
        }
        self.set_facts(id, facts);
    }

    /// Puts back what was read earlier, if anything was.
    pub(crate) fn restore(&mut self, id: NodeId) -> bool {
        let Some(Earlier { content, facts }) = self.earlier.remove(&id) else {
            return false;
        };
        let node = self.node_mut(id);
        node.state = State::Content(content);
        node.facts = facts;
        true
    }

    /// The object of the node `earlier` is now at the node `later`: gives over its content of the base, to stand if nothing
    /// changed, else in reserve. What the service gave for the earlier path may be the content of whatever stood there
    /// next, so it is not kept. Afterwards `earlier` is out of the archive.
    pub(crate) fn hand_over(&mut self, earlier: NodeId, later: NodeId, unchanged: bool) {
        let member = self.first_member(earlier);
        let facts = self.node(earlier).facts;
        let state = std::mem::replace(&mut self.node_mut(earlier).state, State::Out);
        let (held, is_latest) = match (state, self.earlier.remove(&earlier)) {
            (State::Content(content), _) => (Some(Earlier { content, facts }), true),
            (_, held) => (held, false),
        };
        let Some(mut held) = held.filter(|held| held.content.source == Source::Base) else {
            return;
        };
        if !matches!(self.node(later).state, State::Wanted | State::Missing(_)) {
            return;
        }
        held.content.member.get_or_insert_with(|| member.into());
        if is_latest && unchanged {
            self.node_mut(later).state = State::Content(held.content);
        } else {
            self.earlier.insert(later, held);
        }
    }

    /// Whether a node has exactly these facts.
    pub(crate) fn has_facts(&self, id: NodeId, text: &str) -> bool {
        self.node(id)
            .facts
            .is_some_and(|(_, known)| known == hash(text))
    }

    /// Why facts could not be kept or read, if so.
    pub(crate) fn take_broken(&mut self) -> Option<io::Error> {
        self.broken.take()
    }

    /// Ids of all nodes.
    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// Kind and object id of a node.
    pub(crate) fn kind_and_id(&self, id: NodeId) -> (&'static Kind, &str) {
        let node = self.node(id);
        (node.kind, &node.object_id)
    }

    /// Kind, object id and path of a node that has a record in the archive.
    pub(crate) fn recorded(&self, id: NodeId) -> Option<(&'static Kind, &str, String)> {
        let node = self.node(id);
        self.is_recorded(id)
            .then(|| (node.kind, &*node.object_id, self.path(id)))
    }

    /// Whether a node has a record in the archive and counts as captured.
    pub(crate) fn is_recorded(&self, id: NodeId) -> bool {
        let node = self.node(id);
        matches!(node.state, State::Plain | State::Content(_)) && node.facts.is_some()
    }

    /// Takes a node out of the archive; its fate is stated by the caller.
    pub(crate) fn leave_out(&mut self, id: NodeId) {
        self.node_mut(id).state = State::Out;
    }

    /// Folder in which a node is.
    pub(crate) fn parent(&self, id: NodeId) -> NodeId {
        self.node(id).parent
    }

    /// Workspace path of a node.
    pub(crate) fn path(&self, id: NodeId) -> String {
        if id == 0 {
            "/".to_owned()
        } else {
            self.join(id, false)
        }
    }

    /// Path of a folder in the archive with a slash at its end: its place in the order of the walk.
    pub(crate) fn order_key(&self, id: NodeId) -> String {
        let mut key = if id == 0 {
            String::new()
        } else {
            self.join(id, true)
        };
        key.push('/');
        key
    }

    /// Member path of the first content of a node.
    pub(crate) fn first_member(&self, id: NodeId) -> String {
        format!("{WORKSPACE_CONTENT}{}", self.join(id, true))
    }

    /// Member path for the next content of a node. A member cannot be replaced, so a later content of the same object
    /// gets a name of its own, which the record then states.
    pub(crate) fn next_member(&mut self, id: NodeId) -> (String, Option<Box<str>>) {
        let deliveries = self.node(id).deliveries;
        self.node_mut(id).deliveries = deliveries.saturating_add(1);
        let path = self.first_member(id);
        if deliveries == 0 {
            return (path, None);
        }
        let node = self.node(id);
        let object_id = node.object_id.clone();
        let archive_name = node.archive_name().into_owned();
        let extension = archive_name
            .rfind('.')
            .map_or("", |dot| &archive_name[dot..]);
        let stem = node
            .name
            .strip_suffix(extension)
            .unwrap_or(&node.name)
            .to_owned();
        let folder = path.rfind('/').map_or("", |cut| &path[..cut]);
        // Two places of one object in a folder may have the same allowed part.
        let mut at = u32::from(deliveries);
        loop {
            let name = long_name(&stem, extension, &format!("{object_id}-{at}"));
            let path = format!("{folder}/{name}");
            if self.later_members.insert(path.to_lowercase().into()) {
                return (path.clone(), Some(path.into()));
            }
            at += 1;
        }
    }

    /// Adds children to a folder, names all of them for the archive and sorts them by archive path. Names that were
    /// given before stay. Gives the new nodes in the order of `entries`.
    pub(crate) fn add_children(
        &mut self,
        folder: NodeId,
        entries: Vec<(Entry, State, bool)>,
    ) -> Vec<NodeId> {
        let mut children =
            match std::mem::replace(&mut self.node_mut(folder).folder, Folder::Pending) {
                Folder::Listed(children) => children,
                _ => Vec::new(),
            };
        let old = children.len();
        let mut archive_names = {
            let before: Vec<Cow<'_, str>> = children
                .iter()
                .map(|child| self.node(*child).archive_name())
                .collect();
            let before = children.iter().zip(&before).map(|(child, name)| Sibling {
                name,
                extension: "",
                id: &self.node(*child).object_id,
            });
            let added = entries.iter().map(|(entry, ..)| Sibling {
                name: &entry.name,
                extension: entry.extension,
                id: &entry.object_id,
            });
            names::assign(&before.chain(added).collect::<Vec<_>>())
        };
        if old > 0 {
            self.avoid_taken(&children, &entries, &mut archive_names[old..]);
        }
        let mut added = Vec::with_capacity(entries.len());
        for ((entry, state, walked), archive_name) in
            entries.into_iter().zip(archive_names.into_iter().skip(old))
        {
            let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
            let gone = matches!(state, State::Out);
            self.nodes.push(Node {
                parent: folder,
                archive_name: ArchiveName::of(&entry, archive_name),
                name: entry.name,
                object_id: entry.object_id,
                kind: entry.kind,
                facts: None,
                folder: if walked { Folder::Pending } else { Folder::No },
                state,
                deliveries: 0,
            });
            if !gone {
                self.set_facts(id, &entry.raw);
            }
            added.push(id);
        }
        children.extend(&added);
        children.sort_by_cached_key(|child| {
            let node = self.node(*child);
            let slash = if matches!(node.folder, Folder::No) {
                ""
            } else {
                "/"
            };
            format!("{}{slash}", node.archive_name())
        });
        children.shrink_to_fit();
        self.node_mut(folder).folder = Folder::Listed(children);
        added
    }

    /// Gives other names to added children whose names are taken: an object that was renamed in its folder keeps its id,
    /// so the long form of its new name may be that of the old one.
    fn avoid_taken(
        &self,
        children: &[NodeId],
        entries: &[(Entry, State, bool)],
        archive_names: &mut [String],
    ) {
        let mut taken: HashSet<String> = children
            .iter()
            .map(|child| self.node(*child).archive_name().to_lowercase())
            .collect();
        let mut next = self.nodes.len();
        for ((entry, ..), name) in entries.iter().zip(archive_names) {
            while !taken.insert(name.to_lowercase()) {
                *name = long_name(
                    &entry.name,
                    entry.extension,
                    &format!("{}-n{next}", entry.object_id),
                );
                next += 1;
            }
        }
    }

    fn join(&self, id: NodeId, in_archive: bool) -> String {
        let mut parts = Vec::new();
        let mut at = id;
        while at != 0 {
            let node = self.node(at);
            parts.push(if in_archive {
                node.archive_name()
            } else {
                Cow::Borrowed(&*node.name)
            });
            at = node.parent;
        }
        let mut path = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
        for part in parts.iter().rev() {
            path.push('/');
            path.push_str(part);
        }
        path
    }
}

impl ArchiveName {
    fn of(entry: &Entry, name: String) -> Self {
        match name.strip_prefix(&*entry.name) {
            Some("") => Self::Same,
            Some(rest) if rest == entry.extension => Self::Extended(entry.extension),
            _ => Self::Other(name.into()),
        }
    }
}

impl Node {
    fn archive_name(&self) -> Cow<'_, str> {
        match &self.archive_name {
            ArchiveName::Same => Cow::Borrowed(&self.name),
            ArchiveName::Extended(extension) => Cow::Owned(format!("{}{extension}", self.name)),
            ArchiveName::Other(name) => Cow::Borrowed(name),
        }
    }

    /// Whether the object has facts, and so a record when its state says so.
    pub(crate) fn has_any_facts(&self) -> bool {
        self.facts.is_some()
    }
}

/// The long form of a name, which belongs to ids only and so cannot meet the name of a sibling.
fn long_name(name: &str, extension: &str, id: &str) -> String {
    let siblings = ["0", id].map(|id| Sibling {
        name,
        extension,
        id,
    });
    // Equal names get the long form.
    names::assign(&siblings).pop().unwrap_or_default()
}

fn hash(text: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn index(id: NodeId) -> usize {
    // A u32 always fits: no target of this project has pointers below 32 bits.
    id as usize
}
