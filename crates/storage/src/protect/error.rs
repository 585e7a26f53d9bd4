//! What can be wrong with keys, ciphertext and signatures. No message holds anything of a secret key.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// What is wrong with a key, a ciphertext or a signature.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProtectError {
    /// A file with keys cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The text is no public key to encrypt to.
    #[error("{shown} is no recipient: {what}")]
    Recipient {
        /// The text, unless it may be secret; with file and line where it stood in one.
        shown: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// More recipients than a reader is prepared for.
    #[error("{count} recipients are too many, {limit} are allowed")]
    Recipients {
        /// How many.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The name says something else of the archive than the options.
    #[error("{place} is no name for an archive that is {}encrypted", if *encrypted { "" } else { "not " })]
    Name {
        /// The path or URL.
        place: String,
        /// Whether it is to be encrypted.
        encrypted: bool,
    },
    /// The file holds no identity that can be used.
    #[error("{} cannot be used as an identity file: {what}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The file holds no key that can sign.
    #[error("{} cannot be used as a signing key: {what}", path.display())]
    SigningKey {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The text is no public key of minisign.
    #[error("{shown} is no public key of minisign: {what}")]
    PublicKey {
        /// The text or the file.
        shown: String,
        /// Why.
        what: String,
    },
    /// The file is not encrypted with age.
    #[error("{place} is not encrypted with age")]
    NotEncrypted {
        /// The path or URL.
        place: String,
    },
    /// The archive is encrypted, and no identity was given.
    #[error("{place} is encrypted, and no identity was given")]
    Locked {
        /// The path or URL.
        place: String,
    },
    /// The archive is encrypted to somebody else.
    #[error("{place} is encrypted {}", if *passphrase { "with a passphrase, not to a recipient".to_owned() } else { not_to(*tried) })]
    NoFittingIdentity {
        /// The path or URL.
        place: String,
        /// How many identities were tried.
        tried: usize,
        /// Whether a passphrase opens it.
        passphrase: bool,
    },
    /// The ciphertext was cut short or changed.
    #[error("{place} is damaged: {what}, byte {offset} of the encrypted file")]
    Ciphertext {
        /// The path or URL.
        place: String,
        /// Where the piece begins that is not authentic.
        offset: u64,
        /// What is wrong, a lowercase phrase.
        what: String,
    },
    /// The archive could not be encrypted.
    #[error("cannot encrypt: {what}")]
    Encrypt {
        /// Why.
        what: String,
    },
    /// The descriptor could not be signed.
    #[error("cannot sign: {what}")]
    Sign {
        /// Why.
        what: String,
    },
    /// There is no signature by the wanted key over a descriptor of this very archive.
    #[error("{place} is not authentic: {what}")]
    NotAuthentic {
        /// The path or URL.
        place: String,
        /// What is missing or wrong.
        what: String,
    },
}

impl ProtectError {
    /// Exit code of a command that ended so (`spec/exit-codes.md`).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::File { .. }
            | Self::Recipient { .. }
            | Self::Recipients { .. }
            | Self::Name { .. }
            | Self::Identity { .. }
            | Self::SigningKey { .. }
            | Self::PublicKey { .. } => 2,
            Self::NotEncrypted { .. } => 10,
            Self::Ciphertext { .. } | Self::NotAuthentic { .. } => 11,
            Self::Locked { .. } | Self::NoFittingIdentity { .. } => 12,
            Self::Encrypt { .. } | Self::Sign { .. } => 1,
        }
    }
}

fn not_to(tried: usize) -> String {
    match tried {
        1 => "to somebody else than the identity that was given".to_owned(),
        _ => format!("to none of the {tried} identities that were given"),
    }
}
