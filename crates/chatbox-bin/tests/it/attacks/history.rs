//! Requests for history: as fast as possible, and without reading the answers.

use super::Attack;
use super::costs::Load;
use super::dialogue::{counted, exchange};
use super::exhaustion::{eager, little_window};
use super::harness::{Case, case, under};
use crate::harness::{Server, get, until};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

/// How many pages of one user are held, and how many in all.
const OF_USER: usize = 4;
const IN_ALL: usize = 64;

/// How many requests in a row have to be refused.
const PROBES: usize = 50;

pub(super) fn all() -> Vec<Attack> {
    let heads = |heads| Load { heads, senders: 1, ..Load::default() };
    vec![
        Box::pin(under(eager("sqlite:chat.db"), Load { pages: 4, ..heads(50) }, async |server| {
            vec![flood(server).await]
        })),
        Box::pin(under(eager("sqlite:chat.db"), Load { pages: 64, ..heads(70) }, async |server| unread(server).await)),
    ]
}

/// A room with so many messages of 60,000 bytes: a page of it comes to a megabyte, if there are as many.
async fn fill(server: &Server, messages: usize) {
    let mut writer = server.connect("writer").await;
    let body = "x".repeat(60_000);
    for id in 0..messages {
        writer.send(&format!(r#"{{"type":"send","room":"lobby","id":"{id}","body":"{body}"}}"#)).await;
        writer.until("ack").await;
    }
}

fn path(user: &str, limit: usize) -> String {
    format!("/chat/rooms/lobby/messages?limit={limit}&user={user}")
}

async fn flood(server: &Server) -> Case {
    const CONNECTIONS: usize = 50;
    const EACH: usize = 100;
    fill(server, 1).await;
    let at = server.at;
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n", path("mallory", 1_000));
    let requests = [format!("{request}\r\n").repeat(EACH - 1), format!("{request}Connection: close\r\n\r\n")].concat();
    let clients = [(); CONNECTIONS].map(|()| {
        let requests = requests.clone();
        tokio::task::spawn_local(async move { exchange(at, requests.as_bytes()).await })
    });
    let mut answers = BTreeMap::new();
    for client in clients {
        for (answer, count) in counted(&client.await.unwrap(), false) {
            *answers.entry(answer).or_insert(0) += count;
        }
    }
    let refused = format!(r#"chatbox_connections_refused_total{{reason="history_limit"}} {}"#, answers["429 `busy`"]);
    let metrics = get(at, "/metrics").await.unwrap().body;
    assert!(metrics.lines().any(|line| line == refused), "{refused}\n{metrics}");
    let kinds: Vec<_> = answers.keys().map(String::as_str).collect();
    case(
        "5,000 requests of one user for history, over 50 connections",
        "4 are served at a time, the others refused: 429",
        format!("{} answers: {}", thousands(answers.values().sum()), kinds.join(" or ")),
    )
}

fn thousands(number: usize) -> String {
    format!("{},{:03}", number / 1_000, number % 1_000)
}

async fn unread(server: &Server) -> Vec<Case> {
    fill(server, 20).await;
    let (at, mut mallory) = (server.at, JoinSet::new());
    for _ in 0..OF_USER {
        mallory.spawn_local(stall(at, "mallory-0".to_owned()));
    }
    until("a user to be refused", async || all_are_busy(at, "mallory-0").await).await;
    let other = get(at, &path("alice", 1_000)).await.unwrap().status;
    let one = case(
        "a user who asks for pages of history without end over 4 connections, and reads none",
        "4 are held, more are refused: 429; others read theirs",
        format!("{PROBES} more: 429 `busy`; another user: {other}"),
    );
    for user in 1..IN_ALL / OF_USER {
        for _ in 0..OF_USER {
            mallory.spawn_local(stall(at, format!("mallory-{user}")));
        }
    }
    until("every request to be refused", async || all_are_busy(at, "alice").await).await;
    drop(mallory);
    let page = path("alice", 1_000);
    until("a request to be served", async || get(at, &page).await.is_ok_and(|page| page.status == 200)).await;
    let all = case(
        "16 users who do so",
        "64 are held, more are refused: 429; who is in a room goes on; pages are served again once they have gone",
        format!("{PROBES} more: 429 `busy`; 200 once they have gone"),
    );
    vec![one, all]
}

/// Asks and asks, and reads nothing: in the end a page is stuck, whatever the kernel holds, and the server reads no further.
async fn stall(at: SocketAddr, user: String) {
    let mut stream = little_window(at).await;
    let requests = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", path(&user, 1_000)).repeat(16);
    while stream.write_all(requests.as_bytes()).await.is_ok() {}
}

/// Whether request after request of that user is refused: not by chance, but because nothing moves.
async fn all_are_busy(at: SocketAddr, user: &str) -> bool {
    for _ in 0..PROBES {
        let answer = get(at, &path(user, 1)).await.unwrap();
        if answer.status == 200 {
            return false;
        }
        answer.refusal(429, "busy");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    true
}
