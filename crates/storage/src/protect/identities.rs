//! Who reads an encrypted archive: secret keys of age.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use age::IdentityFile;

use super::error::ProtectError;

/// No file of keys is longer.
const MOST_BYTES: u64 = 1 << 20;

/// Secret keys of age (X25519), as `age-keygen` makes them. Clones share them; none is shown.
#[derive(Clone, Default)]
pub struct Identities(Arc<Vec<Box<dyn age::Identity + Send + Sync>>>);

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

impl Identities {
    /// Nobody's: opens no encrypted archive.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// All identities in `files`.
    ///
    /// # Errors
    /// A file cannot be read, holds something else or nothing, or is protected by a passphrase.
    pub fn load(files: &[impl AsRef<Path>]) -> Result<Self, ProtectError> {
        let mut all = Vec::new();
        for file in files {
            let path = file.as_ref();
            let wrong = |what: &str| ProtectError::Identity {
                path: path.to_owned(),
                what: what.to_owned(),
            };
            let text = read_key_file(path)?;
            if text.starts_with("age-encryption.org/") || text.contains("AGE ENCRYPTED FILE") {
                return Err(wrong(
                    "it is protected by a passphrase; decrypt it with `age -d` first",
                ));
            }
            // The message names the line and nothing of it.
            let found = IdentityFile::from_buffer(text.as_bytes())
                .map_err(|error| wrong(&error.to_string()))?
                .into_identities()
                .map_err(|error| wrong(&error.to_string()))?;
            if found.is_empty() {
                return Err(wrong("it holds no identity"));
            }
            all.extend(found);
        }
        Ok(Self(Arc::new(all)))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|one| &**one as &dyn age::Identity)
    }
}

/// A small file of text. Another file is given instead of a key more easily than a key that is this long.
pub(super) fn read_key_file(path: &Path) -> Result<String, ProtectError> {
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text))
        .map(|_| text)
        .map_err(|source| ProtectError::File {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn identity_files_are_read_and_others_refused_without_their_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.txt");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Identities::load(&[&path])
        };
        let secret = age::x25519::Identity::generate().to_string();
        let secret = secret.expose_secret();
        let loaded = load(&format!("# created\n# public key: age1\n{secret}\n")).unwrap();
        assert_eq!(loaded.len(), 1);
        assert_eq!(format!("{loaded:?}"), "Identities(1)");
        for (text, says) in [
            ("# nothing\n", "holds no identity"),
            ("age-encryption.org/v1\n-> scrypt x\n", "passphrase"),
            ("-----BEGIN AGE ENCRYPTED FILE-----\n", "passphrase"),
            (&format!("{secret}x\n"), "line 1"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "line 1"),
        ] {
            let error = load(text).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let all = format!("{error} {error:?}");
            assert!(all.contains(says), "{all}");
            assert!(!all.contains(&secret[20..]), "{all}");
        }
        let missing = Identities::load(&[folder.path().join("missing")]).unwrap_err();
        assert!(matches!(missing, ProtectError::File { .. }), "{missing:?}");
    }
}
