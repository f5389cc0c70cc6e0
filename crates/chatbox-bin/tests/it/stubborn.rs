//! Clients that do not take part in the close handshake: they cost a bounded time, and other clients nothing.

use crate::harness::{Finished, INTERRUPT, Peer, Setup};
use serde_json::json;
use tokio::net::TcpSocket;

#[tokio::test]
async fn a_client_that_never_answers_the_close_costs_at_most_its_close_handshake() {
    let server = Setup::new().set("shutdown.close_handshake=500ms").start().await;
    let mut mute = server.connect("mute").await;
    mute.polite = false;
    let others = [server.connect("alice").await, server.connect("bob").await];
    server.signal(INTERRUPT);
    for other in others {
        other.finish().await.slot();
    }
    mute.finish().await.slot();
    let finished = server.wait().await;
    assert_deadline(&finished, 2);
}

#[tokio::test]
async fn a_client_that_never_answers_and_goes_on_sending_is_not_reset() {
    let server = Setup::new().set("shutdown.close_handshake=500ms").start().await;
    let mut peer = server.connect("alice").await;
    peer.polite = false;
    let flood = flood(&peer);
    peer.until("error").await;
    server.signal(INTERRUPT);
    peer.finish().await.slot();
    flood.abort();
    assert_deadline(&server.wait().await, 0);
}

#[tokio::test]
async fn a_client_that_goes_on_sending_behind_its_close_gets_ours_and_no_reset() {
    let server = Setup::new().start().await;
    let mut peer = server.connect("alice").await;
    let flood = flood(&peer);
    peer.until("error").await;
    server.signal(INTERRUPT);
    peer.finish().await.slot();
    flood.abort();
    let finished = server.wait().await;
    assert_eq!(finished.report()["connections"]["closed"], 1, "{}", finished.report());
    assert_eq!(finished.report()["outcome"], "clean");
    assert_eq!(finished.code(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_other_clients_nothing() {
    let setup = Setup::new().set("limits.messages_per_second=100000").set("limits.burst=100000");
    let server = setup.set("shutdown.close_handshake=1s").start().await;
    // With so small a window, what it does not read stays with the server.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(server.at).await.unwrap();
    let mut stalled = Peer::over(stream, &server.ws("stalled"), "").await.unwrap();
    let (mut alice, mut bob) = (server.connect("alice").await, server.connect("bob").await);
    for peer in [&mut stalled, &mut bob] {
        peer.send(r#"{"type":"join","room":"lobby"}"#).await;
        peer.until("joined").await;
    }
    let body = "x".repeat(60_000);
    for id in 0..200 {
        alice.send(&format!(r#"{{"type":"send","room":"lobby","id":"{id}","body":"{body}"}}"#)).await;
        alice.until("ack").await;
        assert_eq!(bob.until("message").await["seq"], id + 1);
    }
    server.signal(INTERRUPT);
    for peer in [alice, bob] {
        let farewell = peer.finish().await;
        assert_eq!(farewell.texts.len(), 1, "all else was delivered");
        farewell.slot();
    }
    assert_deadline(&server.wait().await, 2);
    drop(stalled);
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_close_is_no_loss() {
    let server = Setup::new().start().await;
    let (gone, stays) = (server.connect("gone").await, server.connect("stays").await);
    drop(gone);
    server.signal(INTERRUPT);
    stays.finish().await.slot();
    let finished = server.wait().await;
    assert_eq!(finished.report()["outcome"], "clean");
    assert_eq!(finished.code(), 0);
}

#[tokio::test]
async fn a_half_sent_request_does_not_hold_up_the_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = Setup::new().start().await;
    let mut half = tokio::net::TcpStream::connect(server.at).await.unwrap();
    half.write_all(b"GET /chat/ HTTP/1.1\r\nHost:").await.unwrap();
    let mut idle = tokio::net::TcpStream::connect(server.at).await.unwrap();
    // Answered: the connections before this one have been accepted.
    server.get("/healthz").await;
    let finished = server.stop(INTERRUPT).await;
    assert_eq!((finished.code(), &finished.report()["outcome"]), (0, &json!("clean")));
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
}

/// Sends messages until aborted or unable to.
fn flood(peer: &Peer) -> tokio::task::JoinHandle<()> {
    use tokio::io::AsyncWriteExt;
    let output = peer.output();
    let message = crate::harness::frame(0x81, br#"{"type":"shout"}"#);
    tokio::spawn(async move { while output.lock().await.write_all(&message).await.is_ok() {} })
}

/// One connection was cut in time, `closed` were closed properly, and the drain did not take all its budget for it.
fn assert_deadline(finished: &Finished, closed: u64) {
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let report = finished.report();
    assert_eq!(report["outcome"], "deadline", "{report}");
    assert_eq!((&report["connections"]["timed_out"], &report["connections"]["closed"]), (&json!(1), &json!(closed)));
    let drain = &report["phases"][0];
    assert!(drain["name"] == "draining" && drain["duration_ms"].as_u64().unwrap() < 12_000, "{report}");
    finished.assert_log_of_a_drain(usize::try_from(closed).unwrap() + 1);
}
