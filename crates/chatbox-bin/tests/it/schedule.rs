//! Any schedule of connects, messages, departures and a shutdown, with clients of every kind: the books of the report add up,
//! and the deadline is kept. In paused time, over pipes.

use crate::harness::{End, Peer};
use chatbox::{Config, Secret, Service, ServiceReport};
use proptest::prelude::*;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// What a client is like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Reads, and answers a Close.
    Polite,
    /// Reads, and does not answer.
    Mute,
    /// Reads a frame, and then does something else for a while.
    Slow { pause: u64 },
    /// Reads nothing.
    Stalled,
    /// Closes properly after a while, whatever happens.
    Leaving { after: u64 },
    /// Is gone after a while, without a word.
    Vanishing { after: u64 },
}

/// A client: when it connects, and what it sends; times in milliseconds.
#[derive(Clone, Debug)]
struct Client {
    kind: Kind,
    connects: u64,
    room: u8,
    messages: u8,
    every: u64,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Schedule {
    clients: Vec<Client>,
    shutdown: u64,
    deadline: u64,
    close_rate: u32,
}

/// What became of a client's connection.
struct Seen {
    kind: Kind,
    connected: Instant,
    acks: u64,
    close: Option<u16>,
    end: Option<End>,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Polite),
        1 => Just(Kind::Mute),
        1 => (1..2_000_u64).prop_map(|pause| Kind::Slow { pause }),
        1 => Just(Kind::Stalled),
        1 => (0..12_000_u64).prop_map(|after| Kind::Leaving { after }),
        1 => (0..12_000_u64).prop_map(|after| Kind::Vanishing { after }),
    ]
}

fn client() -> impl Strategy<Value = Client> {
    (kind(), 0..12_000_u64, 0..3_u8, 0..40_u8, 1..500_u64, 0..2_000_usize).prop_map(
        |(kind, connects, room, messages, every, bytes)| Client { kind, connects, room, messages, every, bytes },
    )
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let clients = prop::collection::vec(client(), 0..12);
    (clients, 0..10_000_u64, 0..30_000_u64, 0..20_u32).prop_map(|(clients, shutdown, deadline, close_rate)| Schedule {
        clients,
        shutdown,
        deadline,
        close_rate,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_books_add_up_and_the_deadline_is_kept(schedule in schedule()) {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(schedule))?;
    }
}

#[tokio::test]
async fn a_service_may_be_shut_down_again_and_without_any_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.store.url = Secret::new(format!("sqlite:{}", directory.path().join("chat.db").display()));
    let service = Service::start(config).await.unwrap();
    let (ours, theirs) = tokio::io::duplex(4_096);
    tokio::spawn(service.serve_stream(theirs, "alice").unwrap());
    let peer = tokio::spawn(Peer::on(ours).finish());
    let first = service.shutdown(Duration::from_secs(1)).await;
    peer.await.unwrap().slot();
    assert_eq!((first.exit_code(), first.connections.closed), (0, 1));
    assert!(service.serve_stream(tokio::io::duplex(1).0, "bob").is_err());
    let again = service.shutdown(Duration::from_secs(1)).await;
    assert_eq!((again.exit_code(), again.connections.closed, again.connections.refused), (0, 1, 1));
    service.shutdown(Duration::ZERO).await;
}

async fn run(schedule: Schedule) -> Result<(), TestCaseError> {
    let mut config = Config::default();
    config.store.url = Secret::new("memory:");
    config.limits.messages_per_second = NonZeroU32::MAX;
    config.limits.burst = NonZeroU32::MAX;
    config.shutdown.close_rate = schedule.close_rate;
    let service = Service::start(config).await.unwrap();
    let refused = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for (number, client) in schedule.clients.into_iter().enumerate() {
        clients.spawn(live(service.clone(), number, client, Arc::clone(&refused)));
    }
    sleep(Duration::from_millis(schedule.shutdown)).await;
    let deadline = Duration::from_millis(schedule.deadline);
    let begun = Instant::now();
    let report = service.shutdown(deadline).await;
    let took = begun.elapsed();
    let refused = refused.load(Ordering::Relaxed);

    prop_assert!(
        took <= deadline.clamp(Duration::from_millis(1), Duration::from_secs(25)),
        "took {took:?} of {deadline:?}: {}",
        report.to_json()
    );
    check(&report, refused, deadline)?;
    let seen: Vec<Seen> = clients.join_all().await.into_iter().flatten().collect();
    let open = seen.iter().filter(|seen| seen.connected <= begun).count() as u64;
    prop_assert!(report.connections.at_signal <= open);
    prop_assert!(seen.iter().map(|seen| seen.acks).sum::<u64>() <= report.messages.acked);
    for seen in seen {
        // With enough time, a client that reads and answers gets its Close, whatever the others do.
        let stays = matches!(seen.kind, Kind::Polite);
        if stays && deadline >= Duration::from_secs(1) {
            prop_assert_eq!((seen.close, seen.end), (Some(1001), Some(End::Eof)));
        }
    }
    Ok(())
}

fn check(report: &ServiceReport, refused: u64, deadline: Duration) -> Result<(), TestCaseError> {
    let (connections, messages) = (report.connections, report.messages);
    let ended = connections.closed + connections.peer_gone + connections.timed_out + connections.aborted;
    prop_assert_eq!(connections.at_signal, ended);
    prop_assert_eq!(connections.refused, refused);
    prop_assert_eq!(messages.accepted, messages.acked + messages.rejected);
    prop_assert_eq!(messages.rejected, 0, "nothing is wrong with the store");
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let cut = connections.timed_out + connections.aborted > 0;
    // In no time at all, participants cannot even begin; that is said, too.
    if deadline >= Duration::from_millis(100) {
        prop_assert_eq!(&json["outcome"], if cut { "deadline" } else { "clean" }, "{}", json);
        prop_assert_eq!(report.exit_code(), 0);
    }
    Ok(())
}

/// The life of one client; `None` if it was turned away.
async fn live(service: Service, number: usize, client: Client, refused: Arc<AtomicU64>) -> Option<Seen> {
    sleep(Duration::from_millis(client.connects)).await;
    let (ours, theirs) = tokio::io::duplex(4_096);
    let Ok(session) = service.serve_stream(theirs, format!("user-{number}")) else {
        refused.fetch_add(1, Ordering::Relaxed);
        return None;
    };
    tokio::spawn(session);
    let mut seen = Seen { kind: client.kind, connected: Instant::now(), acks: 0, close: None, end: None };
    let mut peer = Peer::on(ours);
    peer.polite = !matches!(client.kind, Kind::Mute);
    let output = peer.output();
    let sending = async move {
        let room = client.room;
        let mut texts = vec![format!(r#"{{"type":"join","room":"room-{room}"}}"#)];
        let body = "x".repeat(client.bytes);
        texts.extend(
            (0..client.messages)
                .map(|id| format!(r#"{{"type":"send","room":"room-{room}","id":"{id}","body":"{body}"}}"#)),
        );
        for text in texts {
            use tokio::io::AsyncWriteExt;
            if output.lock().await.write_all(&crate::harness::frame(0x81, text.as_bytes())).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(client.every)).await;
        }
    };
    let sending = tokio::spawn(sending);
    let until = |after: u64| sleep_until(seen.connected + Duration::from_millis(after));
    match client.kind {
        Kind::Polite | Kind::Mute => read(&mut peer, &mut seen, 0).await,
        Kind::Slow { pause } => read(&mut peer, &mut seen, pause).await,
        Kind::Stalled => until(60_000).await,
        Kind::Leaving { after } => {
            let leaving = until(after);
            tokio::select! {
                () = read(&mut peer, &mut seen, 0) => {}
                () = leaving => {
                    sending.abort();
                    peer.close(1000).await;
                    peer.polite = false;
                    read(&mut peer, &mut seen, 0).await;
                }
            }
        }
        Kind::Vanishing { after } => {
            let vanishing = until(after);
            tokio::select! {
                () = read(&mut peer, &mut seen, 0) => {}
                () = vanishing => {}
            }
        }
    }
    sending.abort();
    Some(seen)
}

/// Reads to the end, with a pause in milliseconds between frames.
async fn read(peer: &mut Peer, seen: &mut Seen, pause: u64) {
    use crate::harness::Frame;
    loop {
        match peer.next().await {
            Ok(Frame::Text(text)) => {
                assert_eq!(seen.close, None, "after the Close: {text}");
                seen.acks += u64::from(text.starts_with(r#"{"type":"ack""#));
            }
            Ok(Frame::Close(code, _)) => seen.close = Some(code),
            Ok(_) => {}
            Err(end) => {
                seen.end = Some(end);
                return;
            }
        }
        sleep(Duration::from_millis(pause)).await;
    }
}
