//! Stores that go back to an earlier state: clients get `history_gone`, then everything that is stored.

use crate::harness::{Client, FlakyStore, World};
use crate::replica_store::{Fate, ReplicaStore};
use chatbox_protocol::{ErrorCode, ServerMessage};
use chatbox_rooms::Options;
use chatbox_store::Store;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::time::{advance, sleep};

/// A room with 20 messages, of which only the newest is in memory.
async fn room_of_20(store: Arc<dyn Store>) -> (World, Client) {
    let world = World::over(store, Options::default().with_ring_bytes(1));
    let mut writer = world.connect("writer");
    for seq in 1..=20 {
        writer.send("r", &format!("old-{seq}"), "x").await;
        assert_eq!(writer.answer().await, Ok(seq));
    }
    (world, writer)
}

/// Reads `history_gone`, `joined` and the messages up to the head that it names. Returns the ids.
async fn everything_after_the_gap(client: &mut Client, first: u64, head: u64, epoch: &str) -> Vec<String> {
    let gone = client.until(r#""type":"error""#).await.pop().unwrap();
    assert!(gone.contains(r#""code":"history_gone""#) && gone.contains(r#""room":"r""#), "{gone}");
    let joined = format!(r#"{{"type":"joined","room":"r","head":{head},"first":{first},"epoch":"{epoch}"}}"#);
    assert_eq!(client.line().await, joined);
    let mut ids = Vec::new();
    for expected in first..=head {
        let line = client.line().await;
        let Ok(ServerMessage::Message { seq, id, .. }) = ServerMessage::parse(&line) else { panic!("{line}") };
        assert_eq!(seq, expected);
        ids.push(id.into_owned());
    }
    ids
}

#[tokio::test(start_paused = true)]
async fn a_join_from_outside_the_log_gets_history_gone_then_what_is_stored_then_live_messages() {
    let (world, mut writer) = room_of_20(FlakyStore::new()).await;
    let epoch = world.epoch.to_string();
    let cases = [
        r#","after":1000"#.to_owned(),
        format!(r#","after":1000,"epoch":"{epoch}""#),
        r#","after":10,"epoch":"0123456789abcdef""#.to_owned(),
        r#","after":0,"epoch":"0123456789abcdef""#.to_owned(),
    ];
    for (from, live) in cases.into_iter().zip(21..) {
        let mut client = world.connect("reader");
        client.join("r", &from).await;
        everything_after_the_gap(&mut client, 1, live - 1, &epoch).await;
        writer.send("r", &format!("new-{live}"), "x").await;
        assert_eq!(writer.answer().await, Ok(live));
        assert_eq!(client.seqs(1).await, [live], "{from}");
        assert_eq!(client.rest(), Vec::<String>::new(), "no second error");
    }
    // What is in the log continues, with and without its epoch.
    for from in [r#","after":20"#.to_owned(), format!(r#","after":20,"epoch":"{epoch}""#)] {
        let mut client = world.connect("reader");
        client.join("r", &from).await;
        let lines = client.until(r#""type":"joined""#).await;
        assert!(lines.iter().all(|line| !line.contains("history_gone")), "{lines:?}");
        assert_eq!(client.seqs(4).await, [21, 22, 23, 24]);
    }
}

/// The next append finds out: the head that it expects is not there.
#[tokio::test(start_paused = true)]
async fn a_room_starts_over_when_an_append_finds_an_earlier_head() {
    let store = FlakyStore::new();
    let (world, mut writer) = room_of_20(store.clone()).await;
    let (mut member, mut lagging) = (world.connect("member"), world.connect("lagging"));
    member.enter("r").await;
    lagging.join("r", r#","after":2"#).await;
    lagging.until("joined").await;
    store.inner.truncate("r", 5);
    writer.send("r", "new", "x").await;
    assert_eq!(writer.answer().await, Ok(6));
    for client in [&mut member, &mut lagging] {
        let ids = everything_after_the_gap(client, 1, 6, &world.epoch).await;
        assert_eq!(ids, ["old-1", "old-2", "old-3", "old-4", "old-5", "new"]);
    }
    // Live again, and told once.
    for seq in 7..=30 {
        writer.send("r", &seq.to_string(), "x").await;
        assert_eq!(writer.answer().await, Ok(seq));
        for client in [&mut member, &mut lagging] {
            assert_eq!(client.seqs(1).await, [seq]);
            assert_eq!(client.rest(), Vec::<String>::new());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_starts_over_when_a_join_finds_an_earlier_head() {
    let store = FlakyStore::new();
    let (world, _writer) = room_of_20(store.clone()).await;
    let mut member = world.connect("member");
    member.enter("r").await;
    store.inner.truncate("r", 5);
    advance(Duration::from_secs(2)).await;
    let mut resumed = world.connect("resumed");
    resumed.join("r", r#","after":20"#).await;
    for client in [&mut resumed, &mut member] {
        everything_after_the_gap(client, 1, 5, &world.epoch).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_starts_over_when_a_member_cannot_read_what_was_published() {
    for left in [0, 2, 5] {
        let store = FlakyStore::new();
        let (world, _writer) = room_of_20(store.clone()).await;
        let mut lagging = world.connect("lagging");
        lagging.join("r", r#","after":2"#).await;
        store.inner.truncate("r", left);
        everything_after_the_gap(&mut lagging, 1, left, &world.epoch).await;
    }
}

#[tokio::test(start_paused = true)]
async fn rooms_of_all_replicas_start_over_when_the_feed_lags_after_a_restore() {
    for epoch in [None, Some("epoch 1")] {
        let stores = ReplicaStore::replicas(2, 0);
        let (here, mut writer) = room_of_20(stores[0].clone()).await;
        let there = World::over(stores[1].clone(), Options::default());
        let mut members = [here.connect("member"), there.connect("member")];
        for member in &mut members {
            member.enter("r").await;
        }
        ReplicaStore::restore(&stores, "r", 5, epoch);
        for member in &mut members {
            everything_after_the_gap(member, 1, 5, epoch.unwrap_or("epoch 0")).await;
        }
        writer.send("r", "new", "x").await;
        assert_eq!(writer.answer().await, Ok(6));
        for member in &mut members {
            assert_eq!(member.seqs(1).await, [6]);
            assert_eq!(member.rest(), Vec::<String>::new());
        }
    }
}

/// With the same head the epoch alone tells.
#[tokio::test(start_paused = true)]
async fn rooms_start_over_when_the_epoch_has_changed() {
    let stores = ReplicaStore::replicas(1, 0);
    let (world, _writer) = room_of_20(stores[0].clone()).await;
    let mut member = world.connect("member");
    member.enter("r").await;
    // Loading the room takes a while.
    stores[0].span_takes.store(100, Ordering::Relaxed);
    ReplicaStore::restore(&stores, "r", 20, Some("epoch 1"));
    everything_after_the_gap(&mut member, 1, 20, "epoch 1").await;
}

#[tokio::test(start_paused = true)]
async fn a_span_read_before_a_restore_is_not_taken_over_after_it() {
    let stores = ReplicaStore::replicas(1, 0);
    let (world, _writer) = room_of_20(stores[0].clone()).await;
    let mut member = world.connect("member");
    member.enter("r").await;
    sleep(Duration::from_secs(2)).await;
    stores[0].span_takes.store(100, Ordering::Relaxed);
    let mut joining = world.connect("joining");
    joining.join("r", r#","after":20"#).await;
    joining.poll_pull(&mut Context::from_waker(Waker::noop()));
    sleep(Duration::from_millis(50)).await;
    ReplicaStore::restore(&stores, "r", 5, Some("epoch 1"));
    // Both wait, each with a waker of its own.
    let (_, ()) = tokio::join!(everything_after_the_gap(&mut joining, 1, 5, "epoch 1"), async {
        everything_after_the_gap(&mut member, 1, 5, "epoch 1").await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(member.rest(), Vec::<String>::new(), "no second error");
    });
}

/// An append that was under way when the log went back belongs to the log as it was.
#[tokio::test(start_paused = true)]
async fn an_append_under_way_does_not_confuse_a_room_that_starts_over() {
    let stores = ReplicaStore::replicas(1, 0);
    let (world, mut writer) = room_of_20(stores[0].clone()).await;
    let mut member = world.connect("member");
    member.enter("r").await;
    stores[0].next(Fate::Takes(0, 1_000));
    writer.send("r", "lost", "x").await;
    sleep(Duration::from_millis(100)).await;
    ReplicaStore::restore(&stores, "r", 5, Some("epoch 1"));
    assert_eq!(writer.answer().await, Ok(21), "it was stored");
    everything_after_the_gap(&mut member, 1, 5, "epoch 1").await;
    writer.send("r", "new", "x").await;
    assert_eq!(writer.answer().await, Ok(6));
    assert_eq!(member.seqs(1).await, [6]);
}

#[tokio::test(start_paused = true)]
async fn a_closing_member_of_a_room_that_starts_over_holds_up_no_close() {
    let store = FlakyStore::new();
    let (world, mut writer) = room_of_20(store.clone()).await;
    let mut lagging = world.connect("lagging");
    lagging.join("r", r#","after":2"#).await;
    lagging.close();
    assert_eq!(lagging.lease.connection().owed(), 1);
    store.inner.truncate("r", 5);
    writer.send("r", "new", "x").await;
    assert_eq!(writer.answer().await, Ok(6));
    lagging.finish().await;
    assert_eq!(lagging.lease.connection().owed(), 0);
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Send {
        replica: usize,
    },
    /// The next append of a replica takes so long on its way there and back.
    Delay(usize, u64, u64),
    /// Restores a backup that lacks so many of the newest messages, under a new epoch.
    Restore(u64),
    Pause(usize),
    Resume(usize),
    Pass(u64),
    /// A client joins with the newest `seq` and epoch that any member has seen.
    Join {
        replica: usize,
    },
}

fn actions(replicas: usize) -> impl Strategy<Value = Vec<Action>> {
    let replica = 0..replicas;
    let action = prop_oneof![
        10 => replica.clone().prop_map(|replica| Action::Send { replica }),
        2 => (replica.clone(), 0u64..200, 0u64..200).prop_map(|(replica, there, back)| Action::Delay(replica, there, back)),
        2 => (0u64..8).prop_map(Action::Restore),
        1 => replica.clone().prop_map(Action::Pause),
        1 => replica.clone().prop_map(Action::Resume),
        3 => (0u64..700).prop_map(Action::Pass),
        2 => replica.prop_map(|replica| Action::Join { replica }),
    ];
    prop::collection::vec(action, 1..80)
}

/// What a member has got since its last `joined`.
#[derive(Default)]
struct Seen {
    epoch: String,
    messages: Vec<(u64, String)>,
    gaps: usize,
}

fn take(client: &mut Client, seen: &mut Seen) {
    for line in client.rest() {
        match ServerMessage::parse(&line).unwrap() {
            ServerMessage::Message { seq, id, .. } => seen.messages.push((seq, id.into_owned())),
            ServerMessage::Joined { epoch, .. } => {
                *seen = Seen { gaps: seen.gaps, epoch: epoch.unwrap().into_owned(), ..Seen::default() };
            }
            ServerMessage::Error { code, .. } => {
                assert_eq!(code, ErrorCode::HistoryGone);
                seen.gaps += 1;
            }
            _ => {}
        }
    }
}

/// Everything under way arrives in this time.
async fn settle(members: &mut [(Client, Seen)], senders: &mut [Client]) {
    for _ in 0..20 {
        sleep(Duration::from_secs(1)).await;
        for client in members.iter_mut().map(|(member, _)| member).chain(&mut *senders) {
            client.poll_pull(&mut Context::from_waker(Waker::noop()));
        }
    }
}

async fn check(replicas: usize, ring_bytes: usize, actions: Vec<Action>) {
    let stores = ReplicaStore::replicas(replicas, 0);
    let options = Options::default().with_ring_bytes(ring_bytes);
    let worlds: Vec<_> = stores.iter().map(|store| World::over(store.clone(), options)).collect();
    let mut senders: Vec<_> = worlds.iter().map(|world| world.connect("sender")).collect();
    let mut members = Vec::new();
    for world in &worlds {
        let mut member = world.connect("member");
        member.join("r", r#","after":0"#).await;
        members.push((member, Seen::default()));
    }
    let (mut sent, mut restores) = (0, 0);
    for action in actions {
        match action {
            Action::Send { replica } => {
                sent += 1;
                senders[replica].send("r", &sent.to_string(), "x").await;
            }
            Action::Delay(replica, there, back) => stores[replica].next(Fate::Takes(there, back)),
            Action::Restore(lost) => {
                restores += 1;
                let head = stores[0].inner.span("r").await.unwrap().head;
                ReplicaStore::restore(&stores, "r", head.saturating_sub(lost), Some(&format!("epoch {restores}")));
            }
            Action::Pause(replica) => stores[replica].inner.pause_feed(),
            Action::Resume(replica) => stores[replica].inner.resume_feed(),
            Action::Pass(ms) => sleep(Duration::from_millis(ms)).await,
            Action::Join { replica } => {
                let mut newest = (0, "epoch 0".to_owned());
                for (member, seen) in &mut members {
                    take(member, seen);
                    if let Some((seq, _)) = seen.messages.last() {
                        newest = newest.max((*seq, seen.epoch.clone()));
                    }
                }
                let (after, epoch) = newest;
                let mut member = worlds[replica].connect("resumed");
                member.join("r", &format!(r#","after":{after},"epoch":"{epoch}""#)).await;
                members.push((member, Seen::default()));
            }
        }
    }
    for store in &stores {
        store.inner.resume_feed();
        store.calm();
    }
    settle(&mut members, &mut senders).await;
    // The log is live on every replica.
    for sender in &mut senders {
        sender.rest();
        sent += 1;
        sender.send("r", &sent.to_string(), "x").await;
        assert!(sender.answer().await.is_ok());
    }
    settle(&mut members, &mut senders).await;
    let stored = stores[0].inner.read("r", 0, usize::MAX).await.unwrap().messages;
    let stored: Vec<_> = stored.into_iter().map(|message| (message.seq, message.id.into_string())).collect();
    for (index, (member, seen)) in members.iter_mut().enumerate() {
        take(member, seen);
        assert!(seen.gaps <= restores + 1, "member {index} got {} errors in {restores} restores", seen.gaps);
        // At least the last messages of the senders.
        let begin = usize::try_from(seen.messages[0].0).unwrap() - 1;
        assert_eq!(seen.messages, stored[begin..], "member {index}");
        assert!(seen.gaps == 0 || begin == 0, "member {index} gets everything after a gap");
        assert!(restores == 0 || seen.gaps == 0 || seen.epoch == format!("epoch {restores}"), "member {index}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// For any sequence of sends, restores and joins: in the end every member has got the log that is left, from its last `joined` on, once
    /// and in order. It has got `history_gone` at most once for each restore.
    #[test]
    fn members_of_all_replicas_see_the_log_that_is_left(
        (replicas, actions) in (1usize..4).prop_flat_map(|count| (Just(count), actions(count))),
        ring_bytes in prop_oneof![Just(1usize), Just(256 << 10)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(check(replicas, ring_bytes, actions));
    }
}
