//! Admission and its limits, and the outcomes of leases.

use crate::fixture::{Seen, adds_up, ended, plan, registry};
use chatbox_core::{CloseSummary, Closing, Command, Limits, Outcome, Refused, Registry, Tally};
use std::future::ready;
use std::task::{Context, Waker};

#[test]
fn a_full_service_refuses_until_somebody_leaves() {
    let (registry, diary) = registry(2, 10);
    let alice = registry.admit("alice").unwrap();
    let _bob = registry.admit("bob").unwrap();
    assert_eq!(registry.admit("carol").unwrap_err(), Refused::Full);
    assert_eq!(registry.len(), 2);
    drop(alice);
    assert!(registry.admit("carol").is_ok());
    assert_eq!(diary.read(), [Seen::Refused(Refused::Full)]);
}

#[test]
fn each_user_has_a_limit_of_its_own() {
    let (registry, diary) = registry(10, 2);
    let first = registry.admit("alice").unwrap();
    let _second = registry.admit("alice").unwrap();
    assert_eq!(registry.admit("alice").unwrap_err(), Refused::TooManyOfUser);
    let _bob = registry.admit("bob").unwrap();
    first.end(CloseSummary::aborted("test"));
    let _third = registry.admit("alice").unwrap();
    assert_eq!(registry.admit("alice").unwrap_err(), Refused::TooManyOfUser);
    assert_eq!(diary.read(), vec![Seen::Refused(Refused::TooManyOfUser); 2]);
}

#[test]
fn a_limit_of_nobody_admits_nobody() {
    let (registry, _) = registry(10, 0);
    assert_eq!(registry.admit("alice").unwrap_err(), Refused::TooManyOfUser);
    let registry = Registry::new(Limits { max_connections: 0, ..Limits::default() }, ());
    assert_eq!(registry.admit("alice").unwrap_err(), Refused::Full);
}

#[test]
fn connections_have_names_of_their_own_and_share_their_users() {
    let (registry, _) = registry(10, 10);
    let first = registry.admit("alice").unwrap();
    let second = registry.admit("alice").unwrap();
    assert_ne!(first.connection().id(), second.connection().id());
    assert!(std::sync::Arc::ptr_eq(first.connection().user(), second.connection().user()));
}

#[test]
fn a_closed_gate_refuses_and_counts_whom_it_refused() {
    let (registry, diary) = registry(10, 10);
    let lease = registry.admit("alice").unwrap();
    assert_eq!(registry.refuse_newcomers(), 1);
    assert_eq!(registry.admit("bob").unwrap_err(), Refused::Draining);
    assert_eq!(registry.admit("alice").unwrap_err(), Refused::Draining);
    assert_eq!(registry.tally(), Tally { at_signal: 1, refused: 2, ..Tally::default() });
    assert_eq!(diary.read(), vec![Seen::Refused(Refused::Draining); 2]);
    assert_eq!(lease.connection().command(), Command::Serve, "the open ones are served on");
}

#[test]
fn closing_the_gate_again_changes_nothing() {
    let (registry, _) = registry(10, 10);
    let lease = registry.admit("alice").unwrap();
    assert_eq!(registry.refuse_newcomers(), 1);
    drop(lease);
    assert_eq!(registry.refuse_newcomers(), 1);
    assert!(registry.begin_drain().is_empty());
    assert_eq!(registry.tally(), Tally { at_signal: 1, peer_gone: 1, ..Tally::default() });
}

#[test]
fn the_drain_set_is_what_was_registered() {
    let (registry, _) = registry(10, 10);
    let leases: Vec<_> = ["alice", "bob"].iter().map(|user| registry.admit(user).unwrap()).collect();
    let mut drained: Vec<_> = registry.begin_drain().iter().map(|connection| connection.id()).collect();
    drained.sort();
    assert_eq!(drained, leases.iter().map(|lease| lease.connection().id()).collect::<Vec<_>>());
}

#[test]
fn a_lease_dropped_during_the_handshake_is_a_peer_that_went_away() {
    let (registry, diary) = registry(10, 10);
    let lease = registry.admit("alice").unwrap();
    registry.refuse_newcomers();
    drop(lease);
    assert_eq!(registry.tally().peer_gone, 1);
    assert_eq!(diary.read(), [], "a session that never began has no end to report");
}

#[test]
fn a_lease_dropped_after_its_session_began_is_aborted() {
    let (registry, diary) = registry(10, 10);
    let mut lease = registry.admit("alice").unwrap();
    lease.begin();
    registry.refuse_newcomers();
    drop(lease);
    assert_eq!(registry.tally().aborted, 1);
    assert_eq!(diary.read(), [Seen::Opened, Seen::CloseSummary(CloseSummary::aborted("dropped"))]);
}

#[test]
fn a_session_that_panics_gives_its_place_back() {
    let (registry, diary) = registry(1, 1);
    let mut lease = registry.admit("alice").unwrap();
    lease.begin();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _lease = lease;
        std::panic::resume_unwind(Box::new("a session's panic"));
    }));
    assert!(panicked.is_err());
    assert!(registry.is_empty());
    assert!(registry.admit("alice").is_ok());
    assert_eq!(diary.read()[1], Seen::CloseSummary(CloseSummary::aborted("dropped")));
}

#[tokio::test]
async fn every_outcome_has_its_sum_and_the_sums_add_up() {
    let (registry, diary) = registry(100, 100);
    let outcomes = [Outcome::Closed, Outcome::PeerGone, Outcome::TimedOut, Outcome::Aborted];
    let mut open = Vec::new();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        for _ in 0..=index {
            let mut lease = registry.admit("alice").unwrap();
            lease.begin();
            open.push((lease, outcome));
        }
    }
    // Left while the gate was open: no concern of the drain.
    registry.admit("alice").unwrap().end(ended(Outcome::Closed));
    registry.refuse_newcomers();
    for (lease, outcome) in open {
        lease.end(ended(outcome));
    }
    let tally = registry.drain(plan(), ready(())).await;
    assert_eq!(tally, Tally { at_signal: 10, closed: 1, peer_gone: 2, timed_out: 3, aborted: 4, refused: 0 });
    assert!(adds_up(&tally));
    assert_eq!(diary.read().iter().filter(|seen| matches!(seen, Seen::CloseSummary(_))).count(), 10);
}

#[test]
fn empty_resolves_when_the_last_one_has_left() {
    let (registry, _) = registry(10, 10);
    let mut cx = Context::from_waker(Waker::noop());
    let first = registry.admit("alice").unwrap();
    let second = registry.admit("bob").unwrap();
    let mut empty = std::pin::pin!(registry.empty());
    assert!(empty.as_mut().poll(&mut cx).is_pending());
    drop(first);
    assert!(empty.as_mut().poll(&mut cx).is_pending());
    drop(second);
    assert!(empty.as_mut().poll(&mut cx).is_ready());
}

#[test]
fn empty_does_not_resolve_for_a_place_that_was_taken_again() {
    let (registry, _) = registry(10, 10);
    let mut cx = Context::from_waker(Waker::noop());
    let first = registry.admit("alice").unwrap();
    let mut empty = std::pin::pin!(registry.empty());
    assert!(empty.as_mut().poll(&mut cx).is_pending());
    drop(first);
    let _second = registry.admit("bob").unwrap();
    assert!(empty.as_mut().poll(&mut cx).is_pending());
}

#[test]
fn a_connection_that_is_told_to_close_by_itself_has_no_slot() {
    let (registry, _) = registry(10, 10);
    let lease = registry.admit("alice").unwrap();
    let closing = Closing { reason: plan().reason, reconnect_after: None };
    lease.connection().close(closing.clone());
    assert_eq!(lease.connection().command(), Command::Close(closing));
}
