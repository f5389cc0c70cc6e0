//! How HTTP connections end: announced by the last answer, and without a reset.

use crate::harness::{Connection, Response, Server, Setup, TERMINATE, get, until};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const HEALTH: &str = "GET /chat/healthz HTTP/1.1\r\nHost: x\r\n\r\n";

fn says_close(answer: &Response) -> bool {
    answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

/// A server whose lame duck lasts, and its operations listener.
async fn patient() -> (Server, std::net::SocketAddr) {
    let ops = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = Setup::new().set("shutdown.grace=10m").set("shutdown.lame_duck=5m");
    (setup.set(&format!("ops_listen={ops}")).start().await, ops)
}

async fn is_lame(server: &Server) -> bool {
    server.get("/readyz").await.json()["phase"] == "lame_duck"
}

#[tokio::test]
async fn from_sigterm_on_each_connection_ends_after_its_next_answer_which_says_so() {
    let (server, ops) = patient().await;
    let peer = server.connect("alice").await;
    let mut connections = Vec::new();
    for at in [server.at, server.at, server.at, ops] {
        let mut connection = Connection::open(at).await.unwrap();
        connection.send(HEALTH).await.unwrap();
        assert!(!says_close(&connection.answer().await.unwrap()));
        connections.push(connection);
    }
    server.signal(TERMINATE);
    until("the lame duck", || is_lame(&server)).await;
    let [get, head, pipelined, ops] = connections.try_into().unwrap_or_else(|_| panic!("four connections"));
    for mut connection in [get, ops] {
        connection.send(HEALTH).await.unwrap();
        let answer = connection.answer().await.unwrap();
        assert!(answer.status == 200 && says_close(&answer), "{answer:?}");
        assert_eq!(connection.rest().await.unwrap(), b"");
    }
    let mut connection = head;
    connection.send("HEAD /chat/healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(says_close(&connection.answer_without_body().await.unwrap()));
    assert_eq!(connection.rest().await.unwrap(), b"");
    // Of requests in a row the first is answered. The others are announced to be lost, and do not destroy the answer.
    let mut connection = pipelined;
    connection.send(HEALTH.repeat(100)).await.unwrap();
    assert!(says_close(&connection.answer().await.unwrap()));
    assert_eq!(connection.rest().await.unwrap(), b"");
    drop(peer);
}

#[tokio::test]
async fn a_kept_alive_connection_of_http_1_0_is_ended_like_any_other() {
    let (server, _) = patient().await;
    let request = "GET /chat/healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let mut connection = Connection::open(server.at).await.unwrap();
    connection.send(request).await.unwrap();
    let answer = connection.answer().await.unwrap();
    assert_eq!(answer.header("connection"), Some("keep-alive"));
    server.signal(TERMINATE);
    until("the lame duck", || is_lame(&server)).await;
    connection.send(request).await.unwrap();
    assert!(connection.answer().await.unwrap().header("connection").is_none_or(|value| value != "keep-alive"));
    assert_eq!(connection.rest().await.unwrap(), b"");
}

#[tokio::test]
async fn an_answer_before_the_end_of_a_body_says_close_and_is_not_destroyed_by_the_rest() {
    let server = Setup::new().start().await;
    for framing in ["Content-Length: 3000000", "Transfer-Encoding: chunked"] {
        let mut connection = Connection::open(server.at).await.unwrap();
        let head = format!("POST /chat/rooms/lobby HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        connection.send(head).await.unwrap();
        let chunk = format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000));
        for _ in 0..20 {
            connection.send(&chunk).await.unwrap();
        }
        let answer = connection.answer().await.unwrap();
        assert!(answer.status == 404 && says_close(&answer), "{framing}: {answer:?}");
        assert_eq!(connection.rest().await.unwrap(), b"", "{framing}");
    }
    // A body that is there is read, and the connection goes on.
    let mut connection = Connection::open(server.at).await.unwrap();
    connection.send(HEALTH).await.unwrap();
    assert!(!says_close(&connection.answer().await.unwrap()));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_and_the_answer_is_not_destroyed() {
    let server = Setup::new().start().await;
    let mut connection = Connection::open(server.at).await.unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}", "x".repeat(8_000_000));
    connection.send(head).await.unwrap();
    let answer = connection.answer().await.unwrap();
    assert!(answer.status == 431 && says_close(&answer), "{answer:?}");
    assert_eq!(connection.rest().await.unwrap(), b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_service_ends_each_new_connection_is_answered_or_refused() {
    for _ in 0..4 {
        let server = Setup::new().set("shutdown.lame_duck=200ms").start().await;
        let at = server.at;
        let request = format!("GET /chat/ws?user=a HTTP/1.1\r\nHost: {at}\r\n\r\n");
        let ended = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..8 {
            let (request, ended) = (request.clone(), Arc::clone(&ended));
            clients.spawn(async move {
                let mut outcomes = BTreeMap::<String, u32>::new();
                while !ended.load(Ordering::Relaxed) {
                    let outcome = match Connection::open(at).await {
                        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                            tokio::time::sleep(Duration::from_millis(1)).await;
                            "refused".to_owned()
                        }
                        Err(error) => format!("connect: {error}"),
                        Ok(mut connection) => match connection.send(&request).await {
                            Ok(()) => match connection.answer().await {
                                Ok(_) => "answered".to_owned(),
                                Err(error) => format!("no answer: {error}"),
                            },
                            Err(error) => format!("send: {error}"),
                        },
                    };
                    *outcomes.entry(outcome).or_default() += 1;
                }
                outcomes
            });
        }
        server.signal(TERMINATE);
        assert_eq!(server.wait().await.code(), 0);
        ended.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::<String, u32>::new();
        for (outcome, count) in clients.join_all().await.into_iter().flatten() {
            *all.entry(outcome).or_default() += count;
        }
        assert!(all.contains_key("answered"), "{all:?}");
        all.retain(|outcome, _| !["answered", "refused"].contains(&&**outcome));
        assert_eq!(all, BTreeMap::new());
    }
}

#[tokio::test]
async fn a_connection_that_was_opened_before_the_end_is_answered() {
    let server = Setup::new().set("shutdown.lame_duck=300ms").start().await;
    let at = server.at;
    let mut early = Connection::open(at).await.unwrap();
    server.signal(TERMINATE);
    until("the lame duck", async || get(at, "/chat/readyz").await.unwrap().status == 503).await;
    early.send(HEALTH).await.unwrap();
    let answer = early.answer().await.unwrap();
    assert!(answer.status == 200 && says_close(&answer), "{answer:?}");
    assert_eq!(server.wait().await.code(), 0);
}
