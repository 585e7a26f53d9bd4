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
    let Some(open) = place.find('(') else {
        return walk(body, place, &mut String::new(), f);
    };
    let Some(close) = place[open..].find(')').map(|at| open + at) else {
        return walk(body, place, &mut String::new(), f);
    };
    for alternative in place[open + 1..close].split('|') {
        let expanded = format!("{}{alternative}{}", &place[..open], &place[close + 1..]);
        visit(body, &expanded, f);
    }
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
    rest: &str,
    pointer: &mut String,
    f: &mut dyn FnMut(&str, &'v Value),
) {
    if rest.is_empty() {
        return f(pointer, value);
    }
    if let Some(after) = rest.strip_prefix("[*]") {
        return walk_array(value, after.strip_prefix('.').unwrap_or(after), pointer, f);
    }
    if let Some(after) = rest.strip_prefix("{*}") {
        let after = after.strip_prefix('.').unwrap_or(after);
        return walk_map(value, "", after, pointer, f);
    }
    let end = rest.find(['.', '[', '{']).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    let after = after.strip_prefix('.').unwrap_or(after);
    if let Some(beginning) = name.strip_suffix('*') {
        return walk_map(value, beginning, after, pointer, f);
    }
    if let Some(inner) = value.as_object().and_then(|map| map.get(name)) {
        step(inner, name, after, pointer, f);
    }
}

fn walk_array<'v>(
    value: &'v Value,
    after: &str,
    pointer: &mut String,
    f: &mut dyn FnMut(&str, &'v Value),
) {
    for (index, inner) in value.as_array().into_iter().flatten().enumerate() {
        step(inner, &index.to_string(), after, pointer, f);
    }
}

fn walk_map<'v>(
    value: &'v Value,
    beginning: &str,
    after: &str,
    pointer: &mut String,
    f: &mut dyn FnMut(&str, &'v Value),
) {
    for (key, inner) in value.as_object().into_iter().flatten() {
        if key.starts_with(beginning) {
            step(inner, key, after, pointer, f);
        }
    }
}

fn step<'v>(
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
