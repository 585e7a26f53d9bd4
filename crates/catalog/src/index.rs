//! Many places at once: a tree of places that is walked together with a body.
//!
//! Owns speed only; what a place means stands in `places`. A kind's table is looked up in one pass over the body, however
//! many lines it has.

use std::collections::HashMap;

use serde_json::Value;

use crate::places;

/// Places by their position in a list.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Positions of the places that end here.
    ends: Vec<usize>,
    keys: HashMap<String, Index>,
    /// `name*`, and `{*}` with an empty beginning.
    beginnings: Vec<(String, Index)>,
    /// `[*]`.
    elements: Option<Box<Index>>,
}

impl Index {
    pub(crate) fn new<'p>(places: impl IntoIterator<Item = &'p str>) -> Self {
        let mut root = Self::default();
        for (position, place) in places.into_iter().enumerate() {
            places::expand(place, &mut |plain| root.insert(plain, position));
        }
        root
    }

    fn insert(&mut self, rest: &str, position: usize) {
        if rest.is_empty() {
            return self.ends.push(position);
        }
        let (step, after) = places::first_step(rest);
        let node = match step {
            places::Step::Element => self.elements.get_or_insert_default().as_mut(),
            places::Step::Key(name) => self.keys.entry(name.to_owned()).or_default(),
            places::Step::Beginning(beginning) => {
                let known = self
                    .beginnings
                    .iter()
                    .position(|(known, _)| known == beginning);
                let at = known.unwrap_or_else(|| {
                    self.beginnings
                        .push((beginning.to_owned(), Self::default()));
                    self.beginnings.len() - 1
                });
                &mut self.beginnings[at].1
            }
        };
        node.insert(after, position);
    }

    /// Everything in `body` that stands at one of the places: (position of the place, JSON pointer, value), in the order
    /// of the places, then of the body.
    pub(crate) fn find<'v>(&self, body: &'v Value) -> Vec<(usize, String, &'v Value)> {
        let mut found = Vec::new();
        self.walk(body, &mut String::new(), &mut found);
        found.sort_by_key(|(position, ..)| *position);
        found
    }

    fn walk<'v>(
        &self,
        value: &'v Value,
        pointer: &mut String,
        found: &mut Vec<(usize, String, &'v Value)>,
    ) {
        found.extend(
            self.ends
                .iter()
                .map(|position| (*position, pointer.clone(), value)),
        );
        match value {
            Value::Object(map) => {
                for (key, inner) in map {
                    let by_key = self.keys.get(key);
                    let by_beginning = self
                        .beginnings
                        .iter()
                        .filter(|(beginning, _)| key.starts_with(beginning.as_str()));
                    for node in by_key.into_iter().chain(by_beginning.map(|(_, node)| node)) {
                        node.step(&places::escape(key), inner, pointer, found);
                    }
                }
            }
            Value::Array(array) => {
                if let Some(node) = &self.elements {
                    for (position, inner) in array.iter().enumerate() {
                        node.step(&position.to_string(), inner, pointer, found);
                    }
                }
            }
            _ => {}
        }
    }

    fn step<'v>(
        &self,
        component: &str,
        inner: &'v Value,
        pointer: &mut String,
        found: &mut Vec<(usize, String, &'v Value)>,
    ) {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(component);
        self.walk(inner, pointer, found);
        pointer.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_index_finds_what_each_place_finds() {
        let table = [
            "a.(b|c[*]).d",
            "a{*}",
            "e*",
            "",
            "a.b.d",
            "a{*}[*].d",
            "f[*][*]",
        ];
        let body = json!({"e1": 1, "a": {"c": [{"d": 2}, {"d": {"x/y": 3}}], "b": {"d": 4}}, "e2": [], "f": [[5], 6]});
        let expected: Vec<_> = table
            .iter()
            .enumerate()
            .flat_map(|(position, place)| {
                let mut found = places::find(&body, place);
                found.sort_by(|(a, _), (b, _)| a.cmp(b));
                found
                    .into_iter()
                    .map(move |(pointer, value)| (position, pointer, value))
            })
            .collect();
        let mut found = Index::new(table).find(&body);
        found.sort_by(|(i, a, _), (j, b, _)| (i, a).cmp(&(j, b)));
        assert_eq!(found, expected);
    }
}
