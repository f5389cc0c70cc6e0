//! Joins, replay and leaving.

use crate::harness::World;
use chatbox_protocol::ErrorCode;
use chatbox_rooms::Options;
use chatbox_store::MemoryStore;
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn a_client_gets_welcome_and_then_the_messages_after_its_join() {
    let world = World::new();
    let mut alice = world.connect("alice");
    assert_eq!(
        alice.line().await,
        r#"{"type":"welcome","user":"alice","connection":"1","server":"server-1","heartbeat_ms":25000}"#
    );
    alice.send("lobby", "a", "before").await;
    assert_eq!(alice.line().await, r#"{"type":"ack","room":"lobby","id":"a","seq":1}"#);
    alice.join("lobby", "").await;
    let joined = format!(r#"{{"type":"joined","room":"lobby","head":1,"first":1,"epoch":"{}"}}"#, world.epoch);
    assert_eq!(alice.line().await, joined);
    alice.send("lobby", "b", "after").await;
    assert_eq!(alice.line().await, r#"{"type":"ack","room":"lobby","id":"b","seq":2}"#);
    let message = alice.line().await;
    let expected = r#"{"type":"message","room":"lobby","seq":2,"user":"alice","id":"b","body":"after","at":""#;
    assert!(message.starts_with(expected), "{message}");
}

#[tokio::test(start_paused = true)]
async fn replay_runs_into_live_messages_without_a_gap_or_a_repeat() {
    // With the smallest ring, replay comes from the store in pages.
    let options = Options::default().with_ring_bytes(1);
    let world = World::over(Arc::new(MemoryStore::new()), options);
    let mut writer = world.connect("writer");
    for id in 0..700 {
        writer.send("r", &id.to_string(), "x").await;
    }
    for _ in 0..700 {
        assert!(writer.answer().await.is_ok());
    }
    let mut head = 700;
    for (from, behind) in [(r#","after":0"#, None), (r#","after":650"#, Some(650)), (r#","last":5"#, None), ("", None)]
    {
        let first = match (from, behind) {
            (r#","last":5"#, _) => head - 4,
            ("", _) => head + 1,
            (_, behind) => behind.unwrap_or(0) + 1,
        };
        let mut reader = world.connect("reader");
        reader.join("r", from).await;
        reader.until("joined").await;
        for id in 0..50 {
            writer.send("r", &format!("{head}-{id}"), "y").await;
        }
        for _ in 0..50 {
            assert!(writer.answer().await.is_ok());
        }
        head += 50;
        let wanted: Vec<u64> = (first..=head).collect();
        assert_eq!(reader.seqs(wanted.len()).await, wanted, "{from}");
        assert_eq!(reader.rest(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_join_before_the_oldest_message_gets_history_gone_and_the_rest() {
    let world = World::new();
    let mut writer = world.connect("writer");
    for id in 0..1_200 {
        writer.send("r", &id.to_string(), "x").await;
        assert_eq!(writer.answer().await, Ok(id + 1));
    }
    // The memory store keeps the newest 1,000.
    let mut reader = world.connect("reader");
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    reader.join("r", r#","after":100"#).await;
    let lines = reader.until(r#""type":"joined""#).await;
    assert!(lines[1].contains(r#""code":"history_gone""#), "{lines:?}");
    let joined = format!(r#"{{"type":"joined","room":"r","head":1200,"first":201,"epoch":"{}"}}"#, world.epoch);
    assert_eq!(lines[2], joined);
    assert_eq!(reader.seqs(1_000).await, (201..=1_200).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn requests_that_cannot_be_carried_out_get_an_error_and_take_no_membership() {
    let options = Options::default().with_rooms_per_connection(2.try_into().unwrap());
    let world = World::over(Arc::new(MemoryStore::new()), options);
    let mut alice = world.connect_with("alice", Some(Arc::new(|room: &str| !room.starts_with("staff"))));
    for (request, code) in [
        (r#"{"type":"leave","room":"a"}"#, ErrorCode::BadMessage),
        (r#"{"type":"join","room":"staff-1"}"#, ErrorCode::NotAllowed),
        (r#"{"type":"send","room":"staff-1","id":"1","body":""}"#, ErrorCode::NotAllowed),
        (r#"{"type":"shout","room":"a"}"#, ErrorCode::UnknownType),
        ("nonsense", ErrorCode::BadMessage),
    ] {
        alice.say(request).await;
        assert_eq!(alice.answer().await, Err(code), "{request}");
    }
    alice.join("a", "").await;
    alice.join("b", "").await;
    alice.join("a", "").await;
    assert_eq!(alice.answer().await, Err(ErrorCode::BadMessage));
    alice.join("c", "").await;
    assert_eq!(alice.answer().await, Err(ErrorCode::TooManyRooms));
    alice.say(r#"{"type":"leave","room":"a"}"#).await;
    assert_eq!(alice.line().await, r#"{"type":"left","room":"a"}"#);
    alice.join("c", "").await;
    assert!(alice.line().await.starts_with(r#"{"type":"joined","room":"c","head":0,"first":1,"#));
}

#[tokio::test(start_paused = true)]
async fn after_left_no_message_of_the_room_follows() {
    let world = World::new();
    let (mut alice, mut bob) = (world.connect("alice"), world.connect("bob"));
    alice.enter("r").await;
    bob.send("r", "1", "seen").await;
    assert_eq!(bob.answer().await, Ok(1));
    assert_eq!(alice.seqs(1).await, [1]);
    alice.say(r#"{"type":"leave","room":"r"}"#).await;
    assert_eq!(alice.line().await, r#"{"type":"left","room":"r"}"#);
    bob.send("r", "2", "unseen").await;
    assert_eq!(bob.answer().await, Ok(2));
    assert_eq!(alice.rest(), Vec::<String>::new());
}

/// The messages of all rooms have the same numbers: the cache of pulled frames must not mix them up.
#[tokio::test(start_paused = true)]
async fn members_of_rooms_with_equal_numbers_get_the_messages_of_their_own_room() {
    // Rooms of the same names in two processes, and two rooms in each.
    let worlds = [World::new(), World::new()];
    let rooms = ["a", "b"];
    let mut sender = worlds.each_ref().map(|world| world.connect("sender"));
    let mut members = Vec::new();
    for (at, world) in worlds.iter().enumerate() {
        for room in rooms.into_iter().chain(rooms) {
            let mut member = world.connect("member");
            member.enter(room).await;
            members.push((at, room, member));
        }
    }
    for round in 0..3 {
        for (at, sender) in sender.iter_mut().enumerate() {
            for room in rooms {
                sender.send(room, &round.to_string(), &format!("{at} {room} {round}")).await;
                assert_eq!(sender.answer().await, Ok(round + 1));
            }
        }
        for (at, room, member) in &mut members {
            let message = member.until(r#""type":"message""#).await.pop().unwrap_or_default();
            assert!(message.contains(&format!(r#""body":"{at} {room} {round}""#)), "{message}");
        }
    }
}
