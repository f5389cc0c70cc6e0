//! The drain, in paused time.

use crate::fixture::{Peer, Seen, adds_up, plan, registry, serve, tally};
use chatbox_core::{CloseCode, CloseError, CloseSummary, Tally};
use std::future::{pending, ready};
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_an_empty_registry_ends_at_once() {
    let (registry, recorder) = registry(10, 10);
    let start = Instant::now();
    assert_eq!(registry.drain(plan(), pending()).await, Tally::default());
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(recorder.read(), [Seen::Drain(0)]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_with_the_last_close_handshake() {
    let (registry, _) = registry(10, 10);
    for after in [10, 2_000, 300] {
        serve(registry.admit("alice").unwrap(), Peer::Answers(millis(after)));
    }
    let start = Instant::now();
    let tally = registry.drain(plan(), sleep(millis(15_000))).await;
    assert_eq!(tally, tally!(at_signal: 3, closed: 3));
    assert_eq!(start.elapsed(), millis(2_000));
}

#[tokio::test(start_paused = true)]
async fn peers_that_disconnect_are_not_counted_as_closed() {
    let (registry, _) = registry(10, 10);
    serve(registry.admit("alice").unwrap(), Peer::Answers(millis(10)));
    serve(registry.admit("bob").unwrap(), Peer::Leaves(millis(50)));
    let tally = registry.drain(plan(), sleep(millis(15_000))).await;
    assert_eq!(tally, tally!(at_signal: 2, closed: 1, peer_gone: 1));
}

#[tokio::test(start_paused = true)]
async fn connections_left_at_the_deadline_are_cut() {
    let (registry, recorder) = registry(10, 10);
    serve(registry.admit("alice").unwrap(), Peer::Answers(millis(10)));
    serve(registry.admit("bob").unwrap(), Peer::Silent);
    let start = Instant::now();
    let tally = registry.drain(plan(), sleep(millis(15_000))).await;
    assert_eq!(tally, tally!(at_signal: 2, closed: 1, aborted: 1));
    assert_eq!(start.elapsed(), millis(15_000), "sessions that react to the cut cost no further time");
    assert_eq!(recorder.read().last(), Some(&Seen::Ended(CloseSummary::aborted(CloseError::Cut))));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_does_not_react_to_the_cut_is_counted_once() {
    let (registry, _) = registry(10, 10);
    let stuck = serve(registry.admit("alice").unwrap(), Peer::Stuck);
    let start = Instant::now();
    let tally = registry.drain(plan(), sleep(millis(1_000))).await;
    assert_eq!(tally, tally!(at_signal: 1, aborted: 1));
    assert!(start.elapsed() < millis(1_500));

    stuck.abort();
    registry.empty().await;
    assert_eq!(registry.tally(), tally, "the tally was final");
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_expired_before_it_began_adds_up() {
    let (registry, _) = registry(10, 10);
    for _ in 0..5 {
        serve(registry.admit("alice").unwrap(), Peer::Silent);
    }
    let tally = registry.drain(plan(), ready(())).await;
    assert_eq!(tally, tally!(at_signal: 5, aborted: 5));
}

#[tokio::test(start_paused = true)]
async fn connections_whose_turn_did_not_come_are_closed_before_they_are_cut() {
    let (registry, recorder) = registry(10, 10);
    for _ in 0..4 {
        serve(registry.admit("alice").unwrap(), Peer::Answers(millis(50)));
    }
    serve(registry.admit("bob").unwrap(), Peer::Silent);
    let start = Instant::now();
    let tally = registry.drain(plan(), ready(())).await;
    assert_eq!(tally, tally!(at_signal: 5, closed: 4, aborted: 1));
    assert!(start.elapsed() <= millis(200), "{:?}", start.elapsed());
    assert_eq!(recorder.read().iter().filter(|seen| matches!(seen, Seen::Closing { .. })).count(), 5);
}

#[tokio::test(start_paused = true)]
async fn connections_that_end_during_the_lame_duck_are_counted() {
    let (registry, _) = registry(10, 10);
    serve(registry.admit("alice").unwrap(), Peer::Leaves(millis(100)));
    serve(registry.admit("bob").unwrap(), Peer::Answers(millis(100)));
    registry.refuse_newcomers();
    sleep(millis(5_000)).await;
    assert_eq!(registry.len(), 1);
    let tally = registry.drain(plan(), sleep(millis(15_000))).await;
    assert_eq!(tally, tally!(at_signal: 2, closed: 1, peer_gone: 1));
}

#[tokio::test(start_paused = true)]
async fn connections_are_closed_at_the_configured_rate_and_get_distinct_slots() {
    let (registry, recorder) = registry(1_000, 1_000);
    for _ in 0..300 {
        serve(registry.admit("alice").unwrap(), Peer::Answers(Duration::ZERO));
    }
    let tally = registry.drain(plan().with_rate(100), pending()).await;
    assert_eq!(tally.closed, 300);

    let seen = recorder.read();
    let turns: Vec<_> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Closing { at, reconnect_after } => Some((*at, reconnect_after.unwrap())),
            _ => None,
        })
        .collect();
    assert_eq!(turns.len(), 300);
    for (index, (at, slot)) in turns.iter().enumerate() {
        let turn = millis(10 * index as u64);
        assert!(at.abs_diff(turn) <= millis(12), "connection {index} was closed at {at:?}");
        assert!(index == 0 || *slot > turns[index - 1].1, "slot {index} is shared");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_drain_returns_the_tally_of_the_first() {
    let (registry, _) = registry(10, 10);
    serve(registry.admit("alice").unwrap(), Peer::Answers(millis(10)));
    let first = registry.drain(plan(), pending()).await;
    assert_eq!(registry.drain(plan(), pending()).await, first);
}

#[tokio::test(start_paused = true)]
async fn closes_go_on_when_the_drain_is_cancelled() {
    let (registry, _) = registry(10, 10);
    serve(registry.admit("alice").unwrap(), Peer::Answers(millis(100)));
    let cancelled = tokio::time::timeout(millis(10), registry.drain(plan(), pending())).await;
    assert!(cancelled.is_err());
    registry.empty().await;
    let tally = registry.drain(plan(), pending()).await;
    assert!(adds_up(&tally));
    assert_eq!((tally.at_signal, tally.closed), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn sessions_that_time_out_by_themselves_are_not_cut() {
    let (registry, _) = registry(10, 10);
    let mut lease = registry.admit("alice").unwrap();
    lease.begin();
    tokio::spawn(async move {
        sleep(millis(3_000)).await;
        lease.end(CloseSummary::timed_out(CloseCode::GOING_AWAY, CloseError::CloseTimeout));
    });
    let tally = registry.drain(plan(), sleep(millis(15_000))).await;
    assert_eq!(tally, tally!(at_signal: 1, timed_out: 1));
}
