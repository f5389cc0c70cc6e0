//! Benchmarks of the outbox, of notifications, and of admission.

use chatbox_core::{CloseError, CloseSummary, Lease, Limits, Registry, notify_all};
use divan::Bencher;
use std::sync::Arc;

fn main() {
    divan::main();
}

/// An answer of 100 bytes through an outbox: queued, taken, written.
#[divan::bench]
fn outbox(bencher: Bencher) {
    let mut lease = admit(&Registry::new(Limits::default(), ()), 0);
    bencher.bench_local(|| {
        lease.connection().push(|out| out.extend([0; 100]));
        let taken = lease.take_outbox().expect("something is queued");
        lease.written(taken.len());
    });
}

/// A reply that is owed first, as for every message of a client.
#[divan::bench]
fn owed_answer(bencher: Bencher) {
    let mut lease = admit(&Registry::new(Limits::default(), ()), 0);
    bencher.bench_local(|| {
        lease.connection().owe(384).send(|out| out.extend([0; 100]));
        let taken = lease.take_outbox().expect("something is queued");
        lease.written(taken.len());
    });
}

/// Notifying the members of a room, all of which are awake already.
#[divan::bench(args = [10, 1_000])]
fn notify_awake(bencher: Bencher, members: usize) {
    let registry = Registry::new(Limits::default(), ());
    let leases: Vec<Lease> = (0..members).map(|member| admit(&registry, member)).collect();
    let connections: Vec<_> = leases.iter().map(|lease| Arc::clone(lease.connection())).collect();
    bencher.bench_local(|| notify_all(&connections));
}

/// Admission and end, beside this many other connections.
#[divan::bench(args = [0, 1_000, 50_000])]
fn admit_and_end(bencher: Bencher, others: usize) {
    let registry = Registry::new(Limits::default(), ());
    let _others: Vec<Lease> = (0..others).map(|other| admit(&registry, other)).collect();
    bencher.bench_local(|| {
        let mut lease = admit(&registry, others);
        lease.begin();
        lease.end(CloseSummary::peer_gone(CloseError::Eof));
    });
}

fn admit(registry: &Registry, user: usize) -> Lease {
    registry.admit(&format!("user-{user}")).expect("there is room")
}
