//! Keys of minisign: one that signs, one that verifies.

use std::fmt;
use std::io::{self, Cursor};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign::{SecretKeyBox, SignatureBox};

use super::error::ProtectError;
use super::identities::read_key_file;

/// Bytes of a secret key as its file holds them in Base64.
const SECRET_BYTES: usize = 158;
/// Where they say how the key is protected.
const PROTECTION: std::ops::Range<usize> = 2..4;
/// Bytes of the signature over signature and trusted comment.
const COMMENT_SIGNATURE_BYTES: usize = 64;

/// A secret key that signs descriptors.
#[derive(Clone)]
pub struct SigningKey(minisign::SecretKey);

/// What the library prints of it would be the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Loads the key in a file that `minisign -G` made. `password` is asked for when one protects it; unlocking then takes seconds
    /// and 1 GiB of memory, which is what the format is for.
    ///
    /// # Errors
    /// The file cannot be read or holds no such key, the password is wrong, or there is none to be had.
    pub fn load(
        path: &Path,
        password: impl FnOnce() -> io::Result<String>,
    ) -> Result<Self, ProtectError> {
        let wrong = |what: String| ProtectError::SigningKey {
            path: path.to_owned(),
            what,
        };
        let text = read_key_file(path)?;
        let line = text.lines().nth(1).unwrap_or_default().trim();
        let bytes = match STANDARD.decode(line) {
            Ok(bytes) if bytes.len() == SECRET_BYTES => bytes,
            _ => return Err(wrong("it is not a secret key of minisign".to_owned())),
        };
        let key = match &bytes[PROTECTION] {
            // Stock keys without a password have no checksum, which the library insists on elsewhere.
            [0, 0] => minisign::SecretKey::from_bytes(&bytes),
            _ => {
                let password = password().map_err(|error| {
                    wrong(format!("it is protected by a password, and {error}"))
                })?;
                SecretKeyBox::from_string(&text)
                    .and_then(|locked| locked.into_secret_key(Some(password)))
            }
        };
        let key = Self(key.map_err(|error| wrong(error.to_string()))?);
        // Without a checksum nothing else tells a damaged key before the night is over.
        let whole = key
            .sign(b"", "")
            .and_then(|signature| key.public()?.verify(b"", &signature));
        match whole {
            Ok(()) => Ok(key),
            Err(_) => Err(wrong("it is damaged".to_owned())),
        }
    }

    /// The key that verifies what this one signs.
    ///
    /// # Errors
    /// It cannot be taken out of the secret one.
    pub fn public(&self) -> Result<PublicKey, ProtectError> {
        minisign::PublicKey::from_secret_key(&self.0)
            .map(PublicKey)
            .map_err(|error| ProtectError::Sign {
                what: error.to_string(),
            })
    }

    /// A detached signature as `minisign -S` writes it, over `bytes` and `comment`.
    pub(crate) fn sign(&self, bytes: &[u8], comment: &str) -> Result<Vec<u8>, ProtectError> {
        let comment = comment.replace(['\n', '\r'], " ");
        let signed = minisign::sign(None, &self.0, bytes, Some(&comment), None);
        signed
            .map(|signature| signature.into_string().into_bytes())
            .map_err(|error| ProtectError::Sign {
                what: error.to_string(),
            })
    }
}

/// A public key that verifies signatures of descriptors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(minisign::PublicKey);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_base64())
    }
}

impl PublicKey {
    /// The key that `text` is (`RW...`), or that stands in the file of that name.
    ///
    /// # Errors
    /// The file cannot be read, or holds no such key.
    pub fn load(text: &str) -> Result<Self, ProtectError> {
        if let Ok(key) = parse(text) {
            return Ok(Self(key));
        }
        // Neither a key nor a name of a file: it may be a secret key, and is not shown.
        if text.contains(['\n', '\r']) || text.len() > 255 {
            return Err(ProtectError::PublicKey {
                shown: "what was given".to_owned(),
                what: "it is no key of 56 characters, and no name of a file".to_owned(),
            });
        }
        let file = read_key_file(Path::new(text)).map_err(|error| match error {
            ProtectError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ProtectError::PublicKey {
                    shown: format!("{text:?}"),
                    what: "it is no key of 56 characters, and there is no such file".to_owned(),
                }
            }
            other => other,
        })?;
        let wrong = |what: String| ProtectError::PublicKey {
            shown: text.to_owned(),
            what,
        };
        let line = file.lines().nth(1).unwrap_or_default();
        parse(line).map(Self).map_err(wrong)
    }

    /// Proves a detached signature over `bytes`.
    pub(crate) fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<(), ProtectError> {
        let wrong = |what: String| ProtectError::NotAuthentic {
            place: String::new(),
            what,
        };
        let text = std::str::from_utf8(signature).map_err(|error| wrong(error.to_string()))?;
        let parsed = SignatureBox::from_string(text)
            .map_err(|error| wrong(format!("the signature cannot be read: {error}")))?;
        // The library would index beyond the end of a short one.
        let comment_signature = text.lines().nth(3).unwrap_or_default().trim();
        if STANDARD
            .decode(comment_signature)
            .is_ok_and(|bytes| bytes.len() != COMMENT_SIGNATURE_BYTES)
        {
            return Err(wrong("the signature is cut short".to_owned()));
        }
        minisign::verify(&self.0, &parsed, Cursor::new(bytes), true, false, false)
            .map_err(|error| wrong(error.to_string()))
    }
}

/// A key begins with the name of its algorithm, `Ed`.
fn parse(text: &str) -> Result<minisign::PublicKey, String> {
    let key = minisign::PublicKey::from_base64(text.trim()).map_err(|error| error.to_string())?;
    if key.to_bytes().starts_with(b"Ed") {
        Ok(key)
    } else {
        Err("it is of another algorithm".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use minisign::KeyPair;

    use super::*;

    fn no_password() -> io::Result<String> {
        panic!("nobody may be asked for a password")
    }

    fn written(folder: &Path, text: &str) -> std::path::PathBuf {
        let path = folder.join("key");
        std::fs::write(&path, text).unwrap();
        path
    }

    fn pair() -> (String, PublicKey) {
        let KeyPair { pk, sk } = KeyPair::generate_unencrypted_keypair().unwrap();
        (sk.to_box(None).unwrap().into_string(), PublicKey(pk))
    }

    #[test]
    fn what_a_key_signs_its_public_key_verifies_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, public) = pair();
        let key = SigningKey::load(&written(folder.path(), &secret), no_password).unwrap();
        assert_eq!(key.public().unwrap(), public);
        let signature = key.sign(b"descriptor", "file:X.json").unwrap();
        public.verify(b"descriptor", &signature).unwrap();
        assert!(public.verify(b"descriptor ", &signature).is_err());
        assert!(pair().1.verify(b"descriptor", &signature).is_err());
        let text = String::from_utf8(signature).unwrap();
        assert!(text.contains("trusted comment: file:X.json\n"), "{text}");
        let other = text.replace("file:X.json", "file:Y.json");
        assert!(public.verify(b"descriptor", other.as_bytes()).is_err());
        // A signature that ends early ends no process.
        for end in 0..text.len() {
            assert!(
                public
                    .verify(b"descriptor", &text.as_bytes()[..end])
                    .is_err()
                    || end > text.trim_end().len() - 1
            );
        }
        let last = text.lines().nth(3).unwrap();
        let short = text.replace(last, &STANDARD.encode([7; 30]));
        assert!(public.verify(b"descriptor", short.as_bytes()).is_err());
    }

    #[test]
    fn keys_are_refused_without_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, public) = pair();
        let mut bytes = STANDARD.decode(secret.lines().nth(1).unwrap()).unwrap();
        bytes[70] ^= 1;
        let damaged = format!("untrusted comment: x\n{}\n", STANDARD.encode(&bytes));
        bytes[70] ^= 1;
        bytes[2..4].copy_from_slice(b"Sc");
        let locked = format!("untrusted comment: x\n{}\n", STANDARD.encode(&bytes));
        for (text, says) in [
            (damaged.as_str(), "damaged"),
            (locked.as_str(), "no terminal"),
            ("", "not a secret key"),
            (&public.to_string(), "not a secret key"),
        ] {
            let path = written(folder.path(), text);
            let password = || Err(io::Error::other("there is no terminal"));
            let error = SigningKey::load(&path, password).unwrap_err();
            let all = format!("{error} {error:?}");
            assert!(all.contains(says), "{all}");
            assert_eq!(error.exit_code(), 2);
            let line = text.lines().nth(1).unwrap_or("?").to_owned();
            assert!(!all.contains(&line), "{all}");
        }
        let key = SigningKey::load(&written(folder.path(), &secret), no_password).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey");
    }

    #[test]
    fn a_public_key_is_a_text_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, public) = pair();
        assert_eq!(PublicKey::load(&public.to_string()).unwrap(), public);
        let file = written(folder.path(), &format!("untrusted comment: k\n{public}\n"));
        assert_eq!(PublicKey::load(file.to_str().unwrap()).unwrap(), public);
        let wrong = written(folder.path(), &secret);
        for text in [wrong.to_str().unwrap(), "RWabc", ""] {
            let error = PublicKey::load(text).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{error}");
        }
    }
}
