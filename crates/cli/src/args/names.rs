//! Ids of workspaces and folders of their trees, as people write them.

use lifeboat_catalog::tree;

/// A workspace id: a number. Where somebody gives the address instead, the answer names the id that stands in it.
pub(crate) fn parse_workspace_id(text: &str) -> Result<String, String> {
    if is_id(text) {
        return Ok(text.to_owned());
    }
    let what = "a workspace id is a number such as 7405609123456789";
    Err(match id_within(text) {
        Some(id) => format!("{what}; that of this address is {id}"),
        None => {
            format!("{what}: it stands in the workspace's address behind `adb-`, or behind `?o=`")
        }
    })
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The id in `https://adb-7405609123456789.9.azuredatabricks.net/?o=7405609123456789`.
fn id_within(text: &str) -> Option<&str> {
    ["adb-", "?o=", "&o="].into_iter().find_map(|mark| {
        let (_, rest) = text.split_once(mark)?;
        let end = rest
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(rest.len());
        Some(&rest[..end]).filter(|id| is_id(id))
    })
}

/// A folder for what is restored, without alias and final slash.
pub(crate) fn parse_folder(text: &str) -> Result<String, String> {
    tree::named_folder(text)
        .map(str::to_owned)
        .map_err(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_id_is_a_number_and_an_address_is_told_its_own() {
        assert_eq!(
            parse_workspace_id("7405609123456789").as_deref(),
            Ok("7405609123456789")
        );
        for address in [
            "https://adb-7405609123456789.9.azuredatabricks.net",
            "https://westeurope.azuredatabricks.net/?o=7405609123456789#job/1",
            "adb-7405609123456789.9.azuredatabricks.net/",
        ] {
            let error = parse_workspace_id(address).unwrap_err();
            assert!(
                error.ends_with("that of this address is 7405609123456789"),
                "{error}"
            );
        }
        for text in ["", "secondary", "12 34", "-1", "https://adb-x.net"] {
            let error = parse_workspace_id(text).unwrap_err();
            assert!(error.contains("behind `adb-`"), "{text}: {error}");
        }
    }
}
