//! The forms of a body: as archived, as sent, as compared, and as it waits.
//!
//! Owns the generic steps (spec/records.md, "Forms"); what differs per kind is in its file.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Number, Value};

use crate::index::Index;
use crate::kind::{Kind, Write};
use crate::places;

/// The defaults of a kind, ready for looking up.
struct Defaults {
    index: Index,
    values: Vec<Value>,
}

static DEFAULTS: LazyLock<HashMap<&str, Defaults>> = LazyLock::new(|| {
    let defaults = |kind: &Kind| Defaults {
        index: Index::new(kind.defaults.iter().map(|(place, _)| *place)),
        values: kind.defaults.iter().map(|(_, text)| json(text)).collect(),
    };
    crate::kinds()
        .iter()
        .map(|kind| (kind.name, defaults(kind)))
        .collect()
});

/// JSON texts of the catalog; a test holds that each is JSON.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

impl Kind {
    /// The id of a record's body, or of an element of the listing; numbers as decimal text.
    pub fn id_of(&self, body: &Value) -> Option<String> {
        places::text(body, self.id)
            .or_else(|| places::text(body, self.listed_id?))
            .filter(|id| !id.is_empty())
    }

    /// The human name.
    pub fn label_of(&self, body: &Value) -> Option<String> {
        places::text(body, self.label).or_else(|| places::text(body, self.listed_id?))
    }

    /// The natural key, folded where case does not count. Kinds with [`crate::NaturalKey::NameAndContent`] need equal
    /// [`Kind::compare_form`]s besides.
    pub fn key_of(&self, body: &Value) -> Option<String> {
        let key = self.natural_key;
        let name =
            places::text(body, key.place()).or_else(|| places::text(body, self.listed_id?))?;
        Some(self.key_of_name(name))
    }

    /// The natural key of an object that has this name.
    pub fn key_of_name(&self, name: String) -> String {
        if let crate::NaturalKey::FoldedName(_) = self.natural_key {
            name.to_lowercase()
        } else {
            name
        }
    }

    /// The body of a record from an element of the listing, for kinds that need no further call.
    pub fn from_listed(&self, listed: Value) -> Value {
        (self.shape_listed)(listed)
    }

    /// What [`Kind::read`] returned, with the fields that only the listing shows.
    pub fn with_listed(&self, listed: &Value, mut read: Value) -> Value {
        let only_listed = self.list.map_or(&[][..], |list| list.only_listed);
        if let Some(map) = read.as_object_mut() {
            for field in only_listed {
                if let Some(value) = listed.get(field)
                    && !map.contains_key(*field)
                {
                    map.insert((*field).to_owned(), value.clone());
                }
            }
        }
        read
    }

    /// The body as it is archived, and what was taken out: a map from JSON pointer to volatile value, `None` when there
    /// was none. Arrays without order are sorted; everything else stays as the service sent it.
    pub fn archive_form(&self, mut body: Value) -> (Value, Option<Value>) {
        let mut observed = Map::new();
        for place in self.volatile {
            observed.extend(places::take(&mut body, place));
        }
        sort_arrays(&mut body, self.unordered);
        (
            body,
            (!observed.is_empty()).then_some(Value::Object(observed)),
        )
    }

    /// What a create or update call sends, in the shape of the record: server-set fields dropped and the rules of the
    /// call applied. References still hold the ids of the source; [`Kind::create_body`] makes the body of the call.
    pub fn request_form(&self, body: &Value) -> Value {
        let mut request = body.clone();
        for place in self.volatile.iter().chain(self.server_set) {
            places::take(&mut request, place);
        }
        (self.shape_request)(&mut request, body);
        request
    }

    /// The form in which two bodies of one kind are compared: the request form without server defaults, nulls and empty
    /// arrays, arrays without order sorted, keys sorted, numbers in one spelling. Applying it twice changes nothing.
    pub fn compare_form(&self, body: &Value) -> Value {
        let mut form = self.request_form(body);
        canonical(&mut form);
        (self.shape_compare)(&mut form);
        self.drop_defaults(&mut form);
        sort_arrays(&mut form, self.unordered);
        sort_arrays(&mut form, self.compared_unordered);
        form
    }

    /// Removes what equals a default, in the order of the table: a map may become empty, and then equal to its own.
    fn drop_defaults(&self, form: &mut Value) {
        let Some(defaults) = DEFAULTS.get(self.name) else {
            return;
        };
        let found: Vec<(usize, String)> = defaults
            .index
            .find(form)
            .into_iter()
            .map(|(position, pointer, _)| (position, pointer))
            .collect();
        for (position, pointer) in found {
            if form.pointer(&pointer) == Some(&defaults.values[position]) {
                places::take_pointer(form, &pointer);
            }
        }
    }

    /// Sets the fields that keep an object from running or costing ([`crate::Passive`]).
    pub fn land_passive(&self, body: &mut Value) {
        for passive in self.passive {
            places::visit_mut(body, passive.within, &mut |_, map| {
                if let Some(map) = map.as_object_mut() {
                    map.insert(passive.field.to_owned(), json(passive.value));
                }
            });
        }
    }

    /// The state of the passive fields: the JSON pointer of each to its value, `null` for absent. Kept apart from the body,
    /// it can be given back to it by [`Kind::set_state`].
    pub fn state(&self, body: &Value) -> Map<String, Value> {
        let mut state = Map::new();
        for passive in self.passive {
            for (pointer, map) in places::find(body, passive.within) {
                if let Some(map) = map.as_object() {
                    let value = map.get(passive.field).cloned().unwrap_or(Value::Null);
                    state.insert(format!("{pointer}/{}", passive.field), value);
                }
            }
        }
        state
    }

    /// Gives the passive fields of `body` this state, absence included. Where `body` does not have the map around a field
    /// nothing is set: an object of which somebody took the schedule gets none.
    pub fn set_state(&self, body: &mut Value, state: &Map<String, Value>) {
        for passive in self.passive {
            places::visit_mut(body, passive.within, &mut |pointer, map| {
                let wanted = state.get(&format!("{pointer}/{}", passive.field));
                match (wanted, map.as_object_mut()) {
                    (Some(Value::Null), Some(map)) => {
                        map.shift_remove(passive.field);
                    }
                    (Some(value), Some(map)) => {
                        map.insert(passive.field.to_owned(), value.clone());
                    }
                    _ => {}
                }
            });
        }
    }

    /// Gives the passive fields of `body` the state that `archived` has, absence included; `body` and `archived` are
    /// forms of the same object.
    pub fn restore_active(&self, body: &mut Value, archived: &Value) {
        self.set_state(body, &self.state(archived));
    }

    /// What the value of a passive field means, by the pointers of [`Kind::state`]: absent is UNPAUSED for what runs on
    /// its own, and the passive value for numbers and switches.
    pub fn meaning(&self, pointer: &str, value: &Value) -> Value {
        let field = pointer.rsplit('/').next().unwrap_or(pointer);
        let passive = self.passive.iter().find(|passive| passive.field == field);
        match (value, passive.map(|passive| json(passive.value))) {
            (Value::Null, Some(Value::String(_))) => Value::String("UNPAUSED".to_owned()),
            (Value::Null, Some(passive)) => passive,
            _ => value.clone(),
        }
    }

    /// True when landing passive changes what the object does: it would run, cost or be in force as archived.
    pub fn is_active(&self, body: &Value) -> bool {
        let mut passive = body.clone();
        self.land_passive(&mut passive);
        let passive = self.state(&passive);
        self.state(body)
            .iter()
            .any(|(pointer, value)| passive.get(pointer) != Some(&self.meaning(pointer, value)))
    }

    /// Body of the create call from a request form whose references are already rewritten; `None` for kinds without.
    pub fn create_body(&self, request: &Value) -> Option<Value> {
        let write = self.create?;
        Some(write.body((self.shape_create)(request.clone()), None))
    }

    /// Body of the update call for the object `id` of the target; `None` for kinds without.
    pub fn update_body(&self, request: &Value, id: &str) -> Option<Value> {
        Some(self.update?.body(request.clone(), Some(self.id_value(id))))
    }

    /// Body of the delete call; `Null` when the path alone says it, `None` for kinds without the call.
    pub fn delete_body(&self, id: &str) -> Option<Value> {
        let delete = self.delete?;
        let Some(field) = delete.id_body else {
            return Some(Value::Null);
        };
        Some(Value::Object(Map::from_iter([(
            field.to_owned(),
            self.id_value(id),
        )])))
    }

    /// An id in the JSON type that the service wants.
    pub fn id_value(&self, id: &str) -> Value {
        match id.parse::<Number>() {
            Ok(number) if self.numeric_id => Value::Number(number),
            _ => Value::String(id.to_owned()),
        }
    }
}

impl Write {
    fn body(&self, request: Value, id: Option<Value>) -> Value {
        let sent = if self.from.is_empty() {
            Some(request)
        } else {
            places::get(&request, self.from).cloned()
        };
        let mut sent = sent.unwrap_or_else(|| Value::Object(Map::new()));
        if let (Some(map), false) = (sent.as_object_mut(), self.fields.is_empty()) {
            map.retain(|field, _| self.fields.contains(&field.as_str()));
        }
        if let Some(wrap) = self.wrap {
            sent = Value::Object(Map::from_iter([(wrap.to_owned(), sent)]));
        }
        if let (Some(field), Some(id), Some(map)) = (self.id_body, id, sent.as_object_mut()) {
            map.insert(field.to_owned(), id);
        }
        sent
    }
}

/// Sorts arrays by a key of their elements, "" for the whole element, then by the whole element.
pub(crate) fn sort_arrays(body: &mut Value, arrays: &[(&str, &str)]) {
    for (place, key) in arrays {
        places::visit_mut(body, place, &mut |_, array| {
            if let Some(array) = array.as_array_mut() {
                array.sort_by_cached_key(|element| (sort_key(element, key), element.to_string()));
            }
        });
    }
}

fn sort_key(element: &Value, key: &str) -> String {
    let value = if key.is_empty() {
        Some(element)
    } else {
        element.get(key)
    };
    value.map_or_else(String::new, |value| {
        places::scalar(value).unwrap_or_else(|| value.to_string())
    })
}

/// Sorts keys, drops nulls and empty arrays of maps, and writes every number in one way (`1.0` as `1`).
pub(crate) fn canonical(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(canonical);
            map.retain(|_, inner| {
                !inner.is_null() && inner.as_array().is_none_or(|array| !array.is_empty())
            });
            map.sort_keys();
        }
        Value::Array(array) => array.iter_mut().for_each(canonical),
        Value::Number(number) => {
            if let Some(whole) = whole_number(number) {
                *number = whole;
            }
        }
        _ => {}
    }
}

/// A number that is written with a fraction or an exponent but is whole and exact as f64.
fn whole_number(number: &Number) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let text = number.to_string();
    if !text.contains(['.', 'e', 'E']) {
        return None;
    }
    let float: f64 = text.parse().ok()?;
    let fits = float.fract() == 0.0 && float.abs().partial_cmp(&EXACT) == Some(Ordering::Less);
    if fits {
        format!("{float:.0}").parse().ok()
    } else {
        None
    }
}
