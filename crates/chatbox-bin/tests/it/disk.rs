//! A disk that is full: nothing is acknowledged that is not there, and the service recovers by itself.

use crate::harness::{Server, Setup, TERMINATE, get, until};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;

/// The answer to a `send` of a text of some length.
async fn answer(peer: &mut crate::harness::Peer, id: &str) -> Value {
    let body = "x".repeat(4_000);
    peer.send(&format!(r#"{{"type":"send","room":"r","id":"{id}","body":"{body}"}}"#)).await;
    loop {
        let message = peer.message().await;
        if message["type"] == "ack" || message["type"] == "error" {
            return message;
        }
    }
}

fn limit_files(server: &Server, bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    prlimit(Some(server.pid()), Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_nothing_is_acked_that_is_not_there_and_space_brings_it_back() {
    let server = Setup::over("sqlite:messages.db").set("limits.messages_per_second=100000").start().await;
    let mut peer = server.connect("alice").await;
    let mut acked = Vec::new();
    for id in 0..5 {
        let ack = answer(&mut peer, &id.to_string()).await;
        acked.push((id.to_string(), ack["seq"].as_u64().unwrap()));
    }

    // No file may grow beyond what the log of the database needs for a few messages more.
    limit_files(&server, Some(128 * 1024));
    let mut refused = None;
    for id in 5..200 {
        let message = answer(&mut peer, &id.to_string()).await;
        if message["type"] == "error" {
            assert_eq!((&message["code"], &message["id"]), (&"store_unavailable".into(), &id.to_string().into()));
            refused = Some(id.to_string());
            break;
        }
        acked.push((id.to_string(), message["seq"].as_u64().unwrap()));
    }
    let refused = refused.expect("the disk was full at some point");
    until("readyz to say no", || async { server.get("/readyz").await.status == 503 }).await;
    assert_eq!(server.get("/healthz").await.status, 200);

    limit_files(&server, None);
    until("readyz to say yes again", || async { server.get("/readyz").await.status == 200 }).await;
    let ack = answer(&mut peer, &refused).await;
    assert_eq!(ack["type"], "ack", "{ack}");
    acked.push((refused, ack["seq"].as_u64().unwrap()));
    peer.close(1000).await;
    let finished = server.stop(TERMINATE).await;
    assert_eq!(finished.code(), 0);

    let server = finished.setup.start().await;
    let path = format!("{}/rooms/r/messages?limit=1000&user=alice", server.prefix);
    let history = get(server.at, &path).await.unwrap().json();
    let stored = history["messages"].as_array().unwrap();
    let stored: Vec<_> =
        stored.iter().map(|m| (m["id"].as_str().unwrap().to_owned(), m["seq"].as_u64().unwrap())).collect();
    assert_eq!(stored, acked, "what is stored is what was acked, in order");
}
