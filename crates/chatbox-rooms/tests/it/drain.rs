//! The end of a connection, and of the rooms.

use crate::harness::{Client, FlakyStore, Mode, World};
use chatbox_protocol::ServerMessage;
use chatbox_rooms::Options;
use chatbox_store::Store;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::time::Instant;

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

/// A room of small ring, in which `bob` has missed 500 messages before the drain and as many come after it.
async fn lagging(store: Arc<FlakyStore>, rooms: &[&str]) -> (World, Client) {
    let world = World::over(store, Options::default().with_ring_bytes(1_000));
    let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
    for room in rooms {
        bob.enter(room).await;
        for id in 0..500 {
            alice.send(room, &id.to_string(), "queued").await;
            assert!(alice.answer().await.is_ok());
        }
    }
    bob.close();
    for room in rooms {
        for id in 500..1_000 {
            alice.send(room, &id.to_string(), "too late").await;
            assert!(alice.answer().await.is_ok());
        }
    }
    (world, bob)
}

fn seqs_of(lines: &[String], room: &str) -> Vec<u64> {
    let seq = |line: &String| match ServerMessage::parse(line).unwrap() {
        ServerMessage::Message { room: of, seq, .. } => (of == room).then_some(seq),
        other => panic!("{other:?}"),
    };
    lines.iter().filter_map(seq).collect()
}

#[tokio::test(start_paused = true)]
async fn a_closing_member_behind_the_ring_gets_everything_up_to_the_head_at_its_turn() {
    for frames in [1, 64] {
        let (_world, mut bob) = lagging(FlakyStore::new(), &["r"]).await;
        bob.frames = frames;
        assert_eq!(bob.lease.connection().owed(), 1, "its Close waits");
        let lines = bob.finish().await;
        assert_eq!(seqs_of(&lines, "r"), (1..=500).collect::<Vec<_>>());
        assert_eq!(bob.rest(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_closing_member_behind_several_rings_reads_one_page_at_a_time() {
    let store = FlakyStore::new();
    let (_world, mut bob) = lagging(store.clone(), &["a", "b", "c"]).await;
    assert_eq!(bob.lease.connection().owed(), 3);
    // Its peer does not read: of all that it has missed, one page more is read.
    let before = store.reads.load(Ordering::Relaxed);
    bob.poll_pull(&mut Context::from_waker(Waker::noop()));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(store.reads.load(Ordering::Relaxed), before + 1);
    let lines = bob.finish().await;
    for room in ["a", "b", "c"] {
        assert_eq!(seqs_of(&lines, room), (1..=500).collect::<Vec<_>>(), "{room}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closing_member_waits_for_a_store_that_recovers() {
    let store = FlakyStore::new();
    let (_world, mut bob) = lagging(store.clone(), &["r"]).await;
    store.set(Mode::Fail);
    let recovering = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        store.set(Mode::Normal);
    };
    let (lines, ()) = tokio::join!(bob.finish(), recovering);
    assert_eq!(seqs_of(&lines, "r"), (1..=500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_closing_member_does_not_wait_for_a_dead_store_longer_than_the_store_timeout() {
    for mode in [Mode::Fail, Mode::Hang] {
        let store = FlakyStore::new();
        let (_world, mut bob) = lagging(store.clone(), &["r"]).await;
        store.set(mode);
        let told = Instant::now();
        assert_eq!(bob.finish().await, Vec::<String>::new());
        assert!((5.0..5.5).contains(&told.elapsed().as_secs_f64()), "{:?}", told.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_under_way_at_the_close_is_limited_too() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default().with_ring_bytes(1_000));
    let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
    bob.enter("r").await;
    for id in 0..100 {
        alice.send("r", &id.to_string(), "queued").await;
        assert!(alice.answer().await.is_ok());
    }
    store.set(Mode::Hang);
    bob.poll_pull(&mut Context::from_waker(Waker::noop()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    bob.close();
    let told = Instant::now();
    bob.finish().await;
    assert!((5.0..5.5).contains(&told.elapsed().as_secs_f64()), "{:?}", told.elapsed());
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
