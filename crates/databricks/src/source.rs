//! From the settings of a method to the thing that fetches its tokens.

use url::Url;

use crate::credentials::Credentials;
use crate::endpoint::Endpoints;
use crate::entra;
use crate::oauth::{Grant, Workspace};
use crate::program::DatabricksCli;
use crate::secret::Cleaner;
use crate::token::Fetch;

/// What fetches tokens; `None` where the token is the setting itself. Without a host only Entra ID can be asked.
pub(crate) fn of(
    credentials: &Credentials,
    host: Option<Url>,
    endpoints: Endpoints,
    cleaner: Cleaner,
) -> Option<Box<dyn Fetch>> {
    let workspace = |host: Option<Url>, grant| -> Option<Box<dyn Fetch>> {
        Some(Box::new(Workspace::new(
            host?,
            grant,
            endpoints.clone(),
            cleaner.clone(),
        )))
    };
    match credentials {
        Credentials::Token(_) => None,
        Credentials::Client {
            client_id,
            client_secret,
        } => workspace(
            host,
            Grant::Client {
                id: client_id.clone(),
                secret: client_secret.clone(),
            },
        ),
        Credentials::Exchange { client_id, from } => workspace(
            host,
            Grant::Exchange {
                client: client_id.clone(),
                from: from.clone(),
            },
        ),
        Credentials::Entra(settings) => Some(Box::new(entra::Source::new(
            (**settings).clone(),
            host,
            endpoints,
            cleaner,
        ))),
        Credentials::DatabricksCli { program, whose } => Some(Box::new(DatabricksCli {
            program: program.clone(),
            whose: whose.clone(),
            cleaner,
        })),
    }
}
