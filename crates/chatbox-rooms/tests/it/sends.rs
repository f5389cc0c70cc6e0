//! Sending: order, idempotence, limits.

use crate::harness::World;
use chatbox_core::RateLimits;
use chatbox_protocol::{ErrorCode, ServerMessage};
use chatbox_rooms::Options;
use chatbox_store::MemoryStore;
use proptest::prelude::*;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn the_same_id_is_stored_once_and_acked_with_its_first_seq() {
    let world = World::new();
    let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
    alice.join("r", "").await;
    for (client, id, seq) in [(0, "x", 1), (0, "x", 1), (1, "x", 2), (0, "y", 3), (0, "x", 1), (1, "x", 2)] {
        let client = if client == 0 { &mut alice } else { &mut bob };
        client.send("r", id, "body").await;
        assert_eq!(client.answer().await, Ok(seq));
    }
    let mut reader = world.connect("reader");
    reader.join("r", r#","after":0"#).await;
    assert_eq!(reader.seqs(3).await, [1, 2, 3]);
    assert_eq!(world.totals(), (6, 6, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_longer_than_clients_accept_is_too_long() {
    let options = Options::default().with_max_message_bytes(1_000);
    let world = World::over(Arc::new(MemoryStore::new()), options);
    let mut alice = world.connect("alice");
    alice.send("r", "1", &"x".repeat(900)).await;
    assert_eq!(alice.answer().await, Err(ErrorCode::TooLong));
    // Each of these takes six bytes when escaped.
    alice.send("r", "1", &r"\u0001".repeat(150)).await;
    assert_eq!(alice.answer().await, Err(ErrorCode::TooLong));
    alice.send("r", "1", &"x".repeat(800)).await;
    assert_eq!(alice.answer().await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_rate_limited_send_is_answered_with_the_time_to_wait() {
    let one = NonZeroU32::new(1).unwrap();
    let rates = RateLimits::new(one, NonZeroU32::new(2).unwrap());
    let world = World::limited(Arc::new(MemoryStore::new()), Options::default(), rates);
    // The limit is per user, not per connection.
    let (mut first, mut second) = (world.connect("alice"), world.connect("alice"));
    first.send("r", "1", "").await;
    second.send("r", "2", "").await;
    assert!(first.answer().await.is_ok() && second.answer().await.is_ok());
    second.send("r", "3", "").await;
    let error = second.until("rate_limited").await.pop().unwrap();
    assert!(error.contains(r#""room":"r","id":"3","retry_after_ms":"#), "{error}");
    let mut bob = world.connect("bob");
    bob.send("r", "1", "").await;
    assert!(bob.answer().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn requests_for_too_many_rooms_are_refused_until_the_next_minute() {
    let options = Options::default().with_rooms_per_minute(2.try_into().unwrap());
    let world = World::over(Arc::new(MemoryStore::new()), options);
    let mut alice = world.connect("alice");
    for (room, stored) in [("a", true), ("b", true), ("a", true), ("c", false)] {
        alice.send(room, "1", "").await;
        assert_eq!(alice.answer().await.is_ok(), stored, "{room}");
    }
    tokio::time::advance(Duration::from_secs(60)).await;
    alice.send("c", "1", "").await;
    assert!(alice.answer().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn messages_that_cannot_be_parsed_count_towards_the_rate_limit() {
    let one = NonZeroU32::new(1).unwrap();
    let rates = RateLimits::new(one, NonZeroU32::new(2).unwrap());
    let world = World::limited(Arc::new(MemoryStore::new()), Options::default(), rates);
    let mut alice = world.connect("alice");
    let (nonsense, unknown) = ("nonsense", r#"{"type":"shout","room":"r","id":"1"}"#);
    for (text, code) in [(nonsense, ErrorCode::BadMessage), (unknown, ErrorCode::UnknownType)] {
        alice.say(text).await;
        assert_eq!(alice.answer().await, Err(code));
    }
    let (begin, end) =
        (r#"{"type":"error","code":"rate_limited","message":"too many messages","#, r#""retry_after_ms":"#);
    for (text, concerns) in [(nonsense, ""), (unknown, r#""room":"r","id":"1","#)] {
        alice.say(text).await;
        let error = alice.until("rate_limited").await.pop().unwrap();
        assert!(error.starts_with(&[begin, concerns, end].concat()), "{error}");
    }
    // Nothing is left for a valid message either.
    alice.send("r", "1", "").await;
    assert_eq!(alice.answer().await, Err(ErrorCode::RateLimited));
}

#[tokio::test(start_paused = true)]
async fn owed_answers_count_towards_the_outbox_until_they_are_written() {
    let world = World::new();
    let mut alice = world.connect("alice");
    let mut sent = 0;
    while !alice.lease.connection().is_full() {
        alice.send("r", &sent.to_string(), "x").await;
        sent += 1;
    }
    assert!((100..300).contains(&sent), "{sent}");
    for _ in 0..sent {
        assert!(alice.answer().await.is_ok());
    }
    alice.rest();
    assert!(!alice.lease.connection().is_full());
    assert_eq!(alice.lease.connection().owed(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// For any sequence of sends, duplicates included, all members of a room get the same messages in the same order.
    #[test]
    fn all_members_see_one_order(
        sends in prop::collection::vec((0usize..4, 0usize..3, 0u8..20), 1..120), frames in 1usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let rooms = ["a", "b", "c"];
            let mut clients: Vec<_> = (0..4).map(|n| world.connect(&format!("user{n}"))).collect();
            let mut readers: Vec<_> = (0..3).map(|_| world.connect("reader")).collect();
            for reader in &mut readers {
                reader.frames = frames;
                for room in rooms {
                    reader.enter(room).await;
                }
            }
            for &(client, room, id) in &sends {
                clients[client].send(rooms[room], &id.to_string(), "body").await;
            }
            // Acks of one room come in `seq` order; those of different rooms may overtake each other.
            let mut heads = [0; 3];
            for &(client, ..) in &sends {
                let ack = clients[client].until(r#""type":"ack""#).await.pop().expect("at least the ack");
                let Ok(ServerMessage::Ack { room, seq, .. }) = ServerMessage::parse(&ack) else { panic!("{ack}") };
                let room = rooms.iter().position(|known| *known == room).expect("a room of ours");
                heads[room] = seq.max(heads[room]);
            }
            let mut orders = Vec::new();
            for reader in &mut readers {
                let lines: Vec<String> = reader.rest().into_iter().filter(|line| line.contains(r#""type":"message""#)).collect();
                for (room, head) in rooms.iter().zip(heads) {
                    let of_room: Vec<&String> = lines.iter().filter(|line| line.contains(&format!(r#""room":"{room}""#))).collect();
                    prop_assert_eq!(of_room.len() as u64, head);
                    for (index, line) in of_room.iter().enumerate() {
                        let expected = format!("\"seq\":{},", index + 1);
                        prop_assert!(line.contains(&expected), "{}", line);
                    }
                    orders.push((*room, of_room.into_iter().cloned().collect::<Vec<_>>()));
                }
            }
            orders.sort();
            orders.dedup();
            prop_assert_eq!(orders.len(), 3);
            Ok(())
        })?;
    }
}
