//! Back pressure in both directions.

use crate::service::{Echo, PIPE, RecordingHandler, Service};
use crate::wire::{self, Got};
use bytes::Bytes;
use chatbox_core::{
    Batch, CloseCode, CloseError, CloseReason, CloseSummary, ClosedBy, Connection, Limits, Outcome, Reply,
};
use chatbox_ws::{Handler, Message, Settings, frame};
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
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
async fn a_client_that_does_not_read_is_not_read_from() {
    let service = with_outbox(1_000);
    let (mut client, _) = service.connect(Echo);
    let message = "m".repeat(100);
    let mut sent = 0;
    // The pipes and the outbox fill up, and then writing stops.
    while timeout(brief(), client.io.write_all(&wire::text(&message))).await.is_ok() {
        sent += 1;
        assert!(sent < 10 * PIPE / 100, "the server never stops reading");
    }
    let (read, mut write) = tokio::io::split(client.io);
    // The timeout has cut off a message in the middle: these bytes belong to it.
    let end = tokio::spawn(async move { write.write_all(&[0; 4]).await });
    let mut client = wire::Client { io: tokio::io::join(read, tokio::io::sink()) };
    for _ in 0..sent {
        assert_eq!(client.next().await, Got::text(&message));
    }
    end.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_until_a_full_outbox_is_written() {
    let service = with_outbox(500);
    let handler = RecordingHandler::default();
    let (mut client, connection) = service.connect(handler.clone());
    sleep(brief()).await;
    // Larger than the pipe, so that some of it stays unwritten.
    connection.push(|out| frame::binary(&[0; 2 * PIPE], out));
    sleep(brief()).await;
    client.text("later").await;
    sleep(Duration::from_secs(5)).await;
    assert!(handler.seen().is_empty());
    assert_eq!(client.next().await, Got::Binary(vec![0; 2 * PIPE]));
    sleep(brief()).await;
    assert_eq!(handler.seen(), ["on_message", "later"]);
}

#[tokio::test(start_paused = true)]
async fn bytes_reserved_for_replies_stop_reading() {
    let service = with_outbox(300);
    let handler = RecordingHandler::default();
    handler.script(|script| script.owes = true);
    let (mut client, _) = service.connect(handler.clone());
    let messages = || handler.seen().iter().filter(|step| *step == "on_message").count();
    // Each reserves 100 bytes. They arrive in one read, of which the rest has to be kept.
    client.send(&wire::text("please answer").repeat(10)).await;
    sleep(brief()).await;
    assert_eq!(messages(), 3);
    // A settled reply makes room, with an answer or without.
    let reply = handler.script(|script| script.owed.remove(0));
    reply.send(|out| frame::text("answer", out));
    assert_eq!(client.next().await, Got::text("answer"));
    sleep(brief()).await;
    assert_eq!(messages(), 4);
    drop(handler.script(|script| script.owed.remove(0)));
    sleep(brief()).await;
    assert_eq!(messages(), 5);
}

/// A reply that is dropped during a poll makes room that the session must see in the same poll: it is awake, so it is not woken.
#[tokio::test(start_paused = true)]
async fn room_made_in_the_outbox_during_a_poll_is_seen() {
    let service = with_outbox(100);
    let handler = RecordingHandler::default();
    handler.script(|script| {
        script.owes = true;
        // For the handler's source only, the connection counts as closing.
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
async fn messages_stay_in_order_while_the_handler_is_not_ready() {
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
async fn a_client_that_reads_nothing_for_too_long_is_closed_with_1013_and_cut() {
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
    // All frames but the last were written completely.
    for n in 0..500 {
        assert_eq!(client.next().await, Got::text(format!("number {n}")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_client_that_reads_again_finds_the_close_behind_a_complete_frame() {
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
async fn a_client_that_reads_slowly_stays() {
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

/// Accepts a message once the reply to the last one is settled, without a waker of its own.
#[derive(Clone, Default)]
struct OneAtATime {
    replies: Arc<Mutex<Vec<Reply>>>,
    /// Frames that the source offers.
    offered: Arc<Mutex<Vec<Bytes>>>,
    delivered: Arc<Mutex<Vec<String>>>,
}

impl Handler for OneAtATime {
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        if let Message::Text(text) = message {
            self.delivered.lock().unwrap().push(text.to_owned());
        }
        self.replies.lock().unwrap().push(connection.owe(10));
        Ok(())
    }

    fn poll_ready(&mut self, _: &Arc<Connection>, _: &mut Context<'_>) -> Poll<()> {
        if self.replies.lock().unwrap().is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn pull(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        self.offered.lock().unwrap().drain(..).for_each(|frame| batch.push(frame));
    }
}

#[tokio::test(start_paused = true)]
async fn a_settled_reply_polls_the_handler_again_also_while_the_client_reads_nothing() {
    for unread in [0, 4 * PIPE] {
        let service = Service::new();
        let handler = OneAtATime::default();
        handler.offered.lock().unwrap().push(frame::shared_binary(&vec![0; unread]));
        let (mut client, _) = service.connect(handler.clone());
        client.send(&[wire::text("one"), wire::text("two"), wire::text("three")].concat()).await;
        for delivered in [1, 2, 3] {
            sleep(brief()).await;
            assert_eq!(handler.delivered.lock().unwrap().len(), delivered, "{unread} bytes unread");
            let reply = handler.replies.lock().unwrap().pop();
            drop(reply);
        }
    }
}
