//! The service as a part of somebody else's program: `examples/embed.rs`.

use crate::harness::{Frame, Peer, Setup, TERMINATE, get, until};
use serde_json::json;

#[tokio::test]
async fn a_program_that_embeds_the_service_shuts_it_down_and_serves_its_own_routes_meanwhile() {
    let mut server = Setup::example("embed").args(["127.0.0.1:0"]).launch();
    let line = server.line(|line| line.as_str().is_some_and(|line| line.starts_with("listening on "))).await;
    let at = line.as_str().unwrap()["listening on ".len()..].parse().unwrap();
    let own = async || get(at, "/").await.unwrap().body;
    assert_eq!(own().await, "everything but the chat");
    for page in ["/support/chat", "/support/chat/"] {
        assert!(get(at, page).await.unwrap().body.contains("/support/chat/ws"));
    }
    get(at, "/support/chat/nothing").await.unwrap().refusal(404, "not_found");
    let mut alice = Peer::open(at, "/support/chat/ws?user=alice").await;
    let mut late = Peer::open(at, "/support/chat/ws?user=late").await;
    alice.send(r#"{"type":"send","room":"lobby","id":"1","body":"x"}"#).await;
    alice.until("ack").await;

    server.signal(TERMINATE);
    let phase = async || get(at, "/support/chat/readyz").await.unwrap().json()["phase"].clone();
    until("the lame duck", async || phase().await != "running").await;
    assert_eq!(own().await, "everything but the chat");
    alice.finish().await.slot();
    // `late` has not answered: the drain goes on, and so do the routes.
    late.polite = false;
    late.until("goodbye").await;
    assert_eq!(late.next().await, Ok(Frame::Close(1001, "server shutting down".into())));
    until("the drain", async || phase().await == "draining").await;
    assert_eq!(own().await, "everything but the chat");
    let newcomer = Peer::handshake(at, "/support/chat/ws?user=newcomer", "").await;
    newcomer.err().unwrap().refusal(503, "draining");
    late.close(1001).await;

    let finished = server.wait().await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let report = finished.lines.last().unwrap();
    assert_eq!((&report["outcome"], &report["signal"]), (&json!("clean"), &json!("request")), "{report}");
    assert_eq!(
        report["connections"],
        json!({ "at_signal": 2, "closed": 2, "peer_gone": 0, "timed_out": 0, "aborted": 0, "refused": 1 })
    );
    assert_eq!(report["messages"], json!({ "accepted": 1, "acked": 1, "rejected": 0 }));
}
