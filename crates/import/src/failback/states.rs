//! What never ran in the secondary: its archive holds as switched off what the import there had only landed passive.

use lifeboat_catalog::Kind;
use serde_json::{Map, Value};

use super::Reverse;
use crate::archived::ArchiveState;

/// Objects that a warning names; the rest is counted.
const NAMED: usize = 10;

/// What is said of an object that gets back the state that it had in the old primary.
const RESTORED: &str = "never activated in the secondary: it counts as it was in the old primary";

impl Reverse {
    /// Gives records of objects that wait in the secondary as the import there left them the state that they had in the
    /// old primary, so that its activation knows it. What somebody switched there stays as it is; where nobody can tell, a
    /// warning names the object.
    pub fn restore_states(&self, state: &mut ArchiveState) {
        let mut undecided = Vec::new();
        for kind in lifeboat_catalog::kinds() {
            let Some(records) = state.objects.get_mut(kind.name) else {
                continue;
            };
            for record in records {
                let key = (kind.name.to_owned(), record.id.clone());
                let Some((active, landed)) = self.waiting(kind, &key, &record.body) else {
                    continue;
                };
                if landed {
                    kind.set_state(&mut record.body, active);
                    let remarks = &mut state.translation.remarks;
                    remarks.entry(key).or_default().push(RESTORED.to_owned());
                } else {
                    undecided.push(format!("{} {}", kind.singular, record.name));
                }
            }
        }
        state.warnings.extend(warning(&undecided));
    }

    /// The state in the old primary of an object that ran there and is passive in the secondary, where nothing says that
    /// it is meant to be; and whether it is passive by the import alone.
    fn waiting(
        &self,
        kind: &Kind,
        key: &(String, String),
        body: &Value,
    ) -> Option<(&Map<String, Value>, bool)> {
        let origin = self.origins.get(key)?;
        let entry = self.known.entry(kind.name, origin)?;
        let standing = self.known.standing(kind.name, origin)?;
        let waits = !entry.activated && !standing.gone && !kind.is_active(body);
        if !waits || !ran(kind, &standing.active) {
            return None;
        }
        // Another trigger than the one that landed is somebody's choice.
        let same_places = kind.state(body).keys().eq(standing.active.keys());
        Some((&standing.active, same_places && !entry.switched))
    }
}

/// Whether an object with this state ran or cost something.
fn ran(kind: &Kind, state: &Map<String, Value>) -> bool {
    let is_passive = |(pointer, value): (&String, &Value)| {
        let meaning = kind.meaning(pointer, value).to_string();
        kind.passive.iter().any(|passive| passive.value == meaning)
    };
    !kind.passive.is_empty() && !state.iter().all(is_passive)
}

fn warning(names: &[String]) -> Option<String> {
    let more = names.len().saturating_sub(NAMED);
    let and = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = names[..names.len() - more].join(", ");
    (!names.is_empty()).then(|| {
        format!(
            "switched off in the secondary, and nobody can tell whether for good, so activating the old primary will not \
             switch them on: {named}{and}; export while the secondary is wholly active"
        )
    })
}
