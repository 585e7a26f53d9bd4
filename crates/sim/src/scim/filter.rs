//! SCIM filters: `attribute op "value"` with `eq`, `ne`, `co`, `sw`, joined by `and` and `or`.

use serde_json::Value;

use crate::http::ApiError;
use crate::identities::Identity;

/// Alternatives of conjunctions: `and` binds tighter than `or`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter(Vec<Vec<Term>>);

#[derive(Debug, PartialEq, Eq)]
struct Term {
    attribute: String,
    op: Op,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Eq,
    Ne,
    Co,
    Sw,
}

pub(super) fn parse(text: &str) -> Result<Filter, ApiError> {
    let refuse = || {
        ApiError::scim(
            400,
            "invalidFilter",
            format!("The specified filter syntax was invalid: {text}"),
        )
    };
    let words = words(text).ok_or_else(refuse)?;
    let mut alternatives = vec![Vec::new()];
    let mut rest = words.as_slice();
    loop {
        let [attribute, op, value, tail @ ..] = rest else {
            return Err(refuse());
        };
        let op = match op.to_lowercase().as_str() {
            "eq" => Op::Eq,
            "ne" => Op::Ne,
            "co" => Op::Co,
            "sw" => Op::Sw,
            _ => return Err(refuse()),
        };
        let term = Term {
            attribute: attribute.clone(),
            op,
            value: value.to_lowercase(),
        };
        if let Some(last) = alternatives.last_mut() {
            last.push(term);
        }
        match tail {
            [] => return Ok(Filter(alternatives)),
            [word, tail @ ..] if word.eq_ignore_ascii_case("and") => rest = tail,
            [word, tail @ ..] if word.eq_ignore_ascii_case("or") => {
                alternatives.push(Vec::new());
                rest = tail;
            }
            _ => return Err(refuse()),
        }
    }
}

/// Words and quoted texts (without the quotes, `\"` and `\\` resolved); none when a quote is left open.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        if next.is_whitespace() {
            continue;
        }
        let mut word = String::new();
        if next == '"' {
            loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => word.push(chars.next()?),
                    other => word.push(other),
                }
            }
        } else {
            word.push(next);
            while let Some(more) = chars.next_if(|c| !c.is_whitespace()) {
                word.push(more);
            }
        }
        words.push(word);
    }
    Some(words)
}

impl Filter {
    pub(super) fn fits(&self, identity: &Identity) -> bool {
        self.0
            .iter()
            .any(|terms| terms.iter().all(|term| term.fits(identity)))
    }
}

impl Term {
    fn fits(&self, identity: &Identity) -> bool {
        let values = values(identity, &self.attribute);
        let any = |test: fn(&str, &str) -> bool| values.iter().any(|v| test(v, &self.value));
        match self.op {
            Op::Eq => any(|a, b| a == b),
            Op::Ne => !any(|a, b| a == b),
            Op::Co => any(|a, b| a.contains(b)),
            Op::Sw => any(|a, b| a.starts_with(b)),
        }
    }
}

/// Lower-case values at a dotted attribute name; in arrays the attribute of every element.
fn values(identity: &Identity, attribute: &str) -> Vec<String> {
    let mut parts = attribute.split('.');
    let first = parts.next().unwrap_or("");
    if first.eq_ignore_ascii_case("id") {
        return vec![identity.id.to_string()];
    }
    let found = identity
        .fields
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(first));
    let mut level: Vec<&Value> = found.map(|(_, value)| value).into_iter().collect();
    for part in parts {
        level = level
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(list) => list.iter().filter_map(|one| one.get(part)).collect(),
                other => other.get(part).into_iter().collect::<Vec<_>>(),
            })
            .collect();
    }
    level
        .into_iter()
        .map(|value| match value {
            Value::String(text) => text.to_lowercase(),
            other => other.to_string(),
        })
        .collect()
}
