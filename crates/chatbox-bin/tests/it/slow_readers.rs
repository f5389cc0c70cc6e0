//! Clients that are far behind their room when the drain begins: they get what was sent before their turn, as long as its budget lasts.

use crate::harness::{End, Frame, INTERRUPT, Peer, Server, Setup};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpSocket;

const MESSAGES: u64 = 200;

fn setup() -> Setup {
    let setup = Setup::over("sqlite:chat.db").set("limits.messages_per_second=100000");
    setup.set("limits.burst=100000").set("limits.max_message_bytes=40000")
}

/// A member of the room with so small a receive window that messages which it does not read stay with the server.
async fn stalled_member(server: &Server, user: &str) -> Peer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(server.at).await.unwrap();
    let mut peer = Peer::over(stream, &server.ws(user), "").await.unwrap();
    join(&mut peer).await;
    peer
}

async fn join(peer: &mut Peer) {
    peer.send(r#"{"type":"join","room":"lobby"}"#).await;
    peer.until("joined").await;
}

/// Publishes 6.4 MB, 25 times what the room keeps in memory.
async fn publish(server: &Server) {
    let mut writer = server.connect("writer").await;
    let body = "x".repeat(32_000);
    for id in 0..MESSAGES {
        writer.send(&format!(r#"{{"type":"send","room":"lobby","id":"{id}","body":"{body}"}}"#)).await;
        writer.until("ack").await;
    }
    writer.close(1000).await;
    writer.finish().await;
}

/// Waits until this many connections have been told to close.
async fn turns(server: &mut Server, connections: usize) {
    let mut turns = Vec::new();
    for _ in 0..connections {
        let turn = server
            .line(|line| line["message"] == "Closing WebSocket connection" && !turns.contains(&line["connection_id"]))
            .await;
        turns.push(turn["connection_id"].clone());
    }
}

#[tokio::test]
async fn a_reader_that_resumes_after_its_turn_gets_all_that_was_sent_before() {
    // A stalled reader has that long to read on: enough for a busy machine.
    let mut server = setup().set("shutdown.close_handshake=12s").start().await;
    let (mut stalled, mut live) = (Vec::new(), Vec::new());
    for reader in 0..4 {
        stalled.push(stalled_member(&server, &format!("stalled{reader}")).await);
    }
    for reader in 0..16 {
        let mut peer = server.connect(&format!("live{reader}")).await;
        join(&mut peer).await;
        live.push(tokio::spawn(peer.finish()));
    }
    publish(&server).await;
    server.signal(INTERRUPT);
    turns(&mut server, 20).await;
    for peer in stalled.into_iter().map(|peer| tokio::spawn(peer.finish())).chain(live) {
        let log = peer.await.unwrap();
        let seqs = log.texts.iter().map(|text| serde_json::from_str::<Value>(text).unwrap()["seq"].as_u64());
        let seqs: Vec<u64> = seqs.flatten().collect();
        assert_eq!(seqs, (1..=MESSAGES).collect::<Vec<_>>());
        log.slot();
    }
    let finished = server.wait().await;
    assert_eq!((finished.code(), &finished.report()["outcome"]), (0, &json!("clean")), "{}", finished.report());
    assert_eq!(finished.report()["connections"]["closed"], 20);
}

#[tokio::test]
async fn a_reader_too_slow_for_the_budget_is_cut_at_its_end_and_delays_no_other() {
    let mut server = setup().set("shutdown.drain=4s").set("shutdown.close_handshake=3s").start().await;
    let mut slow = stalled_member(&server, "slow").await;
    let mut live = server.connect("live").await;
    join(&mut live).await;
    let live = tokio::spawn(live.finish());
    publish(&server).await;
    server.signal(INTERRUPT);
    turns(&mut server, 2).await;
    // A message in 100 ms: always progress, and too slow for what is left.
    let reading = tokio::spawn(async move {
        loop {
            match slow.next().await {
                Ok(Frame::Close(..)) => panic!("the server can not have written everything"),
                Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(End::Reset | End::Torn | End::Eof) => return,
            }
        }
    });
    live.await.unwrap().slot();
    let finished = server.wait().await;
    reading.await.unwrap();
    let report = finished.report();
    assert_eq!((finished.code(), &report["outcome"]), (0, &json!("deadline")), "{report}");
    let connections = &report["connections"];
    assert_eq!((&connections["aborted"], &connections["closed"]), (&json!(1), &json!(1)), "{report}");
    let drain = &report["phases"][0];
    assert!(
        drain["name"] == "draining" && (3_500..5_000).contains(&drain["duration_ms"].as_u64().unwrap()),
        "{report}"
    );
}
