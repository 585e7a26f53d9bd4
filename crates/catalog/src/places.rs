//! Places: where something stands inside a JSON body.
//!
//! Owns the small language in which the catalog names fields (spec/records.md, "Places"); knows nothing of kinds.
//!
//! A place is a dotted path from the root of a body. `name[*]` is every element of an array, `name{*}` every value of a
//! map, a name that ends in `*` every key with that beginning, and `(a|b)` stands for the place once with `a` and once
//! with `b` in its stead (either may be empty). The empty place is the body itself.

use serde_json::Value;

/// First value at `place`, or `None` when nothing stands there. A JSON `null` is a value.
pub fn get<'v>(body: &'v Value, place: &str) -> Option<&'v Value> {
    find(body, place).into_iter().next().map(|(_, value)| value)
}

/// First value at `place` as text: strings as they are, numbers as written; anything else is `None`.
pub fn text(body: &Value, place: &str) -> Option<String> {
    get(body, place).and_then(scalar)
}

/// Text of a string or a number (as written in the body); `None` for every other value.
pub fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Every value at `place` with its JSON pointer (RFC 6901), in the order of the body.
pub fn find<'v>(body: &'v Value, place: &str) -> Vec<(String, &'v Value)> {
    let mut found = Vec::new();
    visit(body, place, &mut |pointer, value| {
        found.push((pointer.to_owned(), value))
    });
    found
}

/// Calls `f` with the JSON pointer and the value of everything that stands at `place`.
pub fn visit<'v>(body: &'v Value, place: &str, f: &mut dyn FnMut(&str, &'v Value)) {
    expand(place, &mut |plain| walk(body, plain, &mut String::new(), f));
}

/// Calls `f` with each place that a place with alternatives stands for.
pub(crate) fn expand(place: &str, f: &mut dyn FnMut(&str)) {
    let Some((before, rest)) = place.split_once('(') else {
        return f(place);
    };
    let Some((alternatives, after)) = rest.split_once(')') else {
        return f(place);
    };
    for alternative in alternatives.split('|') {
        expand(&format!("{before}{alternative}{after}"), f);
    }
}

/// One step into a body.
pub(crate) enum Step<'p> {
    /// Into the value of a key.
    Key(&'p str),
    /// Into the values of all keys with this beginning.
    Beginning(&'p str),
    /// Into every element of an array.
    Element,
}

/// The first step of a place without alternatives that is not empty, and what remains.
pub(crate) fn first_step(place: &str) -> (Step<'_>, &str) {
    let (step, after) = if let Some(after) = place.strip_prefix("[*]") {
        (Step::Element, after)
    } else if let Some(after) = place.strip_prefix("{*}") {
        (Step::Beginning(""), after)
    } else {
        // The first character belongs to the name whatever it is, so that every step is one forward.
        let start = place.chars().next().map_or(0, char::len_utf8);
        let end = place[start..]
            .find(['.', '[', '{'])
            .map_or(place.len(), |at| start + at);
        let (name, after) = place.split_at(end);
        (
            name.strip_suffix('*')
                .map_or(Step::Key(name), Step::Beginning),
            after,
        )
    };
    (step, after.strip_prefix('.').unwrap_or(after))
}

/// Calls `f` with the JSON pointer of everything that stands at `place`, for changing it.
///
/// The pointers are collected first: `f` may replace a value, but what it puts there is not visited again.
pub fn visit_mut(body: &mut Value, place: &str, f: &mut dyn FnMut(&str, &mut Value)) {
    let pointers: Vec<String> = find(body, place)
        .into_iter()
        .map(|(pointer, _)| pointer)
        .collect();
    for pointer in pointers {
        if let Some(value) = body.pointer_mut(&pointer) {
            f(&pointer, value);
        }
    }
}

/// Takes everything at `place` out of the body: (JSON pointer, value), in the order of the body.
///
/// The order of the remaining keys is kept.
pub fn take(body: &mut Value, place: &str) -> Vec<(String, Value)> {
    let pointers: Vec<String> = find(body, place)
        .into_iter()
        .map(|(pointer, _)| pointer)
        .collect();
    let mut taken = Vec::with_capacity(pointers.len());
    // From the back, so that array positions stay valid.
    for pointer in pointers.into_iter().rev() {
        if let Some(value) = take_pointer(body, &pointer) {
            taken.push((pointer, value));
        }
    }
    taken.reverse();
    taken
}

/// Takes out the value at one JSON pointer.
pub fn take_pointer(body: &mut Value, pointer: &str) -> Option<Value> {
    let (parent, last) = pointer.rsplit_once('/')?;
    match body.pointer_mut(parent)? {
        Value::Object(map) => map.shift_remove(&unescape(last)),
        Value::Array(array) => {
            let index: usize = last.parse().ok()?;
            (index < array.len()).then(|| array.remove(index))
        }
        _ => None,
    }
}

/// Puts `value` at a JSON pointer whose parent exists; a new key goes to the end of its map. False when there is no
/// such parent, or the parent is an array shorter than the position.
pub fn put_pointer(body: &mut Value, pointer: &str, value: Value) -> bool {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        *body = value;
        return true;
    };
    match body.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.insert(unescape(last), value);
            true
        }
        Some(Value::Array(array)) => match last.parse::<usize>() {
            Ok(index) if index < array.len() => {
                array[index] = value;
                true
            }
            Ok(index) if index == array.len() => {
                array.push(value);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

/// One key as a component of a JSON pointer.
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescape(component: &str) -> String {
    component.replace("~1", "/").replace("~0", "~")
}

fn walk<'v>(
    value: &'v Value,
    place: &str,
    pointer: &mut String,
    f: &mut dyn FnMut(&str, &'v Value),
) {
    if place.is_empty() {
        return f(pointer, value);
    }
    let (step, after) = first_step(place);
    match (step, value) {
        (Step::Key(name), Value::Object(map)) => {
            if let Some(inner) = map.get(name) {
                descend(inner, name, after, pointer, f);
            }
        }
        (Step::Beginning(beginning), Value::Object(map)) => {
            for (key, inner) in map.iter().filter(|(key, _)| key.starts_with(beginning)) {
                descend(inner, key, after, pointer, f);
            }
        }
        (Step::Element, Value::Array(array)) => {
            for (position, inner) in array.iter().enumerate() {
                descend(inner, &position.to_string(), after, pointer, f);
            }
        }
        _ => {}
    }
}

fn descend<'v>(
    inner: &'v Value,
    key: &str,
    after: &str,
    pointer: &mut String,
    f: &mut dyn FnMut(&str, &'v Value),
) {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(&escape(key));
    walk(inner, after, pointer, f);
    pointer.truncate(length);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pointers(body: &Value, place: &str) -> Vec<String> {
        find(body, place)
            .into_iter()
            .map(|(pointer, _)| pointer)
            .collect()
    }

    #[test]
    fn every_form_of_a_place_finds_its_values() {
        let body = json!({"a": {"b": [{"c": 1}, {"c": 2}, {"d": 3}]}, "m": {"x/y": {"c": 4}, "z": {"c": 5}}, "effective_a": 6});
        assert_eq!(pointers(&body, "a.b[*].c"), ["/a/b/0/c", "/a/b/1/c"]);
        assert_eq!(pointers(&body, "m{*}.c"), ["/m/x~1y/c", "/m/z/c"]);
        assert_eq!(pointers(&body, "effective_*"), ["/effective_a"]);
        assert_eq!(
            pointers(&body, "(a.b[*].|m.z.|)c"),
            ["/a/b/0/c", "/a/b/1/c", "/m/z/c"]
        );
        assert_eq!(pointers(&body, ""), [""]);
        assert_eq!(text(&body, "m.z.c"), Some("5".to_owned()));
        assert!(get(&body, "a.nothing.c").is_none());
        assert_eq!(
            pointers(&json!({"l": [["a"], ["b", "c"]]}), "l[*][*]"),
            ["/l/0/0", "/l/1/0", "/l/1/1"]
        );
    }

    #[test]
    fn taking_keeps_the_order_of_what_remains() {
        let mut body = json!({"z": 1, "drop": 2, "y": 3, "a": [1, 2], "x": 4});
        assert_eq!(take(&mut body, "drop"), [("/drop".to_owned(), json!(2))]);
        assert_eq!(
            take(&mut body, "a[*]"),
            [("/a/0".to_owned(), json!(1)), ("/a/1".to_owned(), json!(2))]
        );
        assert_eq!(body.to_string(), r#"{"z":1,"y":3,"a":[],"x":4}"#);
    }

    #[test]
    fn values_are_changed_in_their_place() {
        let mut body = json!({"l": [{"v": "a"}, {"v": "b"}]});
        visit_mut(&mut body, "l[*].v", &mut |pointer, value| {
            *value = json!(pointer)
        });
        assert_eq!(body, json!({"l": [{"v": "/l/0/v"}, {"v": "/l/1/v"}]}));
        assert!(put_pointer(&mut body, "/l/0/w", json!(1)));
        assert!(!put_pointer(&mut body, "/none/w", json!(1)));
        assert_eq!(body["l"][0]["w"], json!(1));
    }
}
