//! A server that gives prepared replies in order and keeps what it was asked. What it does not expect fails the test.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::{Client, ClientOptions, Config, Limits, Secret};

pub(super) const TOKEN: &str = "dapi00112233445566778899";

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a query field, as sent.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Http {
        status: u16,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// The connection is closed without a word.
    Close,
    /// A good reply in two chunks, its length not stated.
    Chunked(&'static str, &'static str),
    /// Half of the promised body, then the connection is closed.
    Cut,
    /// Nothing, for ever.
    Silent,
}

impl Reply {
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Http { headers, .. } = &mut self {
            headers.retain(|(key, _)| key != name);
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

pub(super) fn reply(status: u16, body: &str) -> Reply {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Reply::Http {
        status,
        headers,
        body: body.as_bytes().to_vec(),
    }
}

pub(super) fn ok(body: &str) -> Reply {
    reply(200, body)
}

pub(super) fn html(status: u16, body: &str) -> Reply {
    reply(status, body).header("content-type", "text/html;charset=utf-8")
}

type Handler = dyn Fn(&Seen) -> Option<Reply> + Send + Sync;

pub(super) struct Mock {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    left: Arc<Mutex<VecDeque<Reply>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Mock {
    /// Gives these replies in this order.
    pub(super) async fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let left = Arc::new(Mutex::new(replies.into_iter().collect::<VecDeque<_>>()));
        let queue = Arc::clone(&left);
        Self::start(
            left,
            Arc::new(move |_: &Seen| queue.lock().unwrap().pop_front()),
        )
        .await
    }

    /// Gives what the function says.
    pub(super) async fn with(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(
            Arc::default(),
            Arc::new(move |seen: &Seen| Some(handler(seen))),
        )
        .await
    }

    async fn start(left: Arc<Mutex<VecDeque<Reply>>>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&log), Arc::clone(&handler)));
            }
        });
        Self {
            url,
            seen,
            left,
            connections,
            task,
        }
    }

    /// A client of this server without limits of its own.
    pub(super) fn client(&self) -> Client {
        self.client_with(options())
    }

    pub(super) fn client_with(&self, options: ClientOptions) -> Client {
        let config = Config::with_token(&self.url, Secret::new(TOKEN)).unwrap();
        Client::new(config, options).unwrap()
    }

    /// Connections accepted so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What was asked; fails if a prepared reply was not fetched.
    pub(super) fn done(&self) -> Vec<Seen> {
        assert_eq!(
            self.left.lock().unwrap().len(),
            0,
            "replies that nobody fetched"
        );
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn options() -> ClientOptions {
    ClientOptions {
        second: Duration::from_millis(1),
        limits: Limits::Off,
        timeout: Duration::from_secs(5),
        retry_budget: Duration::from_secs(5),
        user_agent: "lifeboat-test/1.2.3".to_owned(),
        max_concurrent: 16,
    }
}

async fn serve(stream: TcpStream, log: Arc<Mutex<Vec<Seen>>>, handler: Arc<Handler>) {
    let mut stream = BufReader::new(stream);
    while let Some(seen) = read_request(&mut stream).await {
        let unexpected = || {
            reply(
                599,
                &format!("unexpected request {} {}", seen.method, seen.target),
            )
        };
        let answer = handler(&seen).unwrap_or_else(unexpected);
        log.lock().unwrap().push(seen);
        match answer {
            Reply::Http {
                status,
                headers,
                body,
            } => {
                let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
                headers
                    .iter()
                    .for_each(|(name, value)| write!(head, "{name}: {value}\r\n").unwrap());
                head.push_str("\r\n");
                let bytes = [head.as_bytes(), &body].concat();
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            Reply::Chunked(first, second) => {
                let (one, two) = (first.len(), second.len());
                let body = format!("{one:x}\r\n{first}\r\n{two:x}\r\n{second}\r\n0\r\n\r\n");
                let head = "HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n";
                stream
                    .write_all(format!("{head}{body}").as_bytes())
                    .await
                    .unwrap();
            }
            Reply::Close => return,
            Reply::Cut => {
                let cut = b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{\"a\":";
                stream.write_all(cut).await.unwrap();
                return;
            }
            Reply::Silent => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (
        first.next().unwrap().to_owned(),
        first.next().unwrap().to_owned(),
    );
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut seen = Seen {
        method,
        target,
        headers,
        body: Vec::new(),
    };
    assert!(
        seen.header("transfer-encoding").is_none(),
        "every request states its length"
    );
    let length = seen
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    seen.body = vec![0; length];
    stream.read_exact(&mut seen.body).await.ok()?;
    Some(seen)
}
