//! The ways of proving who calls, as plain settings. What they are asked with is in `oauth`, `entra` and `program`.

use std::path::PathBuf;

use crate::Secret;
use crate::entra::Entra;

/// A way of proving who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// A personal access token.
    Token(Secret),
    /// A service principal and its secret in Databricks.
    Client {
        client_id: String,
        client_secret: Secret,
    },
    /// A token of another issuer, exchanged for one of the workspace.
    Exchange {
        client_id: Option<String>,
        from: IdToken,
    },
    /// A token of Entra ID.
    Entra(Box<Entra>),
    /// The login of the Databricks command line.
    DatabricksCli {
        program: String,
        /// `--profile NAME` or `--host URL`.
        whose: [String; 2],
    },
}

/// Where a token of another issuer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdToken {
    /// In the environment.
    Given(Secret),
    /// In a file that its issuer writes anew.
    File(PathBuf),
}

impl Credentials {
    /// Name of the method, as in `auth_type`.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::Token(_) => "pat",
            Self::Client { .. } => "oauth-m2m",
            Self::Exchange {
                from: IdToken::Given(_),
                ..
            } => "env-oidc",
            Self::Exchange {
                from: IdToken::File(_),
                ..
            } => "file-oidc",
            Self::Entra(entra) => entra.identity.method(),
            Self::DatabricksCli { .. } => "databricks-cli",
        }
    }

    /// What must be cut out of every text that comes from elsewhere.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Token(secret)
            | Self::Client {
                client_secret: secret,
                ..
            }
            | Self::Exchange {
                from: IdToken::Given(secret),
                ..
            } => vec![secret.clone()],
            Self::Entra(entra) => entra.identity.secret().into_iter().cloned().collect(),
            Self::Exchange { .. } | Self::DatabricksCli { .. } => Vec::new(),
        }
    }
}
