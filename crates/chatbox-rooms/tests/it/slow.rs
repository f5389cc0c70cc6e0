//! Members that read slowly, and memory limits.

use crate::harness::{FlakyStore, World};
use chatbox_rooms::Options;
use chatbox_store::MemoryStore;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

#[tokio::test(start_paused = true)]
async fn a_slow_reader_falls_behind_the_ring_and_catches_up_without_a_gap() {
    let options = Options::default().with_ring_bytes(2_000);
    let world = World::over(Arc::new(MemoryStore::new()), options);
    let (mut writer, mut slow, mut quick) = (world.connect("writer"), world.connect("slow"), world.connect("quick"));
    slow.enter("r").await;
    quick.enter("r").await;
    slow.rest();
    slow.frames = 1;
    for id in 0..900 {
        writer.send("r", &id.to_string(), "some body or other").await;
        assert_eq!(writer.answer().await, Ok(id + 1));
        assert_eq!(quick.seqs(1).await, [id + 1]);
        if id % 300 == 0 {
            slow.poll_pull(&mut Context::from_waker(Waker::noop()));
        }
    }
    assert_eq!(slow.seqs(900).await, (1..=900).collect::<Vec<_>>());
    writer.send("r", "last", "live again").await;
    assert_eq!(slow.seqs(1).await, [901]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_slower_than_retention_gets_history_gone() {
    let options = Options::default().with_ring_bytes(2_000);
    let world = World::over(Arc::new(MemoryStore::new()), options);
    let (mut writer, mut slow) = (world.connect("writer"), world.connect("slow"));
    slow.enter("r").await;
    // The memory store keeps the newest 1,000.
    for id in 1..=1_500 {
        writer.send("r", &id.to_string(), "x").await;
        assert_eq!(writer.answer().await, Ok(id));
    }
    let gone = slow.line().await;
    assert!(gone.contains(r#""code":"history_gone""#) && gone.contains(r#""room":"r""#), "{gone}");
    assert_eq!(slow.seqs(1_000).await, (501..=1_500).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn messages_that_the_store_does_not_show_yet_are_not_reported_as_gone() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default().with_ring_bytes(300));
    let (mut writer, mut slow) = (world.connect("writer"), world.connect("slow"));
    slow.enter("r").await;
    for id in 1..=20 {
        writer.send("r", &id.to_string(), "x").await;
        assert_eq!(writer.answer().await, Ok(id));
    }
    store.blind.store(3, Ordering::Relaxed);
    let lines = slow.until(r#""seq":20,"#).await;
    assert_eq!(lines.len(), 20, "{lines:?}");
    assert!(lines.iter().all(|line| line.contains(r#""type":"message""#)), "{lines:?}");
    assert_eq!(store.blind.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_read_blocks_no_other_read_of_the_store() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default().with_ring_bytes(300));
    let mut writer = world.connect("writer");
    for room in ["a", "b", "c"] {
        for id in 1..=20 {
            writer.send(room, &id.to_string(), "x").await;
            assert_eq!(writer.answer().await, Ok(id));
        }
    }
    let (mut stuck, mut reader) = (world.connect("stuck"), world.connect("reader"));
    for room in ["a", "b"] {
        stuck.join(room, r#","after":0"#).await;
    }
    // It begins a read of the store and is not pulled again: its peer does not read.
    stuck.poll_pull(&mut Context::from_waker(Waker::noop()));
    reader.join("c", r#","after":0"#).await;
    assert_eq!(reader.seqs(20).await, (1..=20).collect::<Vec<_>>());
    // Only one page was read for it, although it lags in two rooms.
    assert_eq!(store.reads.load(Ordering::Relaxed), 2);
    let mut seqs = stuck.seqs(40).await;
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=20).flat_map(|seq| [seq; 2]).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn all_rings_together_stay_within_their_limit() {
    let options = Options::default().with_rings_bytes(20_000);
    let world = World::over(Arc::new(MemoryStore::new()), options);
    let mut writer = world.connect("writer");
    for room in 0..50 {
        for id in 0..10 {
            writer.send(&room.to_string(), &id.to_string(), &"x".repeat(500)).await;
            assert!(writer.answer().await.is_ok());
        }
    }
    // Beyond the limit each room keeps its newest message only.
    assert!(world.rooms.ring_bytes() <= 20_000 + 50 * 800, "{}", world.rooms.ring_bytes());
}

#[tokio::test(start_paused = true)]
async fn unused_rooms_are_forgotten_after_a_flood_of_names() {
    let world = World::new();
    let mut alice = world.connect("alice");
    for room in 0..40_000 {
        alice.join(&room.to_string(), "").await;
        alice.say(&format!(r#"{{"type":"leave","room":"{room}"}}"#)).await;
        alice.rest();
    }
    assert!(world.rooms.len() <= 8_192, "{}", world.rooms.len());
}
