//! Keys: who reads an encrypted archive, who must have signed it, and how a new one is protected.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use clap::Args;
use lifeboat_console::Console;
use lifeboat_storage::{Identities, Protection, PublicKey, Recipients, SigningKey};

use crate::failure::Failure;

/// Where the identity file stands when no option names one.
const IDENTITY_FILE: &str = "LIFEBOAT_IDENTITY_FILE";
/// The password of the signing key, for runs that nobody attends.
const SIGN_PASSWORD: &str = "LIFEBOAT_SIGN_PASSWORD";

/// Who reads an encrypted archive.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct IdentityArgs {
    /// Identity file of age that opens an encrypted archive, instead of the one that LIFEBOAT_IDENTITY_FILE names; may be given
    /// several times
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
}

impl IdentityArgs {
    /// The identities that were named; none is no failure, as most archives need none.
    pub(crate) fn load(&self) -> Result<Identities, Failure> {
        let named = std::env::var_os(IDENTITY_FILE).filter(|name| !name.is_empty());
        let files = match named {
            Some(name) if self.identity.is_empty() => vec![PathBuf::from(name)],
            _ => self.identity.clone(),
        };
        Ok(Identities::load(&files)?)
    }
}

/// Who must have signed an archive.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct SignatureArgs {
    /// Refuse the archive unless its descriptor has a good signature by this public key of minisign: the key itself or its file
    #[arg(long, value_name = "PUBLIC KEY")]
    require_signature: Option<String>,
}

impl SignatureArgs {
    pub(crate) fn load(&self) -> Result<Option<PublicKey>, Failure> {
        let key = self.require_signature.as_deref().map(PublicKey::load);
        Ok(key.transpose()?)
    }
}

/// How a new archive is protected.
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Protection")]
pub(crate) struct ProtectionArgs {
    /// Encrypt the archive to this public key of age (age1...); may be given several times
    #[arg(long, value_name = "RECIPIENT")]
    encrypt_to: Vec<String>,
    /// Encrypt the archive to each public key in this file, one a line; may be given several times
    #[arg(long, value_name = "FILE")]
    encrypt_to_file: Vec<PathBuf>,
    /// Sign the archive's descriptor with this secret key of minisign; its password is that in LIFEBOAT_SIGN_PASSWORD, or asked
    /// for at once
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    /// Also read the values of secrets; only into an encrypted archive
    #[arg(long)]
    pub(crate) secret_values: bool,
}

impl ProtectionArgs {
    /// Loads all keys, so that a night does not fail at its end for want of one. May ask for a password.
    pub(crate) fn load(&self, console: &Console) -> Result<Protection, Failure> {
        let recipients = Recipients::load(&self.encrypt_to, &self.encrypt_to_file)?;
        if self.secret_values && recipients.is_none() {
            return Err(Failure::SecretValues);
        }
        let sign = |path: &PathBuf| SigningKey::load(path, || password(console));
        Ok(Protection {
            recipients,
            signing_key: self.sign.as_ref().map(sign).transpose()?,
        })
    }
}

fn password(console: &Console) -> io::Result<String> {
    let set = std::env::var_os(SIGN_PASSWORD).filter(|set| !set.is_empty());
    let password = match set {
        Some(set) => set
            .into_string()
            .map_err(|_| io::Error::other(format!("{SIGN_PASSWORD} is not UTF-8")))?,
        None if io::stdin().is_terminal() => {
            rpassword::prompt_password("Password of the signing key: ")?
        }
        None => {
            return Err(io::Error::other(format!(
                "{SIGN_PASSWORD} is not set and there is no terminal to ask at"
            )));
        }
    };
    console.line("unlocking the signing key, which takes some seconds");
    Ok(password)
}
