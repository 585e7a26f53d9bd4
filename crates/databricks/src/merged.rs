//! Objects whose long arrays come in pages (`jobs/get` 2.2; fact sheet, sections 1 and 8.1).
//!
//! The service keeps no state of the object between pages: an object that is edited meanwhile gives pages of two
//! states. Where the pages themselves show that, the object is read again.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::client::unexpected;
use crate::paging::{next_token, repeated};
use crate::{Client, Error};

/// Reads of an object until its pages must have fitted together.
const MOST_READS: u32 = 2;

/// Fields that name an element within its array: no two elements have the same.
const KEYS: &[&str] = &["task_key", "job_cluster_key", "environment_key", "name"];

/// One read of an object.
enum Read {
    Whole(Value),
    /// Its pages are not of one state; why.
    Edited(String),
}

impl Client {
    /// GET of one object whose long arrays come in pages (`jobs/get` 2.2). `arrays` are dotted places, such as
    /// `settings.tasks`; later pages are appended to them, and the paging fields are gone from the result.
    ///
    /// An object whose pages do not fit together, since it was edited meanwhile, is read once more; if they still do
    /// not fit, that is [`Problem::Unexpected`](crate::Problem::Unexpected).
    pub async fn get_merged(
        &self,
        path: &str,
        query: &[(&str, &str)],
        arrays: &[&str],
    ) -> Result<Value, Error> {
        let mut why = String::new();
        for _ in 0..MOST_READS {
            match self.read_merged(path, query, arrays).await? {
                Read::Whole(whole) => return Ok(whole),
                Read::Edited(how) => why = how,
            }
        }
        Err(unexpected(path, "pages of one state of the object", &why))
    }

    async fn read_merged(
        &self,
        path: &str,
        query: &[(&str, &str)],
        arrays: &[&str],
    ) -> Result<Read, Error> {
        let mut whole = self.get(path, query).await?;
        let mut next = self.take_paging(path, &mut whole, arrays)?;
        let mut tokens = HashSet::new();
        while let Some(token) = next {
            if !tokens.insert(token.clone()) {
                return Err(repeated(path));
            }
            let paged: Vec<(&str, &str)> = query
                .iter()
                .copied()
                .chain([("page_token", token.as_str())])
                .collect();
            let mut page = self.get(path, &paged).await?;
            next = self.take_paging(path, &mut page, arrays)?;
            if let Some(how) = other_state(&whole, &page, arrays) {
                return Ok(Read::Edited(how));
            }
            for place in arrays {
                append(path, &mut whole, &mut page, place)?;
            }
        }
        if tokens.is_empty() {
            return Ok(Read::Whole(whole));
        }
        let twice = arrays.iter().find_map(|place| twice(&whole, place));
        Ok(twice.map_or(Read::Whole(whole), Read::Edited))
    }

    /// Removes the paging fields and gives the token of the next page.
    fn take_paging(
        &self,
        path: &str,
        page: &mut Value,
        arrays: &[&str],
    ) -> Result<Option<String>, Error> {
        if arrays
            .iter()
            .all(|place| page.pointer(&pointer(place)).is_none())
        {
            self.no_error_within(
                path,
                |name| page.get(name).is_some(),
                page.to_string().as_bytes(),
            )?;
        }
        let Some(fields) = page.as_object_mut() else {
            return Err(unexpected(path, "an object", "another kind of value"));
        };
        let mut take = |name: &str| fields.shift_remove(name).unwrap_or_default();
        take("prev_page_token");
        next_token(path, &take("next_page_token"), &take("has_more"))
    }
}

/// Whether the page contradicts what earlier ones said of the object: a field beside the paged arrays has another
/// value. Fields further up do not count: states there change without an edit.
fn other_state(whole: &Value, page: &Value, arrays: &[&str]) -> Option<String> {
    let parents: HashSet<&str> = arrays
        .iter()
        .filter_map(|place| place.rsplit_once('.').map(|(parent, _)| parent))
        .collect();
    parents.into_iter().find_map(|parent| {
        let before = object(whole, parent)?;
        let now = object(page, parent)?;
        let changed = now.iter().find(|(name, value)| {
            !value.is_array() && before.get(*name).is_some_and(|before| before != *value)
        });
        changed.map(|(name, _)| format!("pages with different values of {parent}.{name}"))
    })
}

fn object<'v>(value: &'v Value, place: &str) -> Option<&'v Map<String, Value>> {
    value.pointer(&pointer(place))?.as_object()
}

/// Whether an element of the array at `place` came twice: it moved from one page to another.
fn twice(whole: &Value, place: &str) -> Option<String> {
    let mut seen = HashSet::new();
    for element in whole.pointer(&pointer(place))?.as_array()? {
        let key = KEYS
            .iter()
            .find_map(|key| element.get(*key).and_then(Value::as_str));
        if key.is_some_and(|key| !seen.insert(key)) {
            return Some(format!("an element of {place} on two pages"));
        }
    }
    None
}

/// Appends the array at `place` of `page` to that of `whole`.
fn append(path: &str, whole: &mut Value, page: &mut Value, place: &str) -> Result<(), Error> {
    let pointer = pointer(place);
    let more = match page.pointer_mut(&pointer).map(Value::take) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(more)) => more,
        Some(_) => {
            return Err(unexpected(
                path,
                &format!("an array at {place}"),
                "another kind of value",
            ));
        }
    };
    if let Some(Value::Array(array)) = whole.pointer_mut(&pointer) {
        array.extend(more);
        return Ok(());
    }
    // An array that only later pages have.
    let (parent, name) = pointer.rsplit_once('/').unwrap_or(("", &pointer));
    match whole.pointer_mut(parent).and_then(Value::as_object_mut) {
        Some(fields) => {
            fields.insert(name.to_owned(), Value::Array(more));
            Ok(())
        }
        None => Err(unexpected(
            path,
            &format!("an object around {place}"),
            "none on the first page",
        )),
    }
}

/// A dotted place as a JSON pointer.
fn pointer(place: &str) -> String {
    format!("/{}", place.replace('.', "/"))
}
