//! Random sequences of admissions, ends and drains: the tally always adds up.

use crate::fixture::{Peer, adds_up, ended, plan, registry, serve};
use chatbox_core::{Drain, Lease, Outcome, Refused};
use proptest::prelude::*;
use std::time::Duration;
use tokio::time::sleep;

const MAX_CONNECTIONS: usize = 6;
const MAX_PER_USER: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Admit(usize),
    /// The connection at this index (modulo their number) ends.
    Leave(usize, Outcome),
    /// The lease at this index is dropped.
    Drop(usize),
    /// The connection at this index is served by a session from here on.
    Serve(usize, Peer),
    Refuse,
    Wait(Duration),
}

fn millis(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn peer() -> impl Strategy<Value = Peer> {
    prop_oneof![
        millis(0..3_000).prop_map(Peer::Answers),
        millis(0..3_000).prop_map(Peer::Leaves),
        Just(Peer::Silent),
        Just(Peer::Stuck),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![Just(Outcome::Closed), Just(Outcome::PeerGone), Just(Outcome::TimedOut)];
    prop_oneof![
        8 => (0usize..3).prop_map(Step::Admit),
        2 => (any::<usize>(), outcome).prop_map(|(index, outcome)| Step::Leave(index, outcome)),
        1 => any::<usize>().prop_map(Step::Drop),
        4 => (any::<usize>(), peer()).prop_map(|(index, peer)| Step::Serve(index, peer)),
        1 => Just(Step::Refuse),
        1 => millis(0..1_000).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn the_tally_adds_up(
        steps in prop::collection::vec(step(), 0..60),
        rate in prop_oneof![Just(0), 1u32..50],
        expires in millis(0..6_000),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(steps, plan().with_rate(rate), expires))?;
    }
}

async fn run(steps: Vec<Step>, drain: Drain, expires: Duration) -> Result<(), TestCaseError> {
    let (registry, _) = registry(MAX_CONNECTIONS, MAX_PER_USER as u32);
    let mut held: Vec<Lease> = Vec::new();
    let mut open = true;
    let mut refused = 0;
    for step in steps {
        match step {
            Step::Admit(user) => {
                let user = ["alice", "bob", "carol"][user];
                match registry.admit(user) {
                    Ok(lease) => {
                        prop_assert!(open);
                        held.push(lease);
                    }
                    Err(Refused::Draining) => {
                        prop_assert!(!open);
                        refused += 1;
                    }
                    Err(Refused::Full) => prop_assert_eq!(registry.len(), MAX_CONNECTIONS),
                    Err(Refused::TooManyConnections) => prop_assert!(registry.len() >= MAX_PER_USER),
                    Err(other) => prop_assert!(false, "{}", other),
                }
                let of_user = held.iter().filter(|lease| &**lease.connection().user() == user).count();
                prop_assert!(of_user <= MAX_PER_USER && registry.len() <= MAX_CONNECTIONS);
            }
            Step::Leave(index, outcome) => {
                if let Some(lease) = take(&mut held, index) {
                    lease.end(ended(outcome));
                }
            }
            Step::Drop(index) => drop(take(&mut held, index)),
            Step::Serve(index, peer) => {
                if let Some(lease) = take(&mut held, index) {
                    serve(lease, peer);
                }
            }
            Step::Refuse => {
                registry.refuse_newcomers();
                open = false;
            }
            Step::Wait(time) => sleep(time).await,
        }
        let tally = registry.tally();
        let ended = tally.closed + tally.peer_gone + tally.timed_out + tally.aborted;
        prop_assert_eq!(tally.at_signal, if open { 0 } else { ended + registry.len() as u64 });
    }
    // A connection without a session stays registered to the end, as a stuck one would.
    let tally = registry.drain(drain, sleep(expires)).await;
    prop_assert!(adds_up(&tally), "{:?}", tally);
    prop_assert_eq!(tally.refused, refused);
    drop(held);
    prop_assert_eq!(registry.tally(), tally);
    Ok(())
}

fn take(held: &mut Vec<Lease>, index: usize) -> Option<Lease> {
    (!held.is_empty()).then(|| held.swap_remove(index % held.len()))
}
