//! A proxy in front of a store that can be told to misbehave. One request per connection, over plain sockets: what it
//! does to a connection is the point.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the proxy knows of a request when it decides.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub head: String,
    pub length: usize,
}

impl Request {
    pub fn header(&self, wanted: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        Some(value.trim())
    }

    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.target.contains(part)
    }
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Fate {
    Forward,
    /// The store gets this head instead, with the same body.
    ForwardAs(String),
    /// The store gets it, the client no answer.
    LoseAnswer,
    /// The client is cut off in the middle of its body.
    CutRequest,
    /// The client gets half of the answer.
    CutAnswer,
    /// This answer instead: status, error code, body.
    Answer(u16, &'static str, &'static str),
}

type Rule = dyn FnMut(&Request) -> Fate + Send;

pub struct Proxy {
    pub url: String,
    pub seen: Arc<Mutex<Vec<Request>>>,
}

impl Proxy {
    /// Starts one on a free port in front of `upstream`, such as `http://127.0.0.1:10000`.
    pub fn start(upstream: &str, rule: impl FnMut(&Request) -> Fate + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = upstream.strip_prefix("http://").unwrap().to_owned();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(rule));
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (upstream, rule) = (upstream.clone(), Arc::clone(&rule));
                let noted = Arc::clone(&noted);
                // A connection that breaks is what the tests are about.
                std::thread::spawn(move || drop(serve(client, &upstream, &rule, &noted)));
            }
        });
        Self { url, seen }
    }

    pub fn count(&self, wanted: impl Fn(&Request) -> bool) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|request| wanted(request)).count()
    }
}

fn serve(
    mut client: TcpStream,
    upstream: &str,
    rule: &Mutex<Rule>,
    seen: &Mutex<Vec<Request>>,
) -> std::io::Result<()> {
    let Some((request, mut body)) = read_head(&mut client)? else {
        return Ok(());
    };
    seen.lock().unwrap().push(request.clone());
    let fate = (*rule.lock().unwrap())(&request);
    if matches!(fate, Fate::CutRequest) {
        let mut half = vec![0; (request.length / 2).saturating_sub(body.len())];
        client.read_exact(&mut half)?;
        return client.shutdown(Shutdown::Both);
    }
    let got = body.len();
    body.resize(request.length, 0);
    client.read_exact(&mut body[got..])?;
    if let Fate::Answer(status, code, text) = fate {
        let code = if code.is_empty() {
            String::new()
        } else {
            format!("x-ms-error-code: {code}\r\n")
        };
        let length = text.len();
        let answer = format!(
            "HTTP/1.1 {status} Told\r\n{code}content-length: {length}\r\nconnection: close\r\n\r\n{text}"
        );
        return client.write_all(answer.as_bytes());
    }
    let mut store = TcpStream::connect(upstream)?;
    let head = match &fate {
        Fate::ForwardAs(head) => head,
        _ => &request.head,
    };
    store.write_all(closing(head).as_bytes())?;
    store.write_all(&body)?;
    let mut answer = Vec::new();
    store.read_to_end(&mut answer)?;
    match fate {
        Fate::LoseAnswer => {}
        Fate::CutAnswer => client.write_all(&answer[..answer.len() / 2])?,
        _ => client.write_all(&answer)?,
    }
    client.shutdown(Shutdown::Both)
}

/// The head of a request and what came of its body with it.
fn read_head(client: &mut TcpStream) -> std::io::Result<Option<(Request, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let count = client.read(&mut piece)?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece[..count]);
    };
    let body = bytes.split_off(end);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let mut request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        length: 0,
        head: head.clone(),
    };
    let length = request.header("content-length");
    request.length = length.map_or(0, |length| length.parse().unwrap());
    Ok(Some((request, body)))
}

/// The same head, after which the store closes the connection.
fn closing(head: &str) -> String {
    let mut lines: Vec<&str> = head
        .trim_end()
        .split("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"))
        .collect();
    lines.push("connection: close");
    format!("{}\r\n\r\n", lines.join("\r\n"))
}
