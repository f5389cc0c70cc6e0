//! The drain, as a peer and the registry see it.

use crate::service::{Echo, RecordingHandler, Service, order_to_close};
use crate::wire::{self, Got};
use chatbox_core::{CloseCode, CloseError, CloseSummary, ClosedBy, Outcome, Refused, Tally};
use chatbox_ws::frame;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A [`Tally`] with these counts, the others zero.
macro_rules! tally {
    ($($count:ident: $value:expr),*) => {{
        let mut tally = Tally::default();
        $(tally.$count = $value;)*
        tally
    }};
}

fn going_away() -> Got {
    Got::Close(1001, "server shutting down".to_owned())
}

#[tokio::test(start_paused = true)]
async fn everything_owed_and_queued_precedes_the_close_and_nothing_follows_it() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    handler.script(|script| {
        script.owes = true;
        script.before_close = Some("goodbye");
    });
    let (mut client, connection) = service.connect(handler.clone());
    client.text("please answer").await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(connection.owed(), 1);

    connection.push(|out| frame::text("queued", out));
    handler.offer(["offered".to_owned()]);
    connection.close(order_to_close());
    assert_eq!(client.next().await, Got::text("queued"));
    assert_eq!(client.next().await, Got::text("offered"));

    // The answer takes its time, and the Close waits for it.
    sleep(Duration::from_secs(30)).await;
    assert_eq!(service.registry.len(), 1);
    let reply = handler.script(|script| script.owed.pop()).unwrap();
    reply.send(|out| frame::text("answer", out));
    assert_eq!(client.next().await, Got::Ping(vec![]), "the heartbeat goes on");
    assert_eq!(client.next().await, Got::text("answer"));
    assert_eq!(client.next().await, Got::text("goodbye"));
    assert_eq!(client.next().await, going_away());

    // Nothing after the Close: neither what is pushed, nor what is offered, nor pongs.
    connection.push(|out| frame::text("too late", out));
    handler.offer(["too late".to_owned()]);
    connection.notify();
    client.send(&wire::ping(b"ping")).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(service.registry.len(), 1, "the peer's Close is awaited");
    client.close(1001).await;
    assert_eq!(client.rest().await, []);
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::GOING_AWAY, ClosedBy::Server));
    assert_eq!(handler.seen(), ["on_message", "please answer", "on_closing", "before_close", "on_end"]);
}

#[tokio::test(start_paused = true)]
async fn frames_published_with_a_reply_are_pulled_before_the_close() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    handler.script(|script| {
        script.owes = true;
        // While the session looks at its source for the last time, another thread publishes and then answers.
        script.when_dry = Some(Box::new(|script| {
            script.offered.push_back(frame::shared_text("published"));
            script.owed.pop().unwrap().send(|out| frame::text("answer", out));
        }));
    });
    let (mut client, connection) = service.connect(handler);
    client.text("please answer").await;
    sleep(Duration::from_millis(1)).await;
    connection.close(order_to_close());
    assert_eq!(client.next().await, Got::text("answer"));
    assert_eq!(client.next().await, Got::text("published"));
    assert_eq!(client.next().await, going_away());
    client.close(1001).await;
    assert_eq!(service.ended().await.outcome, Outcome::Closed);
}

#[tokio::test(start_paused = true)]
async fn no_message_is_delivered_once_the_session_is_closing() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    handler.busy();
    let (mut client, connection) = service.connect(handler.clone());
    client.text("waits").await;
    sleep(Duration::from_millis(1)).await;
    connection.close(order_to_close());
    handler.ready();
    client.send(&[wire::text("comes late"), wire::ping(b"still answered")].concat()).await;
    assert_eq!(client.next().await, Got::Pong(b"still answered".to_vec()));
    assert_eq!(client.next().await, going_away());
    client.close(1001).await;
    assert_eq!(client.rest().await, []);
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::GOING_AWAY, ClosedBy::Server));
    assert_eq!(handler.seen(), ["on_closing", "before_close", "on_end"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_answers_is_cut_after_the_close_handshake() {
    let mut service = Service::new();
    let (mut client, connection) = service.connect(Echo);
    connection.close(order_to_close());
    assert_eq!(client.next().await, going_away());
    let start = Instant::now();
    assert_eq!(client.rest().await, []);
    assert!((Duration::from_millis(2_900)..Duration::from_millis(3_400)).contains(&start.elapsed()));
    let ended = service.ended().await;
    assert_eq!((ended.outcome, ended.error), (Outcome::TimedOut, Some(CloseError::CloseTimeout)));
    assert_eq!((ended.code, ended.by), (CloseCode::GOING_AWAY, ClosedBy::Server));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_messages_instead_of_an_echo_is_cut() {
    let mut service = Service::new();
    let (mut client, connection) = service.connect(Echo);
    connection.close(order_to_close());
    let start = Instant::now();
    while service.registry.len() == 1 {
        client.text("no echo").await;
        sleep(Duration::from_millis(100)).await;
    }
    assert!(start.elapsed() < Duration::from_millis(3_500));
    assert_eq!(service.ended().await.outcome, Outcome::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_disconnects_after_our_close_is_not_counted_as_closed() {
    let mut service = Service::new();
    let (mut client, connection) = service.connect(Echo);
    connection.close(order_to_close());
    assert_eq!(client.next().await, going_away());
    drop(client);
    assert_eq!(service.ended().await, CloseSummary::peer_gone(CloseError::Eof));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_does_not_delay_others() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    handler.offer((0..10_000).map(|n| format!("number {n}")));
    let (_stuck, _) = service.connect(handler);
    // It has been stuck for longer than a close handshake takes: its time is counted from the drain all the same.
    sleep(Duration::from_secs(20)).await;
    let (mut lively, _) = service.connect(Echo);
    lively.text("hello").await;
    assert_eq!(lively.next().await, Got::text("hello"));
    let start = Instant::now();
    let client = async {
        assert_eq!(lively.next().await, going_away());
        lively.close(1001).await;
        assert_eq!(lively.rest().await, []);
        start.elapsed()
    };
    let (lively, tally) = tokio::join!(client, service.drain());
    assert_eq!(tally, tally!(at_signal: 2, closed: 1, timed_out: 1));
    assert_eq!(lively, Duration::ZERO);
    assert!((Duration::from_secs(3)..Duration::from_millis(3_400)).contains(&start.elapsed()));
    service.ended().await;
    assert_eq!(service.ended().await.error, Some(CloseError::WriteTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_gets_everything_before_its_close() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    handler.offer((0..10_000).map(|n| format!("number {n}")));
    let (mut client, connection) = service.connect(handler);
    connection.close(order_to_close());
    for n in 0..10_000 {
        if n % 1_000 == 0 {
            sleep(Duration::from_secs(2)).await;
        }
        assert_eq!(client.next().await, Got::text(format!("number {n}")));
    }
    assert_eq!(client.next().await, going_away());
    client.close(1001).await;
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::GOING_AWAY, ClosedBy::Server));
}

#[tokio::test(start_paused = true)]
async fn pongs_are_left_out_in_a_flood_of_pings_while_closing() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    handler.offer((0..10_000).map(|n| format!("number {n}")));
    let (mut client, connection) = service.connect(handler);
    connection.close(order_to_close());
    let flood = wire::ping(&[b'p'; 125]).repeat(10_000);
    let (read, mut write) = tokio::io::split(client.io);
    let flood = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        // The session reads it all, whatever else it does.
        write.write_all(&flood).await.map(|()| write)
    });
    sleep(Duration::from_secs(1)).await;
    client = wire::Client { io: read.unsplit(flood.await.unwrap().unwrap()) };
    let mut pongs = 0;
    loop {
        match client.next().await {
            Got::Pong(_) => pongs += 1,
            Got::Text(_) => {}
            other => break assert_eq!(other, going_away()),
        }
    }
    assert!((1..1_000).contains(&pongs), "{pongs}");
    client.close(1001).await;
    assert_eq!(service.ended().await.outcome, Outcome::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_heartbeat_goes_on_while_a_reply_is_owed() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    handler.script(|script| script.owes = true);
    let (mut client, connection) = service.connect(handler);
    client.text("please answer").await;
    sleep(Duration::from_millis(1)).await;
    connection.close(order_to_close());
    assert_eq!(service.ended().await, CloseSummary::peer_gone(CloseError::HeartbeatTimeout).with_owed(1));
}

#[tokio::test(start_paused = true)]
async fn after_the_gate_closed_open_connections_are_served() {
    let service = Service::new();
    let (mut client, _) = service.connect(Echo);
    service.registry.refuse_newcomers();
    assert_eq!(service.registry.admit("bob").unwrap_err(), Refused::Draining);
    client.text("still served").await;
    assert_eq!(client.next().await, Got::text("still served"));
}

#[tokio::test(start_paused = true)]
async fn the_tally_of_mixed_clients_adds_up() {
    let service = Service::new();
    let mut clients = Vec::new();
    for n in 0..200 {
        let (mut client, _) = service.connect(Echo);
        clients.push(tokio::spawn(async move {
            client.text("hello").await;
            assert_eq!(client.next().await, Got::text("hello"));
            match n % 4 {
                0 => drop(client),
                1 => {
                    assert_eq!(client.next().await, going_away());
                    sleep(Duration::from_secs(60)).await;
                }
                _ => {
                    assert_eq!(client.next().await, going_away());
                    sleep(Duration::from_millis(n)).await;
                    client.close(1001).await;
                    assert_eq!(client.rest().await, []);
                }
            }
        }));
    }
    sleep(Duration::from_millis(1)).await;
    let (second, _) = service.connect(Echo);
    drop(second);
    let tally = service.drain().await;
    assert_eq!((tally.closed, tally.timed_out, tally.aborted), (100, 50, 0));
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_expired_drain_cuts_the_rest_and_names_what_was_owed() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    handler.script(|script| script.owes = true);
    let (mut client, _) = service.connect(handler);
    client.text("an answer that never comes").await;
    sleep(Duration::from_millis(1)).await;
    let tally = service.drain().await;
    assert_eq!(tally, tally!(at_signal: 1, aborted: 1));
    assert_eq!(service.ended().await, CloseSummary::aborted(CloseError::Cut).with_owed(1));
}
