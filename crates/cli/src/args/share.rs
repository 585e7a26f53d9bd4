//! Shares as people write them.

/// A share of 0 to 1 from a percentage: `1%`, `0.5%`, also without the sign.
pub(crate) fn parse_share(text: &str) -> Result<f64, String> {
    let digits = text.strip_suffix('%').unwrap_or(text).trim();
    let percent: f64 = digits
        .parse()
        .map_err(|_| format!("{digits:?} is no number: write a percentage such as 1%"))?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent / 100.0)
    } else {
        Err("a percentage is from 0% to 100%".to_owned())
    }
}

/// The same where nothing at all is no share.
pub(crate) fn parse_sample(text: &str) -> Result<f64, String> {
    match parse_share(text)? {
        0.0 => Err("a sample of nothing proves nothing".to_owned()),
        share => Ok(share),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_percentages() {
        assert_eq!(parse_share("1%"), Ok(0.01));
        assert_eq!(parse_share("0.5 %"), Ok(0.005));
        assert_eq!(parse_share("100"), Ok(1.0));
        assert_eq!(parse_share("0%"), Ok(0.0));
        assert!(parse_sample("0%").is_err());
        assert_eq!(parse_sample("5%"), Ok(0.05));
        for wrong in ["", "%", "-1%", "101%", "NaN", "inf", "one"] {
            assert!(parse_share(wrong).is_err(), "{wrong}");
        }
    }
}
