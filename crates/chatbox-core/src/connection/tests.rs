//! What a connection holds, and when it lets go of it.

use super::*;
use crate::close::CloseCode;
use std::panic::{AssertUnwindSafe, catch_unwind};

fn connection() -> Arc<Connection> {
    connection_of(&Arc::new(OutboxLimits::new(100, 1_000)))
}

fn connection_of(limits: &Arc<OutboxLimits>) -> Arc<Connection> {
    Arc::new(Connection::new(1, "alice".into(), Arc::clone(limits), 0))
}

fn closing(code: CloseCode) -> Closing {
    Closing { reason: CloseReason::new(code, ""), reconnect_after: None }
}

#[test]
fn the_outbox_is_full_until_what_it_held_is_written() {
    let connection = connection();
    connection.push(|buffer| buffer.extend([0; 100]));
    assert!(connection.is_full());
    let taken = connection.take_outbox().expect("a frame is queued");
    assert!(connection.is_full(), "taken is not written");
    connection.written(taken.len());
    assert!(!connection.is_full());
    assert_eq!(connection.take_outbox(), None);
}

#[test]
fn replies_that_are_owed_count_against_the_outbox() {
    let connection = connection();
    let replies: Vec<_> = (0..2).map(|_| connection.owe(50)).collect();
    assert!(connection.is_full());
    assert_eq!(connection.owed(), 2);
    for reply in replies {
        reply.send(|buffer| buffer.push(7));
    }
    assert_eq!(connection.owed(), 0);
    assert_eq!(connection.take_outbox(), Some(vec![7, 7]));
}

#[test]
fn while_all_outboxes_are_full_together_only_empty_ones_have_room() {
    let limits = Arc::new(OutboxLimits::new(100, 60));
    let (greedy, modest, owing) = (connection_of(&limits), connection_of(&limits), connection_of(&limits));
    greedy.push(|buffer| buffer.extend([0; 60]));
    let reply = owing.owe(10);
    assert_eq!([&greedy, &modest, &owing].map(|connection| connection.is_full()), [true, false, true]);
    modest.push(|buffer| buffer.push(0));
    assert!(modest.is_full());
    drop(reply);
    assert!(!owing.is_full());
    let taken = modest.take_outbox().expect("a frame is queued");
    modest.written(taken.len());
    assert!(!modest.is_full());
    // What a connection held when it ended is given back.
    assert_eq!(limits.used(), 60);
    drop(greedy.take_outbox());
    drop(greedy);
    assert_eq!(limits.used(), 0);
    modest.push(|buffer| buffer.push(0));
    assert!(!modest.is_full());
}

#[test]
fn an_encoder_that_panics_leaves_nothing_behind() {
    let limits = Arc::new(OutboxLimits::new(100, 1_000));
    let connection = connection_of(&limits);
    connection.push(|buffer| buffer.extend([1; 3]));
    let panicking = AssertUnwindSafe(|| {
        connection.push(|buffer| {
            buffer.extend([2; 3]);
            panic!("half a frame");
        });
    });
    catch_unwind(panicking).expect_err("it panics");
    connection.push(|buffer| buffer.extend([3; 3]));
    assert_eq!(limits.used(), 6);
    assert_eq!(connection.take_outbox(), Some(vec![1, 1, 1, 3, 3, 3]));
}

#[test]
fn what_an_ended_connection_holds_counts_no_more() {
    let limits = Arc::new(OutboxLimits::new(100, 1_000));
    let connection = connection_of(&limits);
    let reply = connection.owe(50);
    connection.push(|buffer| buffer.extend([0; 60]));
    assert_eq!(limits.used(), 60);
    connection.retire();
    assert_eq!(limits.used(), 0);
    // Nothing that comes late is kept.
    reply.send(|buffer| buffer.extend([0; 50]));
    connection.push(|buffer| buffer.extend([0; 60]));
    assert_eq!((limits.used(), connection.take_outbox()), (0, None));
    assert_eq!(connection.command(), Command::Cut);
    drop(connection);
    assert_eq!(limits.used(), 0);
}

#[test]
fn commands_get_stronger_and_the_first_reason_stands() {
    let connection = connection();
    assert_eq!(connection.command(), Command::Serve);
    connection.close(closing(CloseCode::POLICY));
    connection.close(closing(CloseCode::GOING_AWAY));
    assert_eq!(connection.command(), Command::Close(closing(CloseCode::POLICY)));
    connection.cut();
    connection.close(closing(CloseCode::GOING_AWAY));
    assert_eq!(connection.command(), Command::Cut);
}

#[test]
fn a_connection_stays_small() {
    assert!(size_of::<Connection>() <= 112, "{}", size_of::<Connection>());
}

#[test]
fn what_every_delivery_touches_fits_one_cache_line() {
    // An `Arc` puts two counts in front.
    let counts = 2 * size_of::<usize>();
    assert!(counts + std::mem::offset_of!(Connection, mail) <= 64);
}
