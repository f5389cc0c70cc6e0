//! Several processes over one store.

use crate::harness::World;
use crate::replica_store::{Fate, ReplicaStore};
use chatbox_rooms::Options;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

const SECOND: Duration = Duration::from_secs(1);

/// Worlds over stores of one log, once their feeds have begun.
async fn worlds(count: usize) -> (Vec<Arc<ReplicaStore>>, Vec<World>) {
    let stores = ReplicaStore::replicas(count, 0);
    let worlds = stores.iter().map(|store| World::over(store.clone(), Options::default())).collect();
    // A feed begins with `Lagged`.
    sleep(SECOND).await;
    (stores, worlds)
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_replica_reach_the_members_of_all_in_one_order() {
    let (_, worlds) = worlds(3).await;
    let mut clients: Vec<_> = worlds.iter().map(|world| world.connect("user")).collect();
    let mut readers: Vec<_> = worlds.iter().map(|world| world.connect("reader")).collect();
    for reader in &mut readers {
        reader.enter("r").await;
    }
    for id in 0..30 {
        let client = &mut clients[id % 3];
        client.send("r", &id.to_string(), "x").await;
        assert_eq!(client.answer().await, Ok(id as u64 + 1));
        for reader in &mut readers {
            assert_eq!(reader.seqs(1).await, [id as u64 + 1]);
        }
    }
    // An id that one replica has stored is a duplicate for all.
    clients[2].send("r", "0", "x").await;
    assert_eq!(clients[2].answer().await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_seen_more_than_a_lagging_replica_can_join_there() {
    let (stores, worlds) = worlds(2).await;
    let (mut here, mut there) = (worlds[0].connect("alice"), worlds[1].connect("bob"));
    there.enter("r").await;
    stores[1].inner.pause_feed();
    for id in 1..=3 {
        here.send("r", &id.to_string(), "x").await;
        assert_eq!(here.answer().await, Ok(id));
    }
    let mut resumed = worlds[1].connect("alice");
    resumed.join("r", r#","after":2"#).await;
    let joined = resumed.until("joined").await.pop().unwrap();
    assert!(joined.starts_with(r#"{"type":"joined","room":"r","head":3,"first":1,"#), "{joined}");
    assert_eq!(resumed.seqs(1).await, [3]);
    // The other member has them now, too, and only once.
    stores[1].inner.resume_feed();
    here.send("r", "4", "x").await;
    assert_eq!(there.seqs(4).await, [1, 2, 3, 4]);
    assert_eq!(resumed.seqs(1).await, [4]);
}

#[tokio::test(start_paused = true)]
async fn an_unused_room_is_not_stale_when_it_is_joined_again() {
    let (stores, worlds) = worlds(2).await;
    let (mut here, mut there) = (worlds[0].connect("alice"), worlds[1].connect("bob"));
    for (id, missed) in [(1, false), (2, true), (3, false)] {
        there.join("r", "").await;
        let joined = there.until("joined").await.pop().unwrap();
        assert!(joined.contains(&format!(r#""head":{},"#, id - 1)), "{joined}");
        there.say(r#"{"type":"leave","room":"r"}"#).await;
        there.rest();
        stores[1].inner.pause_feed();
        here.send("r", &id.to_string(), "x").await;
        assert_eq!(here.answer().await, Ok(id));
        if missed {
            stores[1].inner.resume_feed_lagged()
        } else {
            stores[1].inner.resume_feed()
        }
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_appended_while_a_room_is_loaded_is_not_missed() {
    let (stores, worlds) = worlds(2).await;
    let (mut here, mut there) = (worlds[0].connect("alice"), worlds[1].connect("bob"));
    // The store answers that the room is empty. The feed announces a message before this answer arrives.
    stores[1].span_takes.store(100, Ordering::Relaxed);
    there.join("r", "").await;
    there.rest();
    here.send("r", "1", "x").await;
    assert_eq!(here.answer().await, Ok(1));
    let joined = there.until("joined").await.pop().unwrap();
    // It arrives one way or the other, without a further message.
    if joined.contains(r#""head":0"#) {
        assert_eq!(there.seqs(1).await, [1]);
    } else {
        assert!(joined.contains(r#""head":1"#), "{joined}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_feed_has_lagged_the_room_is_read() {
    let (stores, worlds) = worlds(2).await;
    let (mut here, mut there) = (worlds[0].connect("alice"), worlds[1].connect("bob"));
    there.enter("r").await;
    stores[1].inner.pause_feed();
    for id in 1..=600 {
        here.send("r", &id.to_string(), "x").await;
        assert_eq!(here.answer().await, Ok(id));
    }
    assert_eq!(there.rest(), Vec::<String>::new());
    stores[1].inner.resume_feed_lagged();
    assert_eq!(there.seqs(600).await, (1..=600).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_gap_in_the_feed_is_read() {
    let (stores, worlds) = worlds(2).await;
    let (mut here, mut there) = (worlds[0].connect("alice"), worlds[1].connect("bob"));
    there.enter("r").await;
    for id in 1..=4 {
        stores[1].feed_drops.store(id == 2 || id == 3, Ordering::Relaxed);
        here.send("r", &id.to_string(), "x").await;
        assert_eq!(here.answer().await, Ok(id));
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(there.seqs(4).await, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn the_feed_is_published_while_an_append_hangs_also_in_the_same_room() {
    let (stores, worlds) = worlds(2).await;
    let (mut here, mut there) = (worlds[0].connect("alice"), worlds[1].connect("bob"));
    for room in ["r", "s"] {
        there.enter(room).await;
    }
    stores[1].next(Fate::Takes(4_000, 0));
    there.send("r", "mine", "x").await;
    for (room, seq) in [("r", 1), ("s", 1), ("r", 2)] {
        here.send(room, &format!("{room}{seq}"), "x").await;
        assert_eq!(here.answer().await, Ok(seq));
        let seqs = tokio::time::timeout(SECOND, there.seqs(1)).await.expect("not delayed");
        assert_eq!(seqs, [seq]);
    }
    assert_eq!(there.answer().await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_room_that_cannot_be_read_delays_no_other() {
    let (stores, worlds) = worlds(1).await;
    let mut alice = worlds[0].connect("alice");
    alice.enter("warm").await;
    stores[0].span_takes.store(3_000, Ordering::Relaxed);
    alice.send("cold", "1", "x").await;
    alice.send("warm", "2", "x").await;
    let first = alice.until(r#""type":"ack""#).await.pop().unwrap();
    assert!(first.contains("warm"), "{first}");
    let second = alice.until(r#""type":"ack""#).await.pop().unwrap();
    assert!(second.contains("cold"), "{second}");
}

#[tokio::test(start_paused = true)]
async fn writers_in_conflict_all_get_their_messages_stored() {
    let (stores, worlds) = worlds(3).await;
    let mut clients: Vec<_> = worlds.iter().map(|world| world.connect("user")).collect();
    // Every append of the test takes 4 ms.
    for store in &stores {
        (0..20_000).for_each(|_| store.next(Fate::Takes(2, 2)));
    }
    let running = clients.iter_mut().enumerate().map(|(n, client)| async move {
        for id in 0..100 {
            client.send("r", &format!("{n}-{id}"), "x").await;
            // A writer that starves is rejected after 5 s.
            assert!(client.answer().await.is_ok(), "replica {n}, message {id}");
        }
    });
    futures_util::future::join_all(running).await;
}

#[tokio::test(start_paused = true)]
async fn lag_grows_while_the_feed_brings_nothing() {
    let (stores, worlds) = worlds(2).await;
    sleep(SECOND).await;
    assert_eq!(worlds[0].rooms.lag(), Some(Duration::ZERO));
    stores[0].inner.pause_feed();
    sleep(3 * SECOND).await;
    assert_eq!(worlds[0].rooms.lag(), Some(3 * SECOND));
    assert_eq!(World::new().rooms.lag(), None);
}
