//! Back pressure: who waits for whom.

use crate::service::{Echo, PIPE, RecordingHandler, Service};
use crate::wire::{self, Got};
use chatbox_core::{CloseCode, CloseError, CloseSummary, ClosedBy, Limits, Outcome};
use chatbox_ws::{Settings, frame};
use std::num::NonZero;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, timeout};

fn brief() -> Duration {
    Duration::from_millis(1)
}

fn with_outbox(outbox_bytes: usize) -> Service {
    Service::limited(Settings::default(), Limits::default().with_outbox_bytes(NonZero::new(outbox_bytes).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_read_no_further() {
    let service = with_outbox(1_000);
    let (mut client, _) = service.connect(Echo);
    let message = "m".repeat(100);
    let mut sent = 0;
    // The pipes and the outbox fill up, and then writing stops.
    while timeout(brief(), client.io.write_all(&wire::text(&message))).await.is_ok() {
        sent += 1;
        assert!(sent < 10 * PIPE / 100, "the server reads on and on");
    }
    let (read, mut write) = tokio::io::split(client.io);
    // What was cut off by the timeout is a part of a message; what follows cannot be told from it.
    let end = tokio::spawn(async move { write.write_all(&[0; 4]).await });
    let mut client = wire::Client { io: tokio::io::join(read, tokio::io::sink()) };
    for _ in 0..sent {
        assert_eq!(client.next().await, Got::text(&message));
    }
    end.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_outbox_holds_reading_up_until_it_is_written() {
    let service = with_outbox(500);
    let handler = RecordingHandler::default();
    let (mut client, connection) = service.connect(handler.clone());
    sleep(brief()).await;
    // Larger than the pipe, so that some of it stays unwritten.
    connection.push(|out| frame::binary(&[0; 2 * PIPE], out));
    sleep(brief()).await;
    client.text("held up").await;
    sleep(Duration::from_secs(5)).await;
    assert!(handler.seen().is_empty());
    assert_eq!(client.next().await, Got::Binary(vec![0; 2 * PIPE]));
    sleep(brief()).await;
    assert_eq!(handler.seen(), ["on_message", "held up"]);
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_owed_hold_reading_up() {
    let service = with_outbox(300);
    let handler = RecordingHandler::default();
    handler.script(|script| script.owes = true);
    let (mut client, _) = service.connect(handler.clone());
    let messages = || handler.seen().iter().filter(|step| *step == "on_message").count();
    // Each of them reserves 100 bytes. They come in one piece: the rest of it has to be kept.
    client.send(&wire::text("please answer").repeat(10)).await;
    sleep(brief()).await;
    assert_eq!(messages(), 3);
    // Whether it is answered or not, it makes room.
    let reply = handler.script(|script| script.owed.remove(0));
    reply.send(|out| frame::text("answer", out));
    assert_eq!(client.next().await, Got::text("answer"));
    sleep(brief()).await;
    assert_eq!(messages(), 4);
    drop(handler.script(|script| script.owed.remove(0)));
    sleep(brief()).await;
    assert_eq!(messages(), 5);
}

/// A reply that is dropped while the session is looking makes room that the session must notice by itself: it is awake, so
/// nobody wakes it.
#[tokio::test(start_paused = true)]
async fn room_that_is_made_while_the_session_looks_is_seen() {
    let service = with_outbox(100);
    let handler = RecordingHandler::default();
    handler.script(|script| {
        script.owes = true;
        // Counts as a session that is told to close, for the handler's source only.
        script.seen.push("on_closing".to_owned());
        script.when_dry = Some(Box::new(|script| {
            script.when_dry = Some(Box::new(|script| script.owed.clear()));
        }));
    });
    let (mut client, connection) = service.connect(handler.clone());
    sleep(brief()).await;
    client.send(&wire::text("please answer").repeat(2)).await;
    connection.notify();
    sleep(brief()).await;
    assert_eq!(handler.seen().iter().filter(|step| *step == "on_message").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_busy_application_keeps_the_backlog_in_order() {
    let service = Service::new();
    let handler = RecordingHandler::default();
    let (mut client, _) = service.connect(handler.clone());
    handler.busy();
    let stream: Vec<u8> = (0..100).flat_map(|n: u32| wire::text(&n.to_string())).collect();
    client.send(&stream).await;
    sleep(Duration::from_secs(1)).await;
    assert!(handler.seen().is_empty());
    handler.ready();
    client.send(&wire::text("100")).await;
    sleep(brief()).await;
    let seen: Vec<_> = handler.seen().into_iter().filter(|step| step != "on_message").collect();
    assert_eq!(seen, (0..=100).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_stalled_client_that_reads_again_has_missed_nothing() {
    let service = Service::new();
    let handler = RecordingHandler::default();
    handler.offer((0..20_000).map(|n| format!("number {n}")));
    let (mut client, connection) = service.connect(handler);
    for n in 0..20_000 {
        if n % 5_000 == 0 {
            connection.push(|out| frame::text("direct", out));
            sleep(Duration::from_secs(25)).await;
        }
        loop {
            match client.next_but_pings().await {
                Got::Text(text) if text == "direct" => {}
                got => break assert_eq!(got, Got::text(format!("number {n}"))),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_for_too_long_is_told_so_and_cut() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    handler.offer((0..20_000).map(|n| format!("number {n}")));
    let start = Instant::now();
    let (mut client, _) = service.connect(handler);
    let ended = service.ended().await;
    assert_eq!((ended.outcome, ended.code), (Outcome::TimedOut, CloseCode::TRY_AGAIN));
    assert_eq!((ended.by, ended.error), (ClosedBy::Server, Some(CloseError::WriteTimeout)));
    // The write timeout, and then the time of a close handshake.
    assert!((Duration::from_secs(33)..Duration::from_millis(33_500)).contains(&start.elapsed()));
    // What had been written is whole frames but for the last.
    for n in 0..500 {
        assert_eq!(client.next().await, Got::text(format!("number {n}")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_again_in_time_finds_the_close_behind_a_whole_frame() {
    for size in [9, 300, 60_000] {
        let mut service = Service::new();
        let handler = RecordingHandler::default();
        handler.offer((0..100_000 / size + 3_000).map(|n| format!("{n:0size$}")));
        let (mut client, connection) = service.connect(handler);
        connection.push(|out| frame::text("direct", out));
        sleep(Duration::from_secs(31)).await;
        assert_eq!(client.next().await, Got::text("direct"));
        let mut n = 0;
        loop {
            match client.next().await {
                Got::Text(text) => assert_eq!(text, format!("{n:0size$}")),
                got => break assert_eq!(got, Got::Close(1013, "too slow".to_owned())),
            }
            n += 1;
        }
        assert!(n >= PIPE / (size + 10), "{n} frames of {size}");
        client.close(1013).await;
        assert_eq!(client.rest().await, []);
        assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::TRY_AGAIN, ClosedBy::Server));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_a_little_now_and_then_is_kept() {
    let service = Service::new();
    let handler = RecordingHandler::default();
    handler.offer((0..10_000).map(|n| format!("number {n}")));
    let (mut client, _) = service.connect(handler);
    // Far longer than the write timeout; each of the steps is shorter.
    for n in 0..3_000 {
        assert_eq!(client.next().await, Got::text(format!("number {n}")));
        if n % 200 == 0 {
            sleep(Duration::from_secs(20)).await;
            client.send(&wire::pong(b"")).await;
        }
    }
    assert_eq!(service.registry.len(), 1);
}
