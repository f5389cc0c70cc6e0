//! Admission, its limits, and the outcomes of leases.

use crate::fixture::{Seen, adds_up, ended, plan, registry, tally};
use chatbox_core::{CloseCode, CloseError, CloseReason, CloseSummary, Closing, Command, Outcome, Refused};
use std::collections::BTreeSet;
use std::future::ready;
use std::task::{Context, Waker};

#[test]
fn a_full_registry_refuses_until_a_connection_ends() {
    let (registry, recorder) = registry(2, 10);
    let alice = registry.admit("alice").unwrap();
    let _bob = registry.admit("bob").unwrap();
    assert_eq!(registry.admit("carol").unwrap_err(), Refused::Full);
    assert_eq!(registry.len(), 2);
    drop(alice);
    assert!(registry.admit("carol").is_ok());
    assert_eq!(recorder.read(), [Seen::Refused(Refused::Full)]);
}

#[test]
fn each_user_has_a_limit_of_its_own() {
    let (registry, recorder) = registry(10, 2);
    let first = registry.admit("alice").unwrap();
    let _second = registry.admit("alice").unwrap();
    assert_eq!(registry.admit("alice").unwrap_err(), Refused::TooManyConnections);
    let _bob = registry.admit("bob").unwrap();
    first.end(CloseSummary::aborted(CloseError::Cut));
    let _third = registry.admit("alice").unwrap();
    assert_eq!(registry.admit("alice").unwrap_err(), Refused::TooManyConnections);
    assert_eq!(recorder.read(), vec![Seen::Refused(Refused::TooManyConnections); 2]);
}

#[test]
fn every_reason_to_refuse_is_listed_with_a_word_of_its_own() {
    let words: BTreeSet<_> = Refused::ALL.iter().map(|refused| refused.as_str()).collect();
    assert_eq!(words, BTreeSet::from(["draining", "full", "too_many_connections"]));
}

#[test]
fn connections_have_distinct_identifiers_and_share_the_user() {
    let (registry, _) = registry(10, 10);
    let first = registry.admit("alice").unwrap();
    let second = registry.admit("alice").unwrap();
    assert_ne!(first.connection().id(), second.connection().id());
    assert!(std::sync::Arc::ptr_eq(first.connection().user(), second.connection().user()));
}

#[test]
fn a_closed_gate_refuses_and_counts_refusals() {
    let (registry, recorder) = registry(10, 10);
    let mut lease = registry.admit("alice").unwrap();
    assert_eq!(registry.refuse_newcomers(), 1);
    assert_eq!(registry.admit("bob").unwrap_err(), Refused::Draining);
    assert_eq!(registry.admit("alice").unwrap_err(), Refused::Draining);
    assert_eq!(registry.tally(), tally!(at_signal: 1, refused: 2));
    assert_eq!(recorder.read(), vec![Seen::Refused(Refused::Draining); 2]);
    assert_eq!(lease.command(), Command::Serve, "open connections are still served");
}

#[test]
fn closing_the_gate_again_changes_nothing() {
    let (registry, _) = registry(10, 10);
    let lease = registry.admit("alice").unwrap();
    assert_eq!(registry.refuse_newcomers(), 1);
    drop(lease);
    assert_eq!(registry.refuse_newcomers(), 1);
    assert!(registry.begin_drain().is_empty());
    assert_eq!(registry.tally(), tally!(at_signal: 1, peer_gone: 1));
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
fn a_lease_dropped_during_the_handshake_counts_as_peer_gone() {
    let (registry, recorder) = registry(10, 10);
    let lease = registry.admit("alice").unwrap();
    registry.refuse_newcomers();
    drop(lease);
    assert_eq!(registry.tally().peer_gone, 1);
    assert_eq!(recorder.read(), [], "a session that never began is not reported");
}

#[test]
fn a_lease_dropped_after_its_session_began_is_aborted() {
    let (registry, recorder) = registry(10, 10);
    let mut lease = registry.admit("alice").unwrap();
    lease.begin();
    registry.refuse_newcomers();
    drop(lease);
    assert_eq!(registry.tally().aborted, 1);
    assert_eq!(recorder.read(), [Seen::Opened, Seen::Ended(CloseSummary::aborted(CloseError::Dropped))]);
}

#[test]
fn a_session_that_panics_leaves_the_registry() {
    let (registry, recorder) = registry(1, 1);
    let mut lease = registry.admit("alice").unwrap();
    lease.begin();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _lease = lease;
        std::panic::resume_unwind(Box::new("a session's panic"));
    }));
    assert!(panicked.is_err());
    assert!(registry.is_empty());
    assert!(registry.admit("alice").is_ok());
    assert_eq!(recorder.read()[1], Seen::Ended(CloseSummary::aborted(CloseError::Dropped)));
}

#[tokio::test]
async fn every_outcome_is_counted_and_the_counts_add_up() {
    let (registry, recorder) = registry(100, 100);
    let outcomes = [Outcome::Closed, Outcome::PeerGone, Outcome::TimedOut, Outcome::Aborted];
    let mut open = Vec::new();
    for (index, outcome) in outcomes.into_iter().enumerate() {
        for _ in 0..=index {
            let mut lease = registry.admit("alice").unwrap();
            lease.begin();
            open.push((lease, outcome));
        }
    }
    // Ended while the gate was open: not part of the drain.
    registry.admit("alice").unwrap().end(ended(Outcome::Closed));
    registry.refuse_newcomers();
    for (lease, outcome) in open {
        lease.end(ended(outcome));
    }
    let tally = registry.drain(plan(), ready(())).await;
    assert_eq!(tally, tally!(at_signal: 10, closed: 1, peer_gone: 2, timed_out: 3, aborted: 4));
    assert!(adds_up(&tally));
    assert_eq!(recorder.read().iter().filter(|seen| matches!(seen, Seen::Ended(_))).count(), 10);
}

#[test]
fn empty_resolves_when_the_last_connection_has_ended() {
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
fn empty_does_not_resolve_when_the_slot_was_taken_again() {
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
fn a_connection_that_is_closed_by_itself_has_no_reconnect_slot() {
    let (registry, _) = registry(10, 10);
    let mut lease = registry.admit("alice").unwrap();
    let reason = CloseReason::new(CloseCode::POLICY, "logged out");
    lease.connection().close(reason.clone());
    assert_eq!(lease.command(), Command::Close(Closing::new(reason)));
}

#[test]
fn the_end_of_a_connection_tells_how_many_replies_were_owed() {
    let (registry, recorder) = registry(10, 10);
    let mut lease = registry.admit("alice").unwrap();
    lease.begin();
    let (answered, _owed) = (lease.connection().owe(10), lease.connection().owe(10));
    drop(answered);
    lease.end(CloseSummary::aborted(CloseError::Cut));
    assert_eq!(recorder.read()[1], Seen::Ended(CloseSummary::aborted(CloseError::Cut).with_owed(1)));
}
