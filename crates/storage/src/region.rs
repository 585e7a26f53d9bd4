//! The two regions of a geo-redundant account (spec, "The secondary region").

use jiff::Timestamp;

use crate::error::Error;

/// Which of an account's regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// Where everything is written.
    Primary,
    /// The copy, which can only be read and comes later.
    Secondary,
}

impl std::fmt::Display for Region {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        })
    }
}

/// Where an archive is read from now, and why.
#[derive(Debug)]
pub struct Served {
    /// The region.
    pub region: Region,
    /// Its host.
    pub host: String,
    /// Up to when everything that was written is in the secondary region: what was written later may be missing there.
    /// Or why the service did not tell. Nothing for the primary region.
    pub last_sync: Option<Result<Timestamp, Error>>,
    /// What the primary region answered, when it was asked first.
    pub instead_of: Option<Error>,
}

/// Reads the answer about the state of the copy.
pub(crate) fn last_sync(body: &str) -> Result<Timestamp, String> {
    let between = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.trim())
    };
    let status = between("Status").ok_or("the answer names no state of the copy")?;
    match between("LastSyncTime") {
        Some(time) if !time.is_empty() => jiff::fmt::rfc2822::parse(time)
            .map(|time| time.timestamp())
            .map_err(|_| format!("{time:?} is no time")),
        _ => Err(format!("the copy is {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_the_copy_is_read() {
        let body = |status: &str, time: &str| {
            format!(
                "<?xml version=\"1.0\"?><StorageServiceStats><GeoReplication><Status>{status}</Status><LastSyncTime>{time}</LastSyncTime></GeoReplication></StorageServiceStats>"
            )
        };
        let live = last_sync(&body("live", "Sun, 22 Nov 2026 01:00:00 GMT")).unwrap();
        assert_eq!(live.to_string(), "2026-11-22T01:00:00Z");
        let away = last_sync(&body("unavailable", "")).unwrap_err();
        assert_eq!(away, "the copy is unavailable");
        assert!(last_sync(&body("live", "yesterday")).is_err());
        assert!(last_sync("<html>").is_err());
    }
}
