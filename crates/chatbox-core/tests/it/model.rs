//! Loom models of the gate and the wake-up flag, compiled from the files of the crate: every interleaving.

#[path = "../../src/gate.rs"]
mod gate;
#[path = "../../src/wake.rs"]
#[expect(dead_code, reason = "the models need a part of it")]
mod wake;

use crate::sync;
use gate::Gate;
use loom::sync::Notify;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use std::sync::Arc;
use std::task::Waker;
use wake::Wake;

/// A gate whose items are numbers, and whose counter is their number when it closed.
type Numbers = Gate<u32, Option<usize>>;

fn admit(gate: &Numbers, number: u32) -> bool {
    gate.admit((), |_, _, _| Ok(number)).is_ok()
}

fn close(gate: &Numbers) {
    gate.close(|counter, admitted| *counter = Some(admitted));
}

/// Admits `admitting` numbers from as many threads while this one closes the gate.
fn admit_while_closing(admitting: u32) {
    loom::model(move || {
        let gate = Arc::new(Numbers::new(None));
        let threads: Vec<_> = (0..admitting)
            .map(|number| {
                let gate = Arc::clone(&gate);
                thread::spawn(move || admit(&gate, number))
            })
            .collect();
        close(&gate);
        let drained = gate.admitted();
        assert!(!admit(&gate, 99), "admitted after the gate was closed");
        for (number, thread) in threads.into_iter().enumerate() {
            let admitted = thread.join().unwrap();
            assert_eq!(drained.contains(&(number as u32)), admitted, "neither refused nor drained");
        }
        assert_eq!(gate.with(|state| state.counters), Some(drained.len()));
        assert_eq!(gate.admitted().len(), drained.len(), "the drain set has grown");
    });
}

#[test]
fn what_the_gate_admits_is_drained() {
    admit_while_closing(1);
    admit_while_closing(2);
}

#[test]
fn an_item_that_leaves_while_the_gate_closes_is_counted_or_had_left_before() {
    loom::model(|| {
        let gate = Arc::new(Numbers::new(None));
        let slot = gate.admit((), |_, _, slot| Ok(slot as u32)).unwrap() as usize;
        let leaving = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.leave(slot, |_, open, _| open))
        };
        close(&gate);
        let drained = gate.admitted();
        let left_before = leaving.join().unwrap();
        let counted = gate.with(|state| state.counters).unwrap();
        assert_eq!(counted, usize::from(!left_before));
        assert!(drained.len() <= counted);
        assert!(gate.admitted().is_empty());
    });
}

/// A task's waker: wakes the loom thread that waits for it.
struct Unpark(Notify);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

/// A session sleeps until it has seen one piece of work from each of `notifiers`. If a wake-up is lost, nothing wakes it, and loom
/// reports a deadlock.
fn session_sees_all_work(notifiers: usize, look: fn(&Wake, &AtomicUsize) -> usize) {
    let mut model = loom::model::Builder::new();
    // One notifier is tried in every interleaving; for two of them that would take minutes.
    model.preemption_bound = (notifiers > 1).then_some(3);
    model.check(move || {
        let wake = Arc::new(Wake::new());
        let work = Arc::new(AtomicUsize::new(0));
        for _ in 0..notifiers {
            let (wake, work) = (Arc::clone(&wake), Arc::clone(&work));
            thread::spawn(move || {
                // The least that a source could use to publish; a lock would order more than this.
                work.fetch_add(1, Ordering::Relaxed);
                Wake::publish();
                wake.notify_published();
            });
        }
        let task = Arc::new(Unpark(Notify::new()));
        let waker = Waker::from(Arc::clone(&task));
        loop {
            wake.register(&waker);
            if look(&wake, &work) == notifiers {
                break;
            }
            task.0.wait();
        }
    });
}

fn lower_then_look(wake: &Wake, work: &AtomicUsize) -> usize {
    wake.lower();
    work.load(Ordering::Relaxed)
}

fn look_then_lower(wake: &Wake, work: &AtomicUsize) -> usize {
    let seen = work.load(Ordering::Relaxed);
    wake.lower();
    seen
}

#[test]
fn no_wake_up_is_lost() {
    session_sees_all_work(1, lower_then_look);
    session_sees_all_work(2, lower_then_look);
}

#[test]
#[should_panic(expected = "deadlock")]
fn the_model_notices_a_session_that_looks_too_early() {
    session_sees_all_work(1, look_then_lower);
}

#[test]
#[should_panic(expected = "deadlock")]
fn the_model_notices_that_the_fences_are_gone() {
    sync::without_fences(|| session_sees_all_work(1, lower_then_look));
}
