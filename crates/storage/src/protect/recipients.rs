//! To whom an archive is encrypted: public keys of age.

use std::path::Path;

use age::Encryptor;
use age::x25519::Recipient;

use super::error::ProtectError;
use super::identities::read_key_file;

/// A reader takes the whole header in one range of 64 KiB, and a recipient takes about 100 bytes of it.
const MOST: usize = 500;

/// Public keys of age (`age1...`, X25519), at least one.
#[derive(Clone)]
pub struct Recipients(Vec<Recipient>);

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(ToString::to_string))
            .finish()
    }
}

impl Recipients {
    /// The recipients in `texts` and in the lines of `files` (`#` begins a comment); nothing when none is named at all.
    ///
    /// # Errors
    /// A text is no recipient, a file cannot be read or names none, or there are more than 500.
    pub fn load(
        texts: &[String],
        files: &[impl AsRef<Path>],
    ) -> Result<Option<Self>, ProtectError> {
        let mut recipients = Vec::new();
        for text in texts {
            recipients.push(parse(text, "")?);
        }
        for file in files {
            let path = file.as_ref();
            let before = recipients.len();
            let text = read_key_file(path)?;
            for (number, line) in text.lines().enumerate() {
                let line = line.trim();
                if !line.is_empty() && !line.starts_with('#') {
                    let place = format!(" in {}, line {}", path.display(), number + 1);
                    recipients.push(parse(line, &place)?);
                }
            }
            if recipients.len() == before {
                return Err(ProtectError::Recipient {
                    shown: path.display().to_string(),
                    what: "the file names nobody",
                });
            }
        }
        if recipients.len() > MOST {
            return Err(ProtectError::Recipients {
                count: recipients.len(),
                limit: MOST,
            });
        }
        Ok((!recipients.is_empty()).then_some(Self(recipients)))
    }

    pub(super) fn encryptor(&self) -> Result<Encryptor, ProtectError> {
        let recipients = self.0.iter().map(|one| one as &dyn age::Recipient);
        Encryptor::with_recipients(recipients).map_err(|error| ProtectError::Encrypt {
            what: error.to_string(),
        })
    }
}

fn parse(text: &str, place: &str) -> Result<Recipient, ProtectError> {
    let wrong = |shown: &str, what| ProtectError::Recipient {
        shown: format!("{shown}{place}"),
        what,
    };
    if text.to_uppercase().contains("AGE-SECRET-KEY-") {
        return Err(wrong(
            "a secret key",
            "give the public key, which `age-keygen -y` prints",
        ));
    }
    // What is not the beginning of a public key may be anything, a secret one too, and is not shown.
    let public = ["age1", "ssh-"].iter().any(|start| text.starts_with(start));
    let shown = if public && !text.contains(['\n', '\r']) {
        format!("{text:?}")
    } else {
        "what was given".to_owned()
    };
    text.parse().map_err(|_| {
        let what = if text.starts_with("ssh-") {
            "keys of ssh are not supported, make one with `age-keygen`"
        } else if text.starts_with("age1") {
            "it is not a key of X25519, or mistyped"
        } else {
            "one begins with age1"
        };
        wrong(&shown, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: [&str; 0] = [];

    #[test]
    fn what_is_no_recipient_is_refused_and_a_secret_key_not_shown() {
        let secret = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
        for (text, exit) in [
            (secret, 2),
            ("ssh-ed25519 AAAA", 2),
            ("age1abc", 2),
            ("", 2),
        ] {
            let error = Recipients::load(&[text.to_owned()], &NOBODY).unwrap_err();
            assert_eq!(error.exit_code(), exit, "{text}");
            assert!(!format!("{error} {error:?}").contains("GQ9778"), "{error}");
        }
        assert!(Recipients::load(&[], &NOBODY).unwrap().is_none());
    }

    #[test]
    fn a_file_of_recipients_has_comments() {
        let one = age::x25519::Identity::generate().to_public();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipients.txt");
        std::fs::write(&path, format!("# the vault\n\n  {one}\r\n")).unwrap();
        let loaded = Recipients::load(&[], &[&path]).unwrap().unwrap();
        assert_eq!(format!("{loaded:?}"), format!("[{:?}]", one.to_string()));
        std::fs::write(&path, "# nobody\n").unwrap();
        assert!(Recipients::load(&[], &[&path]).is_err());
        std::fs::write(&path, format!("{one}\nage1x\n")).unwrap();
        let error = Recipients::load(&[], &[&path]).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        let many = vec![one.to_string(); MOST + 1];
        assert!(Recipients::load(&many, &NOBODY).is_err());
    }
}
