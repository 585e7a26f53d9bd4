//! Pages to whole: lists of every paging style (fact sheet, section 1). Objects whose arrays come in pages: `merged`.
//!
//! Elements are handed on as the text that the service sent. A page without the array is an empty page; anything else
//! than an array in its place is an error, since a reply that is not understood must not look like an empty list. For
//! the same reason a sign of a further page is never passed over, whatever the paging style that was expected.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::client::{not_json, unexpected};
use crate::error::Problem;
use crate::refusal;
use crate::{Client, Error};

/// Reads of a SCIM listing until it must have settled.
const MOST_READS: u32 = 5;

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
    /// One reply holds everything. A `next_page_token` that comes all the same is followed as in `PageToken`.
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

/// One reply of a listing.
struct Page {
    elements: Vec<Box<RawValue>>,
    next: Option<String>,
    total: Option<u64>,
}

/// One complete read of a SCIM listing.
struct Read {
    /// By id, in the order of the first appearance.
    elements: Vec<(String, Box<RawValue>)>,
    total: u64,
    /// Pages agreed about the total, and none repeated what others had.
    sound: bool,
}

impl Client {
    /// All elements of a listing, each as the text that the service sent.
    ///
    /// SCIM listings are read until two reads have the same ids and `totalResults` is their number: pages shift while
    /// the listing is read. What does not settle in five reads is [`Problem::Unstable`].
    pub async fn list(&self, listing: &Listing<'_>) -> Result<Vec<Box<RawValue>>, Error> {
        match listing.paging {
            Paging::None => self.list_by_token(listing, "page_token", None).await,
            Paging::PageToken { size } => self.list_by_token(listing, "page_token", size).await,
            Paging::NextPageToken => self.list_by_token(listing, "next_page_token", None).await,
            Paging::Scim { count } => self.list_scim(listing, count).await,
        }
    }

    async fn list_by_token(
        &self,
        listing: &Listing<'_>,
        name: &str,
        size: Option<(&'static str, u32)>,
    ) -> Result<Vec<Box<RawValue>>, Error> {
        let size = size.map(|(name, size)| (name, size.to_string()));
        let mut elements = Vec::new();
        let mut tokens = HashSet::new();
        let mut token: Option<String> = None;
        loop {
            let size = size.iter().map(|(name, size)| (*name, size.as_str()));
            let paging: Vec<(&str, &str)> = size
                .chain(token.iter().map(|token| (name, token.as_str())))
                .collect();
            let page = self.page(listing, &paging).await?;
            elements.extend(page.elements);
            let Some(next) = page.next else {
                return Ok(elements);
            };
            if !tokens.insert(next.clone()) {
                return Err(repeated(listing.path));
            }
            token = Some(next);
        }
    }

    async fn list_scim(
        &self,
        listing: &Listing<'_>,
        count: u32,
    ) -> Result<Vec<Box<RawValue>>, Error> {
        let mut before: Option<Vec<String>> = None;
        let (mut total, mut distinct) = (0, 0);
        for _ in 0..MOST_READS {
            let read = self.read_scim(listing, count).await?;
            (total, distinct) = (read.total, read.elements.len() as u64);
            let mut ids: Vec<String> = read.elements.iter().map(|(id, _)| id.clone()).collect();
            ids.sort_unstable();
            let settled = read.sound && total == distinct;
            if settled && before.as_ref() == Some(&ids) {
                return Ok(read
                    .elements
                    .into_iter()
                    .map(|(_, element)| element)
                    .collect());
            }
            before = settled.then_some(ids);
        }
        Err(Error::new(
            "GET",
            listing.path,
            1,
            Problem::Unstable {
                reads: MOST_READS,
                total,
                distinct,
            },
        ))
    }

    /// Pages until an empty one. A page that brings nothing new ends the read too: the service ignores the place
    /// asked for, and would do so for ever.
    async fn read_scim(&self, listing: &Listing<'_>, count: u32) -> Result<Read, Error> {
        let mut read = Read {
            elements: Vec::new(),
            total: 0,
            sound: true,
        };
        let mut seen = HashSet::new();
        let mut start: usize = 1;
        loop {
            let (at, count) = (start.to_string(), count.to_string());
            let page = self
                .page(
                    listing,
                    &[("startIndex", at.as_str()), ("count", count.as_str())],
                )
                .await?;
            if start == 1 {
                read.total = page.total.unwrap_or(0);
            } else if page.total.is_some_and(|total| total != read.total) {
                read.sound = false;
            }
            if page.elements.is_empty() {
                return Ok(read);
            }
            start += page.elements.len();
            let before = seen.len();
            for element in page.elements {
                let id = id_of(listing.path, &element)?;
                if seen.insert(id.clone()) {
                    read.elements.push((id, element));
                } else {
                    read.sound = false;
                }
            }
            if seen.len() == before {
                return Ok(read);
            }
        }
    }

    async fn page(&self, listing: &Listing<'_>, paging: &[(&str, &str)]) -> Result<Page, Error> {
        let own = listing
            .query
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let query: Vec<(&str, &str)> = own.chain(paging.iter().copied()).collect();
        let (bytes, reply) = self.get_json_bytes(listing.path, &query).await?;
        let broken = || not_json("GET", listing.path, &bytes, &reply);
        if listing.array.is_empty() {
            let elements = serde_json::from_slice(&bytes).map_err(|_| broken())?;
            return Ok(Page {
                elements,
                next: None,
                total: None,
            });
        }
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_slice(&bytes).map_err(|_| broken())?;
        let elements = match fields.get(listing.array).map(|array| array.get()) {
            None | Some("null") => {
                self.no_error_within(listing.path, |name| fields.contains_key(name), &bytes)?;
                Vec::new()
            }
            Some(array) => serde_json::from_str(array).map_err(|_| {
                unexpected(
                    listing.path,
                    &format!("an array in {:?}", listing.array),
                    "another kind of value",
                )
            })?,
        };
        let field = |name: &str| {
            let text = fields.get(name).map(|value| value.get());
            text.map_or(Ok(Value::Null), serde_json::from_str)
                .map_err(|_| broken())
        };
        let next = next_token(
            listing.path,
            &field("next_page_token")?,
            &field("has_more")?,
        )?;
        let total = fields
            .get("totalResults")
            .and_then(|total| bare(total).parse().ok());
        Ok(Page {
            elements,
            next,
            total,
        })
    }

    /// For a good reply that lacks what was asked for: an error in it, in one of the shapes of the service (fact sheet
    /// 3.1), is not nothing.
    pub(crate) fn no_error_within(
        &self,
        path: &str,
        has: impl Fn(&str) -> bool,
        body: &[u8],
    ) -> Result<(), Error> {
        if !(has("error_code") || has("error") || (has("detail") && has("schemas"))) {
            return Ok(());
        }
        Err(self.error_within("GET", path, body))
    }

    /// For a good reply to a call that gives one object or none: an error in it is not that object, nor a success.
    pub(crate) fn no_error_instead(
        &self,
        method: &str,
        path: &str,
        reply: &Value,
        body: &[u8],
    ) -> Result<(), Error> {
        let has = |name: &str| reply.get(name).is_some();
        // A resource of SCIM has schemas too, and none of them is that of its errors.
        let scim = has("detail") && has("status") && has("schemas");
        if has("error_code") || scim {
            return Err(self.error_within(method, path, body));
        }
        Ok(())
    }

    fn error_within(&self, method: &str, path: &str, body: &[u8]) -> Error {
        let refusal = refusal::parse(200, body);
        let code = refusal.code.map(|code| format!("{code}: "));
        let text = format!("{}{}", code.unwrap_or_default(), refusal.message);
        let problem = Problem::Unexpected {
            expected: "the data asked for".to_owned(),
            actual: format!("an error with status 200: {}", self.clean(&text)),
        };
        Error::new(method, path, 1, problem)
    }
}

/// The token of the next page, `None` at the end. A reply that promises more without saying where is an error.
pub(crate) fn next_token(path: &str, token: &Value, more: &Value) -> Result<Option<String>, Error> {
    let token = match token {
        Value::Null => None,
        Value::String(token) => Some(token.clone()).filter(|token| !token.is_empty()),
        Value::Number(token) => Some(token.to_string()),
        _ => {
            return Err(unexpected(
                path,
                "a text in next_page_token",
                "another kind of value",
            ));
        }
    };
    let more = match more {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::String(more) if more == "false" || more == "true" => more == "true",
        _ => {
            return Err(unexpected(
                path,
                "true or false in has_more",
                "another value",
            ));
        }
    };
    if more && token.is_none() {
        return Err(unexpected(
            path,
            "next_page_token, since has_more is true",
            "no token",
        ));
    }
    Ok(token)
}

/// A scalar as text: strings without quotes, `null` as nothing.
fn bare(raw: &RawValue) -> String {
    match serde_json::from_str::<Value>(raw.get()) {
        Ok(Value::String(text)) => text,
        Ok(Value::Null) | Err(_) => String::new(),
        Ok(other) => other.to_string(),
    }
}

fn id_of(path: &str, element: &RawValue) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct WithId<'e> {
        #[serde(borrow)]
        id: Option<&'e RawValue>,
    }
    let id = serde_json::from_str::<WithId<'_>>(element.get())
        .ok()
        .and_then(|element| element.id.map(bare));
    id.filter(|id| !id.is_empty())
        .ok_or_else(|| unexpected(path, "elements with an id", "one without"))
}

pub(crate) fn repeated(path: &str) -> Error {
    unexpected(path, "a new page token", "one that was there before")
}
