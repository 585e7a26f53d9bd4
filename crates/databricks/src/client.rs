//! The client: one place through which every call goes.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Config, Error, Limits, Stats};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Calls per endpoint family.
    pub limits: Limits,
    /// Longest silence of the service within one call.
    pub timeout: Duration,
    /// Longest time that one call may spend on failed attempts and the pauses after them.
    pub retry_budget: Duration,
    /// `product/version`; system and credential method are appended.
    pub user_agent: String,
    /// Calls under way at one time, over all families.
    pub max_concurrent: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            limits: Limits::Default,
            timeout: Duration::from_secs(60),
            retry_budget: Duration::from_secs(300),
            user_agent: concat!("lifeboat/", env!("CARGO_PKG_VERSION")).to_owned(),
            max_concurrent: 32,
        }
    }
}

/// Whether a call may be repeated after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Changes nothing.
    Read,
    /// Doing it twice gives the same as doing it once.
    Idempotent,
    /// Doing it twice makes two: repeated only when the service certainly did nothing.
    Create,
}

/// What is sent.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// Nothing.
    None,
    /// A JSON document.
    Json(&'a Value),
    /// Bytes as they are.
    Raw(Bytes),
    /// `multipart/form-data`: text fields and one file part.
    Multipart {
        /// Name and value of each text field.
        fields: &'a [(&'a str, &'a str)],
        /// Name of the file part (`content` for workspace import).
        file: &'a str,
        /// The bytes of the file part.
        content: Bytes,
    },
}

/// A list call.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    /// Path from `/api/` on.
    pub path: &'a str,
    /// Query of every page.
    pub query: Vec<(&'a str, String)>,
    /// Name of the array in the reply; empty: the reply itself is the array.
    pub array: &'a str,
    /// How pages follow each other.
    pub paging: Paging,
}

/// How pages follow each other (fact sheet, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// One reply holds everything.
    None,
    /// `next_page_token` of the reply goes into `page_token` of the next request.
    PageToken {
        /// Name and value of the page size field.
        size: Option<(&'static str, u32)>,
    },
    /// `next_page_token` is also the name in the query (git folders).
    NextPageToken,
    /// `startIndex` and `count`, repeated until two reads agree.
    Scim {
        /// Elements asked for per page.
        count: u32,
    },
}

/// Who calls, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User name, or application id of a service principal.
    pub user_name: String,
    /// SCIM id.
    pub id: String,
    /// Id of the workspace (`X-Databricks-Org-Id`).
    pub workspace_id: Option<String>,
    /// Member of the group `admins`.
    pub is_admin: bool,
}

/// A client of one workspace. Clones share connections, limits and counts.
#[derive(Clone)]
pub struct Client {}

impl Client {
    /// Makes a client. Nothing is sent yet.
    pub fn new(_config: Config, _options: ClientOptions) -> Result<Self, Error> {
        unimplemented!()
    }

    /// `https://<name>`, without a slash at the end.
    pub fn host(&self) -> &str {
        unimplemented!()
    }

    /// `azure`, `azure-usgov`, `azure-china` or `unknown`, by the name of the host.
    pub fn cloud(&self) -> &'static str {
        unimplemented!()
    }

    /// Asks who calls and which workspace answers.
    pub async fn identity(&self) -> Result<Identity, Error> {
        unimplemented!()
    }

    /// GET of a JSON document.
    pub async fn get(&self, _path: &str, _query: &[(&str, &str)]) -> Result<Value, Error> {
        unimplemented!()
    }

    /// GET of a body as it is, as UTF-8 text.
    pub async fn get_text(&self, _path: &str, _query: &[(&str, &str)]) -> Result<String, Error> {
        unimplemented!()
    }

    /// GET of a body as it is; more than `cap` bytes are an error ([`Error::is_over_cap`]).
    pub async fn get_bytes(
        &self,
        _path: &str,
        _query: &[(&str, &str)],
        _cap: u64,
    ) -> Result<Bytes, Error> {
        unimplemented!()
    }

    /// GET of a body into a file, which is emptied first; gives the bytes written.
    pub async fn get_to_file(
        &self,
        _path: &str,
        _query: &[(&str, &str)],
        _cap: u64,
        _file: &mut std::fs::File,
    ) -> Result<u64, Error> {
        unimplemented!()
    }

    /// GET of one object whose long arrays come in pages (`jobs/get` 2.2). `arrays` are dotted places, such as
    /// `settings.tasks`; the paging fields are gone from the result.
    pub async fn get_merged(
        &self,
        _path: &str,
        _query: &[(&str, &str)],
        _arrays: &[&str],
    ) -> Result<Value, Error> {
        unimplemented!()
    }

    /// Any call. An empty reply gives `{}`.
    pub async fn send(
        &self,
        _method: &str,
        _path: &str,
        _query: &[(&str, &str)],
        _body: Body<'_>,
        _safety: Safety,
    ) -> Result<Value, Error> {
        unimplemented!()
    }

    /// All elements of a listing, each as the text that the service sent.
    pub async fn list(&self, _listing: &Listing<'_>) -> Result<Vec<Box<RawValue>>, Error> {
        unimplemented!()
    }

    /// Counts so far.
    pub fn stats(&self) -> Stats {
        unimplemented!()
    }
}

/// One segment of a path, percent-encoded: an id or a name, `/` included.
pub fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
