//! Patterns of a map file: a name as it is, or with `*` for what is carried over (`spec/import.md`, "Map file").
//!
//! Owns matching and putting together; what the names mean is the caller's.

/// Most `*` of one pattern: matching tries all ways to share a name among them.
const MOST_STARS: usize = 4;

/// How names of a section compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rules {
    /// Case does not count.
    pub fold: bool,
    /// What a `*` does not go over.
    pub separator: Option<char>,
}

/// One side of an entry: what stands between the stars. `\*` is a star of the name, `\\` a backslash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    parts: Vec<String>,
}

impl Pattern {
    /// Reads one side of an entry.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parts = vec![String::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            let literal = match character {
                '*' => {
                    parts.push(String::new());
                    continue;
                }
                '\\' => match characters.next() {
                    Some(escaped @ ('*' | '\\')) => escaped,
                    _ => return Err(r"a backslash stands only before * and \"),
                },
                other => other,
            };
            if let Some(part) = parts.last_mut() {
                part.push(literal);
            }
        }
        if parts.len() > MOST_STARS + 1 {
            return Err("more than four *");
        }
        if parts.len() > 2 && parts[1..parts.len() - 1].iter().any(String::is_empty) {
            return Err("two * beside each other");
        }
        Ok(Self { parts })
    }

    /// The name itself, when there is no star.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Number of stars.
    pub fn stars(&self) -> usize {
        self.parts.len() - 1
    }

    /// What the stars stand for when the whole of `text` matches; each stands for one character at least and takes as
    /// little as it can.
    pub fn captures<'t>(&self, text: &'t str, rules: Rules) -> Option<Vec<&'t str>> {
        let (first, others) = self.parts.split_first()?;
        let rest = strip(text, first, rules)?;
        let mut captured = Vec::new();
        share(others, rest, rules, &mut captured).then_some(captured)
    }

    /// The name with what was captured in place of the stars.
    pub fn fill(&self, captured: &[&str]) -> String {
        let mut filled = self.parts[0].clone();
        for (part, captured) in self.parts[1..].iter().zip(captured) {
            filled.push_str(captured);
            filled.push_str(part);
        }
        filled
    }
}

/// Matches the parts behind a star.
fn share<'t>(parts: &[String], text: &'t str, rules: Rules, captured: &mut Vec<&'t str>) -> bool {
    let Some((part, others)) = parts.split_first() else {
        return text.is_empty();
    };
    let ends = text
        .char_indices()
        .map(|(at, character)| (at + character.len_utf8(), character));
    for (end, character) in ends {
        if rules.separator == Some(character) {
            return false;
        }
        if let Some(rest) = strip(&text[end..], part, rules) {
            captured.push(&text[..end]);
            if share(others, rest, rules, captured) {
                return true;
            }
            captured.pop();
        }
    }
    false
}

/// What follows a literal beginning.
fn strip<'t>(text: &'t str, literal: &str, rules: Rules) -> Option<&'t str> {
    let mut rest = text.chars();
    for wanted in literal.chars() {
        let found = rest.next()?;
        let same =
            found == wanted || (rules.fold && found.to_lowercase().eq(wanted.to_lowercase()));
        if !same {
            return None;
        }
    }
    Some(rest.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Rules = Rules {
        fold: false,
        separator: None,
    };

    fn mapped(from: &str, to: &str, text: &str, rules: Rules) -> Option<String> {
        let (from, to) = (Pattern::parse(from).unwrap(), Pattern::parse(to).unwrap());
        Some(to.fill(&from.captures(text, rules)?))
    }

    #[test]
    fn a_star_is_carried_over() {
        let map = |from, to, text| mapped(from, to, text, PLAIN);
        assert_eq!(
            map("*@old.example", "*@new.example", "a.b@old.example").as_deref(),
            Some("a.b@new.example")
        );
        assert_eq!(map("*@old.example", "*@new.example", "@old.example"), None);
        assert_eq!(
            map("*@old.example", "*@new.example", "a@old.example.org"),
            None
        );
        assert_eq!(map("a", "b", "a").as_deref(), Some("b"));
        assert_eq!(map("a", "b", "ab"), None);
        assert_eq!(map("*-*", "*/*", "x-y-z").as_deref(), Some("x/y-z"));
        assert_eq!(map("D*", "D8", "D3_v2").as_deref(), Some("D8"));
        assert_eq!(map("D*s", "*", "D3ss").as_deref(), Some("3s"));
    }

    #[test]
    fn case_counts_only_where_it_does_and_separators_hold() {
        let fold = Rules {
            fold: true,
            separator: None,
        };
        assert_eq!(
            mapped("*@Old.Example", "*@new", "Ä@oLD.eXAMPLE", fold).as_deref(),
            Some("Ä@new")
        );
        assert_eq!(mapped("*@Old", "*@new", "x@old", PLAIN), None);
        let path = Rules {
            fold: false,
            separator: Some('/'),
        };
        assert_eq!(
            mapped("/Users/*/prod", "/Teams/*", "/Users/a@b/prod", path).as_deref(),
            Some("/Teams/a@b")
        );
        assert_eq!(
            mapped("/Users/*/prod", "/Teams/*", "/Users/a/b/prod", path),
            None
        );
    }

    #[test]
    fn stars_of_names_are_escaped_and_nonsense_is_refused() {
        assert_eq!(
            mapped(r"a\*b", r"c\\d", "a*b", PLAIN).as_deref(),
            Some(r"c\d")
        );
        assert_eq!(mapped(r"a\*b", "c", "axb", PLAIN), None);
        for wrong in [r"a\b", "a\\", "a**b", "*a*b*c*d*e"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
