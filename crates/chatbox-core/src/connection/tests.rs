//! The outbox of a connection, its limits, and commands.

use super::*;
use crate::close::{CloseCode, CloseReason};
use std::panic::{AssertUnwindSafe, catch_unwind};

fn connection() -> Arc<Connection> {
    connection_of(&Arc::new(OutboxLimits::new(100, 1_000)))
}

fn connection_of(limits: &Arc<OutboxLimits>) -> Arc<Connection> {
    Arc::new(Connection::new(1, "alice".into(), Arc::clone(limits), 0))
}

fn closing(code: CloseCode) -> Closing {
    Closing::new(CloseReason::new(code, ""))
}

#[test]
fn the_outbox_is_full_until_its_bytes_are_written() {
    let connection = connection();
    connection.push(|buffer| buffer.extend([0; 100]));
    assert!(connection.is_full());
    let taken = connection.take_outbox().expect("a frame is queued");
    assert!(connection.is_full(), "taken bytes are not written yet");
    connection.written(taken.len());
    assert!(!connection.is_full());
    assert_eq!(connection.take_outbox(), None);
}

#[test]
fn bytes_reserved_for_replies_count_against_the_outbox() {
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
fn while_the_common_limit_is_reached_only_empty_outboxes_have_room() {
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
    // A dropped connection releases what it held.
    assert_eq!(limits.used(), 60);
    drop(greedy.take_outbox());
    drop(greedy);
    assert_eq!(limits.used(), 0);
    modest.push(|buffer| buffer.push(0));
    assert!(!modest.is_full());
}

#[test]
fn the_bytes_of_an_encoder_that_panics_are_removed() {
    let limits = Arc::new(OutboxLimits::new(100, 1_000));
    let connection = connection_of(&limits);
    connection.push(|buffer| buffer.extend([1; 3]));
    let panicking = AssertUnwindSafe(|| {
        connection.push(|buffer| {
            buffer.extend([2; 3]);
            panic!("half a frame");
        });
    });
    catch_unwind(panicking).expect_err("a panic");
    connection.push(|buffer| buffer.extend([3; 3]));
    assert_eq!(limits.used(), 6);
    assert_eq!(connection.take_outbox(), Some(vec![1, 1, 1, 3, 3, 3]));
}

#[test]
fn the_queue_of_an_ended_connection_is_released() {
    let limits = Arc::new(OutboxLimits::new(100, 1_000));
    let connection = connection_of(&limits);
    let reply = connection.owe(50);
    connection.push(|buffer| buffer.extend([0; 60]));
    assert_eq!(limits.used(), 60);
    connection.retire();
    assert_eq!(limits.used(), 0);
    // Frames that come after the end are discarded.
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
fn the_fields_of_fan_out_fit_one_cache_line() {
    // An `Arc` places two counts before the value.
    let counts = 2 * size_of::<usize>();
    assert!(counts + std::mem::offset_of!(Connection, mail) <= 64);
}

#[test]
fn a_push_into_an_overflowing_outbox_closes_the_connection_and_leaves_no_gap() {
    let limits = Arc::new(OutboxLimits::new(100, usize::MAX));
    let connection = connection_of(&limits);
    let reply = connection.owe(50);
    connection.push(|buffer| buffer.extend(vec![1; 1 << 20]));
    assert_eq!(connection.command(), Command::Serve, "one message of any size is queued");
    connection.push(|buffer| buffer.extend([2; 10]));
    let closing = closing(CloseCode::TRY_AGAIN);
    assert!(matches!(connection.command(), Command::Close(command) if command.reason.code() == closing.reason.code()));
    let taken = connection.take_outbox().expect("a frame is queued");
    connection.written(taken.len());
    // There is room again, but the peer would not know what it has missed.
    connection.push(|buffer| buffer.extend([3; 10]));
    reply.send(|buffer| buffer.extend([4; 10]));
    assert_eq!(connection.try_push(|buffer| buffer.extend([5; 10])), Ok(()));
    assert_eq!((taken.len(), limits.used(), connection.take_outbox()), (1 << 20, 0, None));
}

#[test]
fn try_push_fails_while_the_outbox_is_full() {
    let connection = connection();
    let reply = connection.owe(60);
    assert_eq!(connection.try_push(|buffer| buffer.extend([0; 40])), Ok(()));
    assert_eq!(connection.try_push(|_| unreachable!("it is full")), Err(Full));
    drop(reply);
    assert_eq!(connection.try_push(|buffer| buffer.push(0)), Ok(()));
    assert_eq!(connection.take_outbox().map(|taken| taken.len()), Some(41));
}

#[test]
fn memory_is_bounded_by_every_way_of_sending() {
    const MIB: usize = 1 << 20;
    type Send = fn(&Arc<Connection>, fn(&mut Vec<u8>));
    let ways: [(&str, Send, usize); 3] = [
        ("push", |connection, encode| connection.push(encode), MIB),
        ("try_push", |connection, encode| connection.try_push(encode).unwrap_or_default(), MIB),
        ("reply", |connection, encode| connection.owe(0).send(encode), MIB),
    ];
    for (name, send, most) in ways {
        let limits = Arc::new(OutboxLimits::new(65_536, usize::MAX));
        let connection = connection_of(&limits);
        for _ in 0..200 {
            send(&connection, |buffer| buffer.extend(vec![0; MIB]));
            assert!(limits.used() <= most, "{name}: {} bytes", limits.used());
        }
        // Messages of 60 KiB: up to four times the limit, and one message.
        let connection = connection_of(&limits);
        let before = limits.used();
        for _ in 0..200 {
            send(&connection, |buffer| buffer.extend(vec![0; 60 << 10]));
            assert!(limits.used() - before <= 4 * 65_536 + (60 << 10), "{name}: {} bytes", limits.used());
        }
    }
}
