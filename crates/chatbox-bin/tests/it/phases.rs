//! The phases of a shutdown, and what a second signal does to them (contract section 5).

use crate::harness::{Finished, Frame, INTERRUPT, Peer, Server, Setup, TERMINATE, get, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn sigint_leaves_the_lame_duck_out() {
    let server = Setup::new().start().await;
    let peer = server.connect("alice").await;
    server.signal(INTERRUPT);
    peer.finish().await.slot();
    let finished = server.wait().await;
    let report = finished.report();
    assert_eq!((&report["outcome"], &report["signal"]), (&json!("clean"), &json!("SIGINT")), "{report}");
    assert_eq!(names(report), ["draining", "flushing"]);
    assert_eq!(finished.code(), 0);
    finished.assert_log_of_a_drain(1);
}

#[tokio::test]
async fn sigint_during_the_lame_duck_forces_the_end_like_any_second_signal() {
    let server = patient().start().await;
    let peer = server.connect("alice").await;
    server.signal(TERMINATE);
    lame_duck(&server).await;
    server.signal(INTERRUPT);
    let finished = server.wait().await;
    assert_forced(&finished, 130);
    finished.assert_log_of_a_drain(1);
    drop(peer);
}

#[tokio::test]
async fn the_lame_duck_serves_open_connections_and_lasts_when_the_last_one_has_closed() {
    let server = patient().start().await;
    let (mut alice, mut bob) = (server.connect("alice").await, server.connect("bob").await);
    bob.send(r#"{"type":"join","room":"lobby"}"#).await;
    bob.until("joined").await;
    server.signal(TERMINATE);
    lame_duck(&server).await;

    alice.send(r#"{"type":"join","room":"lobby"}"#).await;
    let joined = alice.message().await;
    assert_eq!((&joined["type"], &joined["room"], &joined["head"]), (&json!("joined"), &json!("lobby"), &json!(0)));
    alice.send(r#"{"type":"send","room":"lobby","id":"1","body":"still here"}"#).await;
    assert_eq!(alice.until("ack").await["seq"], 1);
    assert_eq!(bob.until("message").await["body"], "still here");
    let history = server.get("/rooms/lobby/messages?user=alice").await.json();
    assert_eq!(history["messages"][0]["body"], "still here");

    for mut peer in [alice, bob] {
        peer.close(1000).await;
        peer.polite = false;
        peer.finish().await.assert_closed(1000, "");
    }
    until("both to be gone", async || {
        get(server.at, "/metrics").await.unwrap().body.contains("\nchatbox_connections_active 0\n")
    })
    .await;
    // Load balancers still send newcomers: they are answered.
    lame_duck(&server).await;
    let newcomer = Peer::handshake(server.at, &server.ws("carol"), "").await.err().unwrap();
    newcomer.refusal(503, "draining");
    assert_eq!(newcomer.header("retry-after"), Some("1"));
    server.signal(INTERRUPT);
    let finished = server.wait().await;
    let report = finished.report();
    assert_eq!(names(report), ["lame_duck", "flushing"]);
    assert_eq!(
        (&report["connections"]["closed"], &report["connections"]["refused"]),
        (&json!(2), &json!(1)),
        "{report}"
    );
    finished.assert_log_of_a_drain(0);
}

#[tokio::test]
async fn a_second_sigterm_in_the_lame_duck_cuts_flushes_and_exits_143() {
    let server = patient().start().await;
    let mut peers = [server.connect("alice").await, server.connect("bob").await];
    for (index, peer) in peers.iter_mut().enumerate() {
        for id in 0..50 {
            peer.send(&format!(r#"{{"type":"send","room":"lobby","id":"{index}-{id}","body":"x"}}"#)).await;
        }
    }
    peers[0].until("ack").await;
    server.signal(TERMINATE);
    lame_duck(&server).await;
    repeated(&server, TERMINATE).await;
    let finished = server.wait().await;
    assert_forced(&finished, 143);
    let report = finished.report();
    assert_eq!(names(report), ["lame_duck", "flushing"]);
    assert_eq!(report["connections"]["aborted"], 2, "{report}");
    finished.assert_log_of_a_drain(2);
    assert_stored(&finished).await;
}

#[tokio::test]
async fn a_second_sigint_in_the_drain_cuts_flushes_and_exits_130() {
    let server = patient().start().await;
    let mut mute = server.connect("mute").await;
    mute.polite = false;
    mute.send(r#"{"type":"send","room":"lobby","id":"1","body":"x"}"#).await;
    mute.until("ack").await;
    server.signal(INTERRUPT);
    mute.until("goodbye").await;
    assert_eq!(mute.next().await, Ok(Frame::Close(1001, "server shutting down".into())));
    repeated(&server, INTERRUPT).await;
    let finished = server.wait().await;
    assert_forced(&finished, 130);
    assert_eq!(names(finished.report()), ["draining", "flushing"]);
    assert_eq!(finished.report()["connections"]["aborted"], 1);
    finished.assert_log_of_a_drain(1);
    assert_stored(&finished).await;
}

#[tokio::test]
async fn a_second_signal_before_the_last_turn_still_writes_a_line_for_each_connection() {
    // One connection a second: after the first turn, nine are waiting for theirs.
    let server = patient().set("shutdown.close_rate=1").start().await;
    let mut peers = Vec::new();
    for number in 0..10 {
        peers.push(server.connect(&format!("user-{number}")).await);
    }
    server.signal(INTERRUPT);
    let mut server = server;
    server.message("Closing WebSocket connection").await;
    server.signal(TERMINATE);
    let finished = server.wait().await;
    assert_forced(&finished, 143);
    finished.assert_log_of_a_drain(10);
    drop(peers);
}

/// A SQLite store, and phases far longer than the tests.
fn patient() -> Setup {
    Setup::over("sqlite:chat.db").args([
        "--set",
        "shutdown.grace=200s",
        "--set",
        "shutdown.lame_duck=60s",
        "--set",
        "shutdown.drain=60s",
        "--set",
        "shutdown.close_handshake=60s",
    ])
}

/// Sends a signal that came before again, late enough to be a second one.
async fn repeated(server: &Server, signal: Signal) {
    // Not a wait for anything: within a second it is the same request.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    server.signal(signal);
}

/// Waits until readiness says so.
async fn lame_duck(server: &Server) {
    until("the lame duck", async || {
        let ready = get(server.at, &format!("{}/readyz", server.prefix)).await.unwrap();
        ready.status == 503 && ready.json()["phase"] == "lame_duck"
    })
    .await;
}

fn names(report: &Value) -> Vec<&str> {
    report["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap()).collect()
}

fn assert_forced(finished: &Finished, code: i32) {
    assert_eq!(finished.code(), code, "{}", finished.stderr);
    assert_eq!(finished.report()["outcome"], "forced");
    assert_eq!(finished.report()["participants"], json!([]));
}

/// What the report counts as acked is what a restarted server finds in the store.
async fn assert_stored(finished: &Finished) {
    let acked = finished.report()["messages"]["acked"].clone();
    assert_ne!(acked, 0);
    let server = finished.setup.start().await;
    assert_eq!(server.get("/rooms/lobby/messages?user=x").await.json()["head"], acked);
}

#[tokio::test]
async fn one_stop_that_arrives_as_two_signals_is_one_stop() {
    let server = Setup::new().set("shutdown.lame_duck=500ms").start().await;
    let peer = server.connect("alice").await;
    server.signal(TERMINATE);
    lame_duck(&server).await;
    server.signal(TERMINATE);
    peer.finish().await.slot();
    let finished = server.wait().await;
    assert_eq!((finished.code(), &finished.report()["outcome"]), (0, &json!("clean")));
    finished.assert_log_of_a_drain(1);
}
