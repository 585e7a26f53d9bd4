//! Contents in request bodies: `multipart/form-data`, read from the whole body, and base64.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::http::ApiError;

/// Base64, with the line breaks that old clients send.
pub(crate) fn decode(text: &str) -> Result<Bytes, ApiError> {
    let dense: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD
        .decode(dense)
        .map(Bytes::from)
        .map_err(|error| ApiError::invalid(format!("content is not valid base64: {error}")))
}

/// Parts by name; the content shares the request's memory.
pub(crate) fn parse(content_type: &str, body: &Bytes) -> Result<BTreeMap<String, Bytes>, ApiError> {
    let malformed = || ApiError::new(400, "MALFORMED_REQUEST", "Could not parse multipart form");
    let boundary = content_type
        .split(';')
        .find_map(|part| part.trim().strip_prefix("boundary="))
        .map(|text| text.trim_matches('"'))
        .filter(|text| !text.is_empty())
        .ok_or_else(malformed)?;
    let delimiter = format!("\r\n--{boundary}");
    let first = format!("--{boundary}");
    let mut at = find(body, first.as_bytes(), 0).ok_or_else(malformed)? + first.len();
    let mut parts = BTreeMap::new();
    while !body[at..].starts_with(b"--") {
        let head = find(body, b"\r\n", at).ok_or_else(malformed)? + 2;
        let content = find(body, b"\r\n\r\n", at).ok_or_else(malformed)? + 4;
        let end = find(body, delimiter.as_bytes(), content).ok_or_else(malformed)?;
        let headers = String::from_utf8_lossy(&body[head..content]);
        let name = name_of(&headers).ok_or_else(malformed)?;
        parts.insert(name, body.slice(content..end));
        at = end + delimiter.len();
    }
    Ok(parts)
}

/// `name` of the `Content-Disposition` header.
fn name_of(headers: &str) -> Option<String> {
    let line = headers.lines().find(|line| {
        line.to_ascii_lowercase()
            .starts_with("content-disposition:")
    })?;
    let name = line
        .split(';')
        .find_map(|part| part.trim().strip_prefix("name="))?;
    Some(name.trim_matches('"').to_owned())
}

/// Where `needle` first stands at or after `from`.
fn find(body: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while at + needle.len() <= body.len() {
        let next = body[at..].iter().position(|byte| *byte == needle[0])?;
        at += next;
        if body[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_binary_and_named() {
        let body = Bytes::from_static(
            b"--X\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\n/a b\r\n--X\r\n\
              content-disposition: form-data; name=\"content\"; filename=\"f\"\r\nContent-Type: a/b\r\n\r\n\0\r\n\r\n\xff\r\n--X--\r\n",
        );
        let parts = parse("multipart/form-data; boundary=\"X\"", &body).expect("valid");
        assert_eq!(parts["path"], "/a b");
        assert_eq!(parts["content"].as_ref(), b"\0\r\n\r\n\xff");
        assert!(parse("multipart/form-data", &body).is_err());
        assert!(
            parse(
                "multipart/form-data; boundary=X",
                &Bytes::from_static(b"--X\r\n")
            )
            .is_err()
        );
    }
}
