//! What it costs to queue for a connection, to wake many, and to let one in and out.

use chatbox_core::{CloseSummary, Lease, Limits, Registry, notify_all};
use divan::Bencher;
use std::sync::Arc;

fn main() {
    divan::main();
}

/// An answer of 100 bytes through an outbox: queued, taken, written.
#[divan::bench]
fn outbox(bencher: Bencher) {
    let lease = admit(&Registry::new(Limits::default(), ()), 0);
    let connection = lease.connection();
    bencher.bench_local(|| {
        connection.push(|out| out.extend([0; 100]));
        let taken = connection.take_outbox().expect("something is queued");
        connection.written(taken.len());
    });
}

/// An answer that is owed first, as every message that is sent costs one.
#[divan::bench]
fn owed_answer(bencher: Bencher) {
    let lease = admit(&Registry::new(Limits::default(), ()), 0);
    let connection = lease.connection();
    bencher.bench_local(|| {
        connection.owe(384).send(|out| out.extend([0; 100]));
        let taken = connection.take_outbox().expect("something is queued");
        connection.written(taken.len());
    });
}

/// Waking the members of a room, all of whom are awake already.
#[divan::bench(args = [10, 1_000])]
fn notify_awake(bencher: Bencher, members: usize) {
    let registry = Registry::new(Limits::default(), ());
    let leases: Vec<Lease> = (0..members).map(|member| admit(&registry, member)).collect();
    let connections: Vec<_> = leases.iter().map(|lease| Arc::clone(lease.connection())).collect();
    bencher.bench_local(|| notify_all(&connections));
}

/// Coming and going, beside so many that stay.
#[divan::bench(args = [0, 1_000, 50_000])]
fn admit_and_end(bencher: Bencher, others: usize) {
    let registry = Registry::new(Limits::default(), ());
    let _others: Vec<Lease> = (0..others).map(|other| admit(&registry, other)).collect();
    bencher.bench_local(|| {
        let mut lease = admit(&registry, others);
        lease.begin();
        lease.end(CloseSummary::peer_gone("eof"));
    });
}

fn admit(registry: &Registry, user: usize) -> Lease {
    registry.admit(&format!("user-{user}")).expect("there is room")
}
