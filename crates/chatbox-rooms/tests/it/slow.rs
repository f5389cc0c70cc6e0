//! Members that read slowly.

use crate::harness::{FlakyStore, World};
use chatbox_rooms::Options;
use chatbox_store::MemoryStore;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

#[tokio::test(start_paused = true)]
async fn a_slow_reader_falls_behind_the_ring_and_catches_up_without_a_gap() {
    let options = Options { ring_bytes: 2_000, ..Options::default() };
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
async fn a_reader_so_slow_that_messages_are_gone_is_told_so() {
    let options = Options { ring_bytes: 2_000, ..Options::default() };
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
async fn what_the_store_does_not_show_yet_is_not_taken_for_gone() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options { ring_bytes: 300, ..Options::default() });
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
async fn who_does_not_read_keeps_the_store_from_nobody() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options { ring_bytes: 300, ..Options::default() });
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
    // Begins a read of the store, and does not ask for it again: its transport can write nothing.
    stuck.poll_pull(&mut Context::from_waker(Waker::noop()));
    reader.join("c", r#","after":0"#).await;
    assert_eq!(reader.seqs(20).await, (1..=20).collect::<Vec<_>>());
    // Of all that it has missed in its rooms, no more than one page was read for it.
    assert_eq!(store.reads.load(Ordering::Relaxed), 2);
    let mut seqs = stuck.seqs(40).await;
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=20).flat_map(|seq| [seq; 2]).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn rings_together_keep_to_their_bound() {
    let options = Options { rings_bytes: 20_000, ..Options::default() };
    let world = World::over(Arc::new(MemoryStore::new()), options);
    let mut writer = world.connect("writer");
    for room in 0..50 {
        for id in 0..10 {
            writer.send(&room.to_string(), &id.to_string(), &"x".repeat(500)).await;
            assert!(writer.answer().await.is_ok());
        }
    }
    // The newest message of each room stays, whatever the bound; nothing else can be in a ring beyond it.
    assert!(world.rooms.ring_bytes() <= 20_000 + 50 * 800, "{}", world.rooms.ring_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_room_names_is_forgotten_again() {
    let world = World::new();
    let mut alice = world.connect("alice");
    for room in 0..40_000 {
        alice.join(&room.to_string(), "").await;
        alice.say(&format!(r#"{{"type":"leave","room":"{room}"}}"#)).await;
        alice.rest();
    }
    assert!(world.rooms.len() <= 8_192, "{}", world.rooms.len());
}
