//! A folder of archives, and ages as people write them.

use std::path::PathBuf;

use clap::Args;
use jiff::{SignedDuration, Span, SpanRelativeTo};

/// A folder of archives that is only read.
#[derive(Args, Debug, Clone)]
pub(crate) struct FolderArgs {
    /// The folder: a path or a URL (az://, abfss://, https://, s3://)
    #[arg(value_name = "PLACE")]
    pub(crate) place: PathBuf,
    /// Read from the secondary region of the storage account; without this it is asked when the primary one is away
    #[arg(long)]
    pub(crate) secondary: bool,
    /// Only archives of this workspace
    #[arg(long, value_name = "ID")]
    pub(crate) workspace: Option<String>,
}

/// A length of time such as `26h`, `90min`, `2d`, `1d 12h`; a day has 24 hours.
pub(crate) fn parse_age(text: &str) -> Result<SignedDuration, String> {
    let wrong = |error: jiff::Error| format!("{error}; write for example 26h, 90min or 2d");
    let span: Span = text.parse().map_err(wrong)?;
    let age = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(wrong)?;
    if age.is_negative() {
        return Err("a length of time is not negative".to_owned());
    }
    Ok(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_units() {
        let hours = SignedDuration::from_hours;
        assert_eq!(parse_age("26h"), Ok(hours(26)));
        assert_eq!(parse_age("2d"), Ok(hours(48)));
        assert_eq!(parse_age("1d 12h"), Ok(hours(36)));
        assert_eq!(parse_age("90min"), Ok(SignedDuration::from_mins(90)));
        for wrong in ["26", "", "-1h", "1mo", "soon"] {
            assert!(parse_age(wrong).is_err(), "{wrong}");
        }
    }
}
