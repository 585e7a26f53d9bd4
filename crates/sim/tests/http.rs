//! The simulator over real connections: what a client meets besides the handlers.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use lifeboat_sim::{Action, Fault, FaultKind, Options, Script, Sim, When};

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// One request on a connection of its own; an error when the connection ends without an answer.
fn send(sim: &Sim, method: &str, target: &str, token: &str, body: &str) -> std::io::Result<Answer> {
    let address = sim.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let authorization = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\n{authorization}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or(ErrorKind::UnexpectedEof)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or(ErrorKind::InvalidData)?;
    Ok(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

fn get(sim: &Sim, target: &str) -> Answer {
    send(sim, "GET", target, sim.token(), "").expect("an answer")
}

fn post(sim: &Sim, target: &str, body: &str) -> Answer {
    send(sim, "POST", target, sim.token(), body).expect("an answer")
}

fn sim() -> Sim {
    Sim::start(Options::default()).expect("a free port")
}

const LIST: &str = "/api/2.0/workspace/list?path=/";
const MKDIRS: &str = "/api/2.0/workspace/mkdirs";
const SHARED: &str = "/api/2.0/workspace/list?path=/Shared";

#[test]
fn identity_and_bad_credentials() {
    let sim = sim();
    let me = get(&sim, "/api/2.0/preview/scim/v2/Me");
    assert_eq!(
        (me.status, me.header("x-databricks-org-id")),
        (200, Some(sim.workspace_id()))
    );
    assert!(me.body.contains("admin@example.com"));
    let bad = send(&sim, "GET", LIST, "wrong", "").expect("an answer");
    assert_eq!(
        (bad.status, bad.body.as_str()),
        (
            403,
            r#"{"error_code":403,"message":"Invalid access token."}"#
        )
    );
    assert_eq!(
        send(&sim, "GET", LIST, "", "").expect("an answer").status,
        401
    );
    sim.set_login_page(true);
    let page = get(&sim, LIST);
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
}

#[test]
fn an_unknown_route_is_answered_and_recorded() {
    let sim = sim();
    let answer = get(&sim, "/api/2.0/no-such-thing/list?a=b%20c");
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("ENDPOINT_NOT_FOUND"));
    let unhandled = sim.unhandled();
    assert_eq!((unhandled.len(), unhandled[0].query.as_str()), (1, "a=b c"));
    get(&sim, LIST);
    assert_eq!(sim.unhandled().len(), 1);
    assert_eq!(
        sim.calls()
            .iter()
            .map(|call| call.status)
            .collect::<Vec<_>>(),
        [404, 200]
    );
}

#[test]
fn faults_before_and_after_the_effect() {
    let sim = sim();
    let fault = Fault {
        times: 1,
        ..Fault::status("POST", "*/mkdirs", 503)
    };
    sim.fault(Fault {
        retry_after: Some("7".to_owned()),
        ..fault.clone()
    });
    let before = post(&sim, MKDIRS, r#"{"path":"/Shared/a"}"#);
    assert_eq!(
        (before.status, before.header("retry-after")),
        (503, Some("7"))
    );
    assert_eq!(get(&sim, SHARED).body, "{}");
    sim.fault(Fault {
        when: When::After,
        ..fault
    });
    assert_eq!(post(&sim, MKDIRS, r#"{"path":"/Shared/a"}"#).status, 503);
    assert!(get(&sim, SHARED).body.contains("/Shared/a"));
    assert_eq!(post(&sim, MKDIRS, r#"{"path":"/Shared/b"}"#).status, 200);
}

#[test]
fn a_reset_connection_gives_no_answer_and_a_kill_lasts() {
    let sim = sim();
    sim.fault(Fault {
        kind: FaultKind::Reset,
        when: When::After,
        times: 1,
        path: "*/mkdirs".to_owned(),
        ..Fault::default()
    });
    let Err(error) = send(&sim, "POST", MKDIRS, sim.token(), r#"{"path":"/Shared/a"}"#) else {
        panic!("answered")
    };
    assert!(
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof
        ),
        "{error}"
    );
    assert!(
        get(&sim, SHARED).body.contains("/Shared/a"),
        "the effect stays"
    );
    sim.fault(Fault {
        kind: FaultKind::Kill,
        skip: 2,
        ..Fault::default()
    });
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    sim.on_call(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!((get(&sim, LIST).status, get(&sim, LIST).status), (200, 200));
    for _ in 0..3 {
        assert!(send(&sim, "GET", LIST, sim.token(), "").is_err());
    }
    assert_eq!(calls.load(Ordering::SeqCst), 5);
    sim.clear_faults();
    assert_eq!(get(&sim, LIST).status, 200);
}

#[test]
fn the_first_read_after_a_write_may_be_stale() {
    let sim = sim();
    sim.fault(Fault {
        kind: FaultKind::Stale,
        ..Fault::default()
    });
    assert_eq!(get(&sim, SHARED).body, "{}");
    post(&sim, MKDIRS, r#"{"path":"/Shared/a"}"#);
    assert_eq!(get(&sim, SHARED).body, "{}");
    assert!(get(&sim, SHARED).body.contains("/Shared/a"));
}

#[test]
fn the_twenty_first_concurrent_listing_is_refused_without_retry_after() {
    let sim = sim();
    sim.set_limits(true);
    sim.set_latency(Duration::from_millis(1500));
    let ready = Barrier::new(25);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..25)
            .map(|_| {
                scope.spawn(|| {
                    ready.wait();
                    get(&sim, LIST)
                })
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("no panic"))
            .collect()
    });
    let refused: Vec<&Answer> = answers
        .iter()
        .filter(|answer| answer.status == 429)
        .collect();
    assert_eq!(refused.len(), 5);
    assert!(
        refused
            .iter()
            .all(|answer| answer.header("retry-after").is_none())
    );
    assert!(
        refused[0]
            .body
            .contains("exceeded the concurrent limit of 20 requests")
    );
}

#[test]
fn a_rate_is_refused_with_retry_after() {
    let sim = sim();
    sim.set_rate("scim-read", 2, Duration::from_secs(60));
    let me = "/api/2.0/preview/scim/v2/Me";
    assert_eq!((get(&sim, me).status, get(&sim, me).status), (200, 200));
    let refused = get(&sim, me);
    assert_eq!(refused.status, 429);
    let wait: u64 = refused
        .header("retry-after")
        .and_then(|text| text.parse().ok())
        .expect("seconds");
    assert!((1..=60).contains(&wait));
    assert_eq!(get(&sim, SHARED).status, 200, "another family");
}

#[test]
fn a_script_moves_an_object_during_the_walk() {
    let sim = sim();
    post(&sim, MKDIRS, r#"{"path":"/Shared/a/x"}"#);
    post(&sim, MKDIRS, r#"{"path":"/Shared/b"}"#);
    sim.script(Script {
        method: "GET".to_owned(),
        path: "*/workspace/list".to_owned(),
        query: "path=/Shared/a".to_owned(),
        skip: 0,
        action: Action::Move {
            from: "/Shared/a/x".to_owned(),
            to: "/Shared/b/x".to_owned(),
        },
    });
    let first = get(&sim, "/api/2.0/workspace/list?path=/Shared/a");
    let second = get(&sim, "/api/2.0/workspace/list?path=/Shared/b");
    let id = |text: &str| {
        let body: serde_json::Value = serde_json::from_str(text).expect("JSON");
        body["objects"][0]["object_id"].to_string()
    };
    assert_eq!(id(&first.body), id(&second.body), "one object at two paths");
}

#[test]
fn the_control_panel_needs_no_token() {
    let sim = sim();
    let control = |method: &str, name: &str, body: &str| {
        let answer = send(&sim, method, &format!("/__sim/{name}"), "", body).expect("an answer");
        (answer.status, answer.body)
    };
    assert_eq!(
        control("POST", "faults", r#"{"path":"*","status":500}"#).0,
        200
    );
    assert_eq!(get(&sim, LIST).status, 500);
    assert_eq!(control("DELETE", "faults", "").0, 200);
    assert_eq!(control("POST", "faults", r#"{"status":5}"#).0, 400);
    let now = |text: &str| -> i64 {
        let body: serde_json::Value = serde_json::from_str(text).expect("JSON");
        body["now_ms"].as_i64().expect("a number")
    };
    let before = now(&control("GET", "clock", "").1);
    assert_eq!(
        control("POST", "clock", r#"{"advance_seconds":3600,"rate":0}"#).0,
        200
    );
    assert!(now(&control("GET", "clock", "").1) >= before + 3_600_000);
    let (status, dump) = control("GET", "dump", "");
    assert!(status == 200 && dump.starts_with('{'));
    assert_eq!(
        control("POST", "switches", r#"{"dbfs_disabled":true}"#).0,
        200
    );
    assert_eq!(get(&sim, "/api/2.0/dbfs/list?path=/").status, 403);
    assert!(control("GET", "calls", "").1.contains("/api/2.0/dbfs/list"));
    assert_eq!(control("DELETE", "calls", "").0, 200);
    assert_eq!(control("GET", "calls", "").1, "[]");
    assert_eq!(control("POST", "nonsense", "").0, 400);
    assert_eq!(control("POST", "fill", r#"{"name":"no-such-fill"}"#).0, 400);
    assert_eq!(control("POST", "fill", r#"{"name":"small"}"#).0, 200);
    let (status, again) = control("POST", "fill", r#"{"name":"small"}"#);
    assert!(status == 400 && again.contains("not empty"));
}

#[test]
fn ids_of_two_workspaces_differ_and_a_dropped_one_is_gone() {
    let (a, b) = (
        sim(),
        Sim::start(Options::workspace("1111111111111111")).expect("a free port"),
    );
    assert_ne!(get(&a, LIST).body, get(&b, LIST).body);
    let address = a.url().replace("http://", "");
    drop(a);
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(get(&b, LIST).status, 200);
}
