//! Stores that fail, hang, store without an answer, or have other writers.

use crate::harness::{FlakyStore, Mode, World};
use chatbox_protocol::ErrorCode;
use chatbox_rooms::Options;
use chatbox_store::{Append, Draft, Store};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_failing_store_gives_an_error_and_no_ack() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default());
    let mut alice = world.connect("alice");
    alice.enter("r").await;
    store.set(Mode::Fail);
    alice.send("r", "1", "lost").await;
    let error = alice.line().await;
    assert!(error.contains(r#""code":"store_unavailable""#) && error.contains(r#""retry_after_ms":1000"#), "{error}");
    store.set(Mode::Normal);
    alice.send("r", "1", "kept").await;
    assert_eq!(alice.answer().await, Ok(1));
    assert_eq!(alice.seqs(1).await, [1]);
    assert_eq!(world.totals(), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_message_stored_without_an_answer_reaches_the_members_and_is_acked_when_sent_again() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default());
    let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
    bob.enter("r").await;
    store.set(Mode::StoreAndFail);
    alice.send("r", "1", "in doubt").await;
    assert_eq!(alice.answer().await, Err(ErrorCode::StoreUnavailable));
    store.set(Mode::Normal);
    // It reaches the member without a further message.
    assert_eq!(bob.seqs(1).await, [1]);
    alice.send("r", "1", "in doubt").await;
    assert_eq!(alice.answer().await, Ok(1));
    assert_eq!(bob.rest(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn sends_to_a_hanging_store_are_rejected_in_time_and_a_late_commit_counts() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default());
    let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
    bob.enter("r").await;
    store.set(Mode::Hang);
    let asked = tokio::time::Instant::now();
    alice.send("r", "1", "late").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    alice.send("r", "2", "queued behind it").await;
    assert_eq!(alice.answer().await, Err(ErrorCode::StoreUnavailable));
    let first = asked.elapsed();
    assert_eq!(alice.answer().await, Err(ErrorCode::StoreUnavailable));
    let second = asked.elapsed();
    assert!((5.0..6.0).contains(&first.as_secs_f64()) && (7.0..8.0).contains(&second.as_secs_f64()));
    store.set(Mode::Normal);
    // The first was being appended; the second was still pending.
    assert_eq!(bob.seqs(1).await, [1]);
    alice.send("r", "1", "late").await;
    assert_eq!(alice.answer().await, Ok(1));
    alice.send("r", "2", "again").await;
    assert_eq!(alice.answer().await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_join_waits_for_the_store_and_later_requests_wait_behind_it() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default());
    let mut alice = world.connect("alice");
    alice.line().await;
    store.set(Mode::Hang);
    alice.join("r", "").await;
    let waiting = tokio::time::timeout(Duration::from_secs(1), alice.say(r#"{"type":"leave","room":"r"}"#)).await;
    assert!(waiting.is_err(), "the leave must not overtake the join");
    store.set(Mode::Normal);
    assert!(alice.line().await.contains("joined"));
    store.set(Mode::Hang);
    alice.join("cold", "").await;
    assert_eq!(alice.answer().await, Err(ErrorCode::StoreUnavailable));
}

#[tokio::test(start_paused = true)]
async fn messages_of_another_writer_are_read_and_the_order_is_kept() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default());
    let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
    bob.enter("r").await;
    alice.send("r", "1", "ours").await;
    assert_eq!(alice.answer().await, Ok(1));
    let draft = |id: &str| Draft { user: "other".into(), id: id.into(), body: "theirs".into(), at_ms: 0 };
    let theirs = Append { room: "r".into(), expected_head: 1, messages: vec![draft("a"), draft("b")] };
    store.inner.append(Arc::new([theirs])).await.expect("stored");
    alice.send("r", "2", "ours again").await;
    assert_eq!(alice.answer().await, Ok(4));
    assert_eq!(bob.seqs(4).await, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn messages_that_arrive_during_an_append_form_the_next_batch() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default());
    let mut alice = world.connect("alice");
    alice.send("warm", "up", "").await;
    assert!(alice.answer().await.is_ok());
    let before = store.appends.load(Ordering::Relaxed);
    store.set(Mode::Hang);
    for id in 0..100 {
        alice.send(["warm", "b", "c"][id % 3], &id.to_string(), "x").await;
        tokio::task::yield_now().await;
    }
    store.set(Mode::Normal);
    for _ in 0..100 {
        assert!(alice.answer().await.is_ok());
    }
    let commits = store.appends.load(Ordering::Relaxed) - before;
    assert!(commits <= 4, "{commits} commits for 100 messages");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_rejects_at_once() {
    let store = FlakyStore::new();
    let options = Options::default().with_queue_messages(10.try_into().unwrap());
    let world = World::over(store.clone(), options);
    let mut alice = world.connect("alice");
    store.set(Mode::Hang);
    for id in 0..30 {
        alice.send("r", &id.to_string(), "x").await;
    }
    assert_eq!(alice.answer().await, Err(ErrorCode::StoreUnavailable));
    store.set(Mode::Normal);
    let mut acked = 0;
    for _ in 1..30 {
        acked += usize::from(alice.answer().await.is_ok());
    }
    assert!((10..30).contains(&acked));
    let (accepted, acked, rejected) = world.totals();
    assert_eq!((accepted, acked + rejected), (30, 30));
}
