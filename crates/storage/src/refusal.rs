//! What a store said when it refused, without what it repeats of the request.

use std::fmt;

/// A reply that is no success.
///
/// Stores repeat parts of the request in their messages, signatures among them, so only the code and the first line of
/// the message are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    /// The store's own code, such as `ContainerNotFound`; empty when it gave none.
    pub code: String,
    /// First line of its message; may be empty.
    pub message: String,
    /// So many seconds the clock of this machine is ahead of the store's (behind when negative), where the reply tells.
    pub clock_ahead: Option<i64>,
}

/// The longest message that is kept, in bytes.
const LONGEST: usize = 300;

impl Refusal {
    /// Reads a reply: `code` is the header that Azure sends, `body` XML (stores) or JSON (token endpoints).
    pub(crate) fn read(status: u16, code: Option<&str>, body: &str) -> Self {
        let code = code
            .map(str::to_owned)
            .or_else(|| between(body, "<Code>", "</Code>"))
            .or_else(|| between(body, "\"error\":\"", "\""))
            .unwrap_or_default();
        let message = between(body, "<Message>", "</Message>")
            .or_else(|| between(body, "\"error_description\":\"", "\""))
            .unwrap_or_default();
        Self {
            status,
            code,
            message: first_line(&message),
            clock_ahead: None,
        }
    }

    /// The store asks for less.
    pub(crate) fn is_throttling(&self) -> bool {
        const CODES: &[&str] = &["ServerBusy", "SlowDown", "OperationTimedOut"];
        matches!(self.status, 429 | 503) || CODES.contains(&self.code.as_str())
    }

    /// The container or account is not there, as opposed to the object.
    pub(crate) fn is_no_container(&self) -> bool {
        const CODES: &[&str] = &[
            "ContainerNotFound",
            "FilesystemNotFound",
            "NoSuchBucket",
            "ContainerBeingDeleted",
            "ResourceNotFoundAccount",
        ];
        CODES.contains(&self.code.as_str())
    }

    /// There is an object of that name and the request allowed none.
    pub(crate) fn is_existing(&self) -> bool {
        self.code == "BlobAlreadyExists"
            || (matches!(self.status, 409 | 412)
                && matches!(
                    self.code.as_str(),
                    "PreconditionFailed" | "ConditionNotMet" | "UnauthorizedBlobOverwrite"
                ))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let (found, _) = rest.split_once(after)?;
    Some(found.to_owned())
}

fn first_line(message: &str) -> String {
    let line = message
        .split(['\n', '\r'])
        .next()
        .unwrap_or_default()
        .split("\\r\\n")
        .next()
        .unwrap_or_default()
        .trim();
    let mut end = line.len().min(LONGEST);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_and_first_line_are_kept() {
        let body = "<?xml version=\"1.0\"?><Error><Code>AuthenticationFailed</Code><Message>Server failed to authenticate the request.\nRequestId:1\nTime:2</Message><AuthenticationErrorDetail>Signature did not match. String to sign used was s3cr3t</AuthenticationErrorDetail></Error>";
        let refusal = Refusal::read(403, None, body);
        assert_eq!(
            refusal.to_string(),
            "403 AuthenticationFailed: Server failed to authenticate the request."
        );
        assert!(!format!("{refusal:?}").contains("s3cr3t"));
    }

    #[test]
    fn a_token_endpoint_is_understood() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1"}"#;
        let refusal = Refusal::read(401, None, body);
        assert_eq!(
            refusal.to_string(),
            "401 invalid_client: AADSTS7000215: Invalid client secret provided."
        );
    }

    #[test]
    fn the_header_of_a_reply_without_body_is_enough() {
        let refusal = Refusal::read(404, Some("ContainerNotFound"), "");
        assert!(refusal.is_no_container());
        assert_eq!(refusal.to_string(), "404 ContainerNotFound");
    }
}
