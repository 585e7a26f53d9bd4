//! A blob service with one container, over plain sockets: as much of it as the commands need that list, read, write and delete.
//! It pages what it lists, and answers otherwise where a test says so.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command as Process;
use std::sync::{Arc, Mutex};

use assert_cmd::Command;
use jiff::{SignedDuration, Timestamp};

const KEY: (&str, &str) = ("AZURE_STORAGE_ACCOUNT_KEY", "a2V5IG9mIHRoZSBhY2NvdW50");
/// Objects on a page of a listing.
const PAGE: usize = 3;

/// What becomes of a request that is not answered as it should be.
#[derive(Clone, Copy)]
pub enum Fate {
    /// This status and error code instead.
    Refuse(u16, &'static str),
    /// The same by a service whose clock is an hour behind.
    RefuseAnHourAgo(u16, &'static str),
    /// Half of the answer.
    Cut,
}

type Rule = dyn Fn(&str) -> Option<Fate> + Send;

/// An object and its version.
#[derive(Clone)]
struct Blob {
    content: Vec<u8>,
    version: usize,
    /// The metadata that it was written with.
    meta: Vec<(String, String)>,
}

struct State {
    objects: BTreeMap<String, Blob>,
    /// Parts by the name of their object and their own; invisible.
    blocks: BTreeMap<(String, String), Vec<u8>>,
    versions: usize,
    rule: Box<Rule>,
    /// `GET /account/vault/nightly/x.json`
    seen: Vec<String>,
    heads: Vec<String>,
}

pub struct Blobs {
    /// `http://127.0.0.1:<port>`
    pub url: String,
    state: Arc<Mutex<State>>,
}

impl Blobs {
    /// `rule` says for a request, such as `GET /account/vault/x?...`, whether it is answered otherwise.
    pub fn start(rule: impl Fn(&str) -> Option<Fate> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            objects: BTreeMap::new(),
            blocks: BTreeMap::new(),
            versions: 0,
            rule: Box::new(rule),
            seen: Vec::new(),
            heads: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that goes away is none of the service's business.
                std::thread::spawn(move || drop(serve(client, &state)));
            }
        });
        Self { url, state }
    }

    /// Takes every file of a folder into the folder `nightly` of the container.
    pub fn take(&self, folder: &Path) {
        let mut state = self.state.lock().unwrap();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let content = std::fs::read(path).unwrap();
            state.write(&format!("nightly/{name}"), content, Vec::new());
        }
    }

    pub fn content(&self, name: &str) -> Vec<u8> {
        self.state.lock().unwrap().objects[name].content.clone()
    }

    pub fn names(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }

    pub fn count(&self, begin: &str) -> usize {
        let state = self.state.lock().unwrap();
        state
            .seen
            .iter()
            .filter(|one| one.starts_with(begin))
            .count()
    }

    /// What the requests so far had in the header `Authorization`.
    pub fn authorizations(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let lines = state.heads.iter().flat_map(|head| head.lines());
        lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            .map(|(_, value)| value.to_owned())
            .collect()
    }

    /// The command with the settings for `az://vault/` and these `credentials`.
    pub fn tool_with(
        &self,
        folder: &Path,
        name: &str,
        arguments: &[&str],
        credentials: (&str, &str),
    ) -> Command {
        Command::from_std(self.process_with(folder, name, arguments, credentials))
    }

    fn process_with(
        &self,
        folder: &Path,
        name: &str,
        arguments: &[&str],
        credentials: (&str, &str),
    ) -> Process {
        let mut process = super::process(folder, name, arguments);
        process
            .env("AZURE_STORAGE_ENDPOINT", format!("{}/account", self.url))
            .env("AZURE_STORAGE_ACCOUNT_NAME", "account")
            .env("AZURE_ALLOW_HTTP", "true")
            .env(credentials.0, credentials.1);
        process
    }

    /// The same with a key of the account.
    pub fn tool(&self, folder: &Path, name: &str, arguments: &[&str]) -> Command {
        self.tool_with(folder, name, arguments, KEY)
    }

    /// The same for tests that hold the process in their own hands.
    pub fn process(&self, folder: &Path, name: &str, arguments: &[&str]) -> Process {
        self.process_with(folder, name, arguments, KEY)
    }
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    fn refused(status: u16, code: &str) -> Self {
        Self {
            headers: vec![("x-ms-error-code".to_owned(), code.to_owned())],
            ..Self::empty(status)
        }
    }
}

impl Blob {
    fn e_tag(&self) -> String {
        e_tag(self.version)
    }
}

fn e_tag(version: usize) -> String {
    format!("\"0x{version}\"")
}

fn serve(mut client: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let (head, body) = read_request(&mut client)?;
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let request = format!("{method} {target}");
    let mut state = state.lock().unwrap();
    state.seen.push(request.clone());
    state.heads.push(head.clone());
    let fate = (state.rule)(&request);
    let mut date = Timestamp::now();
    let reply = match fate {
        Some(Fate::Refuse(status, code)) => Reply::refused(status, code),
        Some(Fate::RefuseAnHourAgo(status, code)) => {
            date -= SignedDuration::from_hours(1);
            Reply::refused(status, code)
        }
        Some(Fate::Cut) | None => state.answer(method, target, &head, body),
    };
    drop(state);
    let mut text = format!("HTTP/1.1 {} Told\r\nconnection: close\r\n", reply.status);
    text.push_str(&format!("date: {}\r\n", http_date(date)));
    if !reply
        .headers
        .iter()
        .any(|(name, _)| name == "content-length")
    {
        text.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    for (name, value) in reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut answer = text.into_bytes();
    answer.extend(b"\r\n");
    let whole = answer.len() + reply.body.len();
    answer.extend(reply.body);
    if matches!(fate, Some(Fate::Cut)) {
        answer.truncate(whole - 20);
    }
    client.write_all(&answer)
}

impl State {
    fn answer(&mut self, method: &str, target: &str, head: &str, body: Vec<u8>) -> Reply {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let name = path.trim_start_matches("/account/vault").trim_matches('/');
        if query.contains("comp=list") {
            return self.list(query);
        }
        if method == "PUT" {
            return self.put(name, query, head, body);
        }
        let Some(blob) = self.objects.get(name).cloned() else {
            return Reply::refused(404, "BlobNotFound");
        };
        if header(head, "if-match").is_some_and(|tag| tag != blob.e_tag()) {
            return Reply::refused(412, "ConditionNotMet");
        }
        if method == "DELETE" {
            self.objects.remove(name);
            return Reply::empty(202);
        }
        let mut headers = vec![
            ("etag".to_owned(), blob.e_tag()),
            ("last-modified".to_owned(), http_date(written())),
        ];
        headers.extend(blob.meta.clone());
        let content = blob.content;
        if method == "HEAD" {
            headers.push(("content-length".to_owned(), content.len().to_string()));
            return Reply {
                status: 200,
                headers,
                body: Vec::new(),
            };
        }
        let Some((from, to)) = range(head, content.len()) else {
            return Reply {
                status: 200,
                headers,
                body: content,
            };
        };
        let told = format!("bytes {from}-{}/{}", to - 1, content.len());
        headers.push(("content-range".to_owned(), told));
        Reply {
            status: 206,
            headers,
            body: content[from..to].to_vec(),
        }
    }

    fn put(&mut self, name: &str, query: &str, head: &str, body: Vec<u8>) -> Reply {
        if query.contains("comp=block&") {
            let block = (name.to_owned(), parameter(query, "blockid").unwrap());
            self.blocks.insert(block, body);
            return Reply::empty(201);
        }
        let there = self.objects.get(name);
        if there.is_some() && header(head, "if-none-match") == Some("*") {
            return Reply::refused(409, "BlobAlreadyExists");
        }
        if let Some(tag) = header(head, "if-match")
            && there.is_none_or(|blob| blob.e_tag() != tag)
        {
            return Reply::refused(412, "ConditionNotMet");
        }
        let mut content = body;
        if query.contains("comp=blocklist") {
            let list = String::from_utf8(content).unwrap();
            content = Vec::new();
            for part in list.split("<Uncommitted>").skip(1) {
                let (id, _) = part.split_once('<').unwrap();
                let block = self.blocks.remove(&(name.to_owned(), id.to_owned()));
                let Some(block) = block else {
                    return Reply::refused(400, "InvalidBlockList");
                };
                content.extend(block);
            }
            self.blocks.retain(|(of, _), _| of != name);
        }
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let meta = lines.filter(|(name, _)| name.to_lowercase().starts_with("x-ms-meta-"));
        let meta = meta.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let version = self.write(name, content, meta.collect());
        Reply {
            headers: vec![
                ("etag".to_owned(), e_tag(version)),
                ("last-modified".to_owned(), http_date(written())),
            ],
            ..Reply::empty(201)
        }
    }

    fn write(&mut self, name: &str, content: Vec<u8>, meta: Vec<(String, String)>) -> usize {
        self.versions += 1;
        let blob = Blob {
            content,
            version: self.versions,
            meta,
        };
        self.objects.insert(name.to_owned(), blob);
        self.versions
    }

    fn list(&self, query: &str) -> Reply {
        let prefix = parameter(query, "prefix").unwrap_or_default();
        let from: usize = parameter(query, "marker").map_or(0, |marker| marker.parse().unwrap());
        let found = self
            .objects
            .iter()
            .filter(|(name, _)| name.starts_with(&prefix));
        let mut found = found.skip(from);
        let mut body =
            String::from(r#"<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>"#);
        for (name, blob) in found.by_ref().take(PAGE) {
            let (date, length) = (http_date(written()), blob.content.len());
            let tag = format!("0x{}", blob.version);
            body.push_str(&format!(
                "<Blob><Name>{name}</Name><Properties><Last-Modified>{date}</Last-Modified><Etag>{tag}</Etag>\
                 <Content-Length>{length}</Content-Length><Content-Type>application/octet-stream</Content-Type>\
                 </Properties></Blob>"
            ));
        }
        let next = found
            .next()
            .map_or_else(String::new, |_| (from + PAGE).to_string());
        body.push_str(&format!(
            "</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>"
        ));
        Reply {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/xml".to_owned())],
            body: body.into_bytes(),
        }
    }
}

/// When all objects were stored.
fn written() -> Timestamp {
    "2026-11-01T01:00:00Z".parse().unwrap()
}

fn http_date(time: Timestamp) -> String {
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .unwrap()
}

/// The parameter `name` of a query.
fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let (_, value) = lines.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value.trim())
}

/// The bytes that were asked for.
fn range(head: &str, length: usize) -> Option<(usize, usize)> {
    let value = header(head, "range").or_else(|| header(head, "x-ms-range"))?;
    let (from, to) = value.trim_start_matches("bytes=").split_once('-')?;
    let to: usize = to.parse().map_or(length, |last: usize| last + 1);
    Some((from.parse().ok()?, to.min(length)))
}

/// A request: its head and its body.
fn read_request(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut piece = [0; 1 << 16];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let count = client.read(&mut piece)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
    let mut body = bytes.split_off(end);
    let read = body.len();
    body.resize(length, 0);
    client.read_exact(&mut body[read..])?;
    Ok((head, body))
}
