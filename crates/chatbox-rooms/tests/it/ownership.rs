//! Rooms that are dropped rather than closed.

use crate::harness::{FlakyStore, Mode, World};
use crate::replica_store::ReplicaStore;
use chatbox_rooms::Options;
use chatbox_store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

/// Waits until no task is alive beside the test, and checks that nothing else holds the store.
async fn everything_ends<S: Store>(store: &Arc<S>) {
    let ended = async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), ended).await.expect("all tasks end");
    assert_eq!(Arc::strong_count(store), 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_rooms_and_members_ends_the_sequencer() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default());
    let mut alice = world.connect("alice");
    alice.enter("r").await;
    alice.send("r", "1", "x").await;
    assert_eq!(alice.answer().await, Ok(1));
    drop(world);
    // A member keeps the rooms alive.
    alice.send("r", "2", "x").await;
    assert_eq!(alice.answer().await, Ok(2));
    drop(alice);
    everything_ends(&store).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_rooms_stores_what_was_accepted() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default());
    let mut alice = world.connect("alice");
    alice.enter("r").await;
    store.set(Mode::Hang);
    for id in 0..10 {
        alice.send("r", &id.to_string(), "x").await;
    }
    drop((world, alice));
    sleep(Duration::from_secs(1)).await;
    assert!(Handle::current().metrics().num_alive_tasks() > 0);
    store.set(Mode::Normal);
    everything_ends(&store).await;
    assert_eq!(store.inner.span("r").await.unwrap().head, 10);
}

#[tokio::test(start_paused = true)]
async fn dropping_rooms_ends_a_replay_a_join_and_a_resync_under_way() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default().with_ring_bytes(1));
    let mut writer = world.connect("writer");
    for id in 0..20 {
        writer.send("r", &id.to_string(), "x").await;
        assert!(writer.answer().await.is_ok());
    }
    let (mut replaying, mut joining) = (world.connect("reader"), world.connect("reader"));
    replaying.join("r", r#","after":0"#).await;
    store.set(Mode::Hang);
    replaying.rest();
    joining.join("cold", "").await;
    writer.send("cold", "1", "x").await;
    sleep(Duration::from_secs(1)).await;
    assert!(Handle::current().metrics().num_alive_tasks() > 1, "the sequencer and a read");
    drop((world, writer, replaying, joining));
    everything_ends(&store).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_rooms_ends_their_feed() {
    let store = ReplicaStore::replicas(2, 0).remove(0);
    let world = World::over(store.clone(), Options::default());
    let mut alice = world.connect("alice");
    alice.enter("r").await;
    drop((world, alice));
    everything_ends(&store).await;
}

#[tokio::test(start_paused = true)]
async fn a_close_that_was_cancelled_can_be_awaited_again() {
    let store = FlakyStore::new();
    let world = World::over(store.clone(), Options::default());
    let mut alice = world.connect("alice");
    alice.enter("r").await;
    store.set(Mode::Hang);
    alice.send("r", "1", "x").await;
    for _ in 0..2 {
        assert!(timeout(Duration::from_secs(1), world.rooms.close()).await.is_err());
    }
    store.set(Mode::Normal);
    world.rooms.close().await;
    assert_eq!(world.totals(), (1, 1, 0));
}
