//! The HTTP server: sockets on 127.0.0.1, bodies read whole, connections that can be cut.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::control;
use crate::gate::{Gate, Incoming, Outcome, lock};
use crate::http::{ApiError, Body, Reply};
use crate::world::World;

/// Largest request body that is read: the service's 500 MB for a workspace file, and a form around it.
const MAX_BODY: usize = 520 * 1024 * 1024;

/// Serves until the future `stop` ends.
pub(crate) async fn serve(
    listener: TcpListener,
    gate: Arc<Gate>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = axum::Router::new()
        .fallback(answer)
        .with_state(gate)
        .into_make_service_with_connect_info::<Connection>();
    let serve = axum::serve(Cuttable(listener), service);
    tokio::select! {
        result = serve => result,
        () = stop => Ok(()),
    }
}

async fn answer(
    State(gate): State<Arc<Gate>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    request: Request,
) -> Response<axum::body::Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or("").to_owned();
    let method = parts.method.as_str().to_owned();
    let body = match axum::body::to_bytes(body, MAX_BODY).await {
        Ok(body) => body,
        Err(error) => return respond(&gate, &ApiError::bad_request(error.to_string()).into()),
    };
    if let Some(name) = path.strip_prefix("/__sim/") {
        return respond(&gate, &control::handle(&gate, &method, name, &query, &body));
    }
    let listing = match gate.start_listing(&path) {
        Ok(listing) => listing,
        Err(refusal) => {
            let outcome = Outcome::Answer(refusal);
            gate.record(&method, &path, &query, &outcome);
            return finish(&gate, &connection, outcome).await;
        }
    };
    let latency = *lock(&gate.latency);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let outcome = gate.process(Incoming {
        method,
        path,
        query,
        headers: parts.headers,
        body,
    });
    drop(listing);
    finish(&gate, &connection, outcome).await
}

async fn finish(
    gate: &Gate,
    connection: &Connection,
    outcome: Outcome,
) -> Response<axum::body::Body> {
    match outcome {
        Outcome::Answer(reply) => respond(gate, &reply),
        Outcome::Reset => {
            connection.cut();
            Response::new(axum::body::Body::empty())
        }
        // Ends with the connection, which the client closes.
        Outcome::Hang => std::future::pending().await,
    }
}

fn respond(gate: &Gate, reply: &Reply) -> Response<axum::body::Body> {
    let mut response = Response::new(axum::body::Body::from(reply.bytes()));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    let content_type = match &reply.body {
        Body::Empty => None,
        Body::Json(_) => Some("application/json"),
        Body::Raw(content_type, _) => Some(*content_type),
    };
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let (workspace_id, request_id, date) = {
        let mut world = lock(&gate.world);
        (world.workspace_id.clone(), world.request_id(), date(&world))
    };
    let own = [
        ("x-databricks-org-id", workspace_id),
        ("x-request-id", request_id),
        ("date", date),
    ];
    for (name, value) in own.iter().chain(&reply.headers) {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(*name, value);
        }
    }
    response
}

/// The workspace's clock as the header `Date` shows it. A test may have moved it where no date is: then there is none.
fn date(world: &World) -> String {
    jiff::Timestamp::from_second(world.clock.now_s())
        .ok()
        .and_then(|now| {
            jiff::fmt::rfc2822::DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&now)
                .ok()
        })
        .unwrap_or_default()
}

/// The handle on one connection that a request carries.
#[derive(Clone, Debug)]
struct Connection(Arc<AtomicBool>);

impl Connection {
    /// From now on every write fails, so the connection ends without an answer.
    fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Connected<IncomingStream<'_, Cuttable>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Cuttable>) -> Self {
        Self(Arc::clone(&stream.io().cut))
    }
}

/// A listener whose connections can be cut.
struct Cuttable(TcpListener);

impl Listener for Cuttable {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        let (stream, from) = Listener::accept(&mut self.0).await;
        // Replies are small: without this the client waits for a delayed acknowledgement. A failure only costs time.
        let _ = stream.set_nodelay(true);
        let wire = Wire {
            stream,
            cut: Arc::new(AtomicBool::new(false)),
        };
        (wire, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// One connection.
struct Wire {
    stream: TcpStream,
    cut: Arc<AtomicBool>,
}

impl Wire {
    fn check(&self) -> io::Result<()> {
        if !self.cut.load(Ordering::SeqCst) {
            return Ok(());
        }
        // So that the peer sees a reset and not an orderly end; where that is refused it sees the end.
        let _ = self.stream.set_zero_linger();
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Err(error) = self.check() {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Err(error) = self.check() {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
