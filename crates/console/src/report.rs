//! An error as it is shown: what went wrong, the chain of causes once, and what to do about it.

use std::error::Error;

use serde_json::{Value, json};

/// An error ready to be printed. The exit code is carried along for the JSON form; what it means is the caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What could not be done.
    pub message: String,
    /// Why, outermost cause first.
    pub causes: Vec<String>,
    /// What the user can do about it.
    pub hints: Vec<String>,
    /// The exit code of the process.
    pub exit_code: u8,
}

impl Report {
    /// Walks the chain of `error`. A cause that merely repeats the text above it is left out.
    pub fn new(error: &(dyn Error + 'static), exit_code: u8) -> Self {
        let message = error.to_string();
        let mut causes = Vec::new();
        let mut last = message.clone();
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !last.contains(&text) {
                last.clone_from(&text);
                causes.push(text);
            }
            next = cause.source();
        }
        Self {
            message,
            causes,
            hints: Vec::new(),
            exit_code,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "message": self.message,
            "causes": self.causes,
            "hints": self.hints,
            "exit_code": self.exit_code,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|layer| layer as _)
        }
    }

    #[test]
    fn the_chain_is_shown_once() {
        let error = Layer(
            "cannot read a.tar.zst",
            Some(Box::new(Layer(
                "read failed: disk on fire",
                Some(Box::new(Layer("disk on fire", None))),
            ))),
        );
        let report = Report::new(&error, 1).hint("put it out");
        assert_eq!(report.message, "cannot read a.tar.zst");
        assert_eq!(report.causes, ["read failed: disk on fire"]);
        assert_eq!(report.hints, ["put it out"]);
    }
}
