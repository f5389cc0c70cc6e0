//! The end of a connection, and of the rooms.

use crate::harness::{FlakyStore, Mode, World};
use chatbox_rooms::Options;
use chatbox_store::Store;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_closing_member_gets_what_was_queued_and_nothing_later() {
    let world = World::new();
    let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
    bob.enter("r").await;
    alice.send("r", "1", "queued").await;
    assert!(alice.answer().await.is_ok());
    let closing = bob.close();
    alice.send("r", "2", "too late").await;
    assert!(alice.answer().await.is_ok());
    let lines = bob.rest();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(r#""seq":1"#));
    bob.member.before_close(bob.lease.connection(), &closing);
    assert_eq!(bob.rest(), [r#"{"type":"goodbye","reason":"shutdown","close_after_ms":0,"reconnect_after_ms":1500}"#]);
}

#[tokio::test(start_paused = true)]
async fn a_closing_member_gets_what_was_queued_after_the_ring_has_moved_on() {
    let options = Options::default().with_ring_bytes(1_000);
    let world = World::over(FlakyStore::new(), options);
    let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
    bob.enter("r").await;
    for id in 0..5 {
        alice.send("r", &id.to_string(), "queued").await;
        assert!(alice.answer().await.is_ok());
    }
    // Its peer does not read, so nothing is pulled.
    let _closing = bob.close();
    for id in 5..50 {
        alice.send("r", &id.to_string(), "too late").await;
        assert!(alice.answer().await.is_ok());
    }
    bob.frames = 2;
    let lines = bob.rest();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines.iter().zip(1..).all(|(line, seq)| line.contains(&format!(r#""seq":{seq},"#))), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn closing_the_rooms_stores_and_acks_what_was_accepted() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default());
    let mut alice = world.connect("alice");
    alice.send("r", "0", "warm").await;
    assert!(alice.answer().await.is_ok());
    store.set(Mode::Hang);
    for id in 1..=50 {
        alice.send("r", &id.to_string(), "accepted").await;
    }
    let rooms = world.rooms.clone();
    let closing = tokio::spawn(async move { rooms.close().await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!closing.is_finished());
    store.set(Mode::Normal);
    closing.await.expect("closed");
    assert_eq!(world.totals(), (51, 51, 0));
    assert_eq!(store.inner.span("r").await.expect("readable").head, 51);
    alice.send("r", "late", "refused").await;
    for _ in 0..50 {
        assert!(alice.answer().await.is_ok());
    }
    assert!(alice.answer().await.is_err());
}
