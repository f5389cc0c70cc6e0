//! Members of all replicas see one log, for any sequence of sends, faults of appends and faults of feeds.

use crate::harness::{Client, World};
use crate::replica_store::{Fate, ReplicaStore};
use chatbox_protocol::{ErrorCode, ServerMessage};
use chatbox_rooms::Options;
use chatbox_store::Store;
use proptest::prelude::*;
use std::collections::HashMap;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::time::sleep;

const ROOMS: [&str; 2] = ["a", "b"];

#[derive(Clone, Copy, Debug)]
enum Action {
    Send {
        replica: usize,
        room: usize,
        id: u8,
    },
    Fate(usize, Fate),
    Hold(usize),
    Release(usize),
    Lose(usize),
    Pass(u64),
    /// A client joins on this replica with the newest `seq` that any client of any replica has got.
    Resume {
        replica: usize,
        room: usize,
    },
}

fn actions(replicas: usize) -> impl Strategy<Value = Vec<Action>> {
    let fate = prop_oneof![
        4 => (0u64..200, 0u64..200).prop_map(|(there, back)| Fate::Takes(there, back)),
        1 => Just(Fate::Fails),
        1 => Just(Fate::StoredAndFails),
        1 => (0u64..1_000).prop_map(Fate::FailsAndArrives),
        3 => (0usize..3).prop_map(Fate::Conflicts),
    ];
    let replica = 0..replicas;
    let action = prop_oneof![
        12 => (replica.clone(), 0usize..2, 0u8..40).prop_map(|(replica, room, id)| Action::Send { replica, room, id }),
        3 => (replica.clone(), fate).prop_map(|(replica, fate)| Action::Fate(replica, fate)),
        1 => replica.clone().prop_map(Action::Hold),
        1 => replica.clone().prop_map(Action::Release),
        1 => replica.clone().prop_map(Action::Lose),
        3 => (0u64..700).prop_map(Action::Pass),
        1 => (replica, 0usize..2).prop_map(|(replica, room)| Action::Resume { replica, room }),
    ];
    prop::collection::vec(action, 1..120)
}

/// What one client has got from one room.
#[derive(Default)]
struct Seen {
    messages: Vec<(u64, String)>,
    acks: Vec<(String, u64)>,
    joined: Vec<u64>,
    errors: Vec<ErrorCode>,
}

fn take(client: &mut Client, room: &str, seen: &mut Seen) {
    for line in client.rest() {
        match ServerMessage::parse(&line).unwrap() {
            ServerMessage::Message { room: of, seq, user, id, .. } if of == room => {
                seen.messages.push((seq, format!("{user}/{id}")));
            }
            ServerMessage::Ack { room: of, id, seq, .. } if of == room => seen.acks.push((id.to_string(), seq)),
            ServerMessage::Joined { room: of, head, .. } if of == room => seen.joined.push(head),
            ServerMessage::Error { code, .. } => seen.errors.push(code),
            _ => {}
        }
    }
}

async fn check(replicas: usize, ring_bytes: usize, repeats: u64, actions: Vec<Action>) {
    let stores = ReplicaStore::replicas(replicas, repeats);
    let options = Options::default().with_ring_bytes(ring_bytes);
    let worlds: Vec<_> = stores.iter().map(|store| World::over(store.clone(), options)).collect();
    // For each replica and room: a client that sends, and a member from the beginning.
    let mut senders = Vec::new();
    let mut readers = Vec::new();
    for (n, world) in worlds.iter().enumerate() {
        for room in ROOMS {
            senders.push((world.connect(&format!("user{n}")), Seen::default()));
            let mut reader = world.connect("reader");
            reader.enter(room).await;
            readers.push((reader, Seen::default()));
        }
    }
    let mut resumed = Vec::new();
    for action in actions {
        match action {
            Action::Send { replica, room, id } => {
                senders[replica * 2 + room].0.send(ROOMS[room], &id.to_string(), "body").await;
            }
            Action::Fate(replica, fate) => stores[replica].next(fate),
            Action::Hold(replica) => stores[replica].inner.pause_feed(),
            Action::Release(replica) => stores[replica].inner.resume_feed(),
            Action::Lose(replica) => stores[replica].inner.resume_feed_lagged(),
            Action::Pass(ms) => sleep(Duration::from_millis(ms)).await,
            Action::Resume { replica, room } => {
                let mut newest = 0;
                for (place, (client, seen)) in senders.iter_mut().chain(&mut readers).enumerate() {
                    if place % 2 == room {
                        take(client, ROOMS[room], seen);
                        let seqs =
                            seen.messages.iter().map(|(seq, _)| *seq).chain(seen.acks.iter().map(|(_, seq)| *seq));
                        newest = newest.max(seqs.max().unwrap_or(0));
                    }
                }
                let mut client = worlds[replica].connect("resumed");
                client.join(ROOMS[room], &format!(r#","after":{newest}"#)).await;
                resumed.push((client, Seen::default(), room, newest));
            }
        }
    }
    for store in &stores {
        store.inner.resume_feed();
        store.calm();
    }
    // Everything under way arrives in this time. Messages that are missing afterwards stay missing.
    for _ in 0..20 {
        sleep(Duration::from_secs(1)).await;
        let others = senders.iter_mut().chain(&mut readers).map(|(client, _)| client);
        for client in resumed.iter_mut().map(|(client, ..)| client).chain(others) {
            client.poll_pull(&mut Context::from_waker(Waker::noop()));
        }
    }
    let mut orders: HashMap<usize, Vec<(u64, String)>> = HashMap::new();
    for (place, (client, seen)) in readers.iter_mut().enumerate() {
        take(client, ROOMS[place % 2], seen);
        let head = seen.messages.len() as u64;
        assert!(seen.messages.iter().map(|(seq, _)| *seq).eq(1..=head), "reader {place}: {:?}", seen.messages);
        let order = orders.entry(place % 2).or_insert_with(|| seen.messages.clone());
        assert_eq!(*order, seen.messages, "reader {place}");
    }
    for (place, (client, seen)) in senders.iter_mut().enumerate() {
        take(client, ROOMS[place % 2], seen);
        for (id, seq) in &seen.acks {
            let name = format!("user{}/{id}", place / 2);
            let places: Vec<u64> =
                orders[&(place % 2)].iter().filter(|(_, of)| *of == name).map(|(seq, _)| *seq).collect();
            assert_eq!(places, [*seq], "{name}");
        }
    }
    for (client, mut seen, room, newest) in resumed {
        let mut client = client;
        take(&mut client, ROOMS[room], &mut seen);
        assert_eq!(seen.errors, []);
        assert!(seen.joined[0] >= newest);
        let expected = &orders[&room][usize::try_from(newest).unwrap()..];
        assert_eq!(seen.messages, expected, "resumed after {newest}");
    }
    for (room, name) in ROOMS.iter().enumerate() {
        assert_eq!(stores[0].inner.span(name).await.unwrap().head, orders[&room].len() as u64);
    }
    for world in &worlds {
        world.rooms.close().await;
        let totals = world.rooms.totals();
        assert_eq!(totals.accepted, totals.acked + totals.rejected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Every member of every replica gets all messages of its room, once and in one order. Each acknowledged message is stored once. A client
    /// that moves to another replica can join there and misses nothing.
    #[test]
    fn members_of_all_replicas_see_one_log(
        (replicas, actions) in (2usize..5).prop_flat_map(|count| (Just(count), actions(count))),
        ring_bytes in prop_oneof![Just(1usize), Just(300), Just(256 << 10)], repeats in 0u64..6,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(check(replicas, ring_bytes, repeats, actions));
    }
}
