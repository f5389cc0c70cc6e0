//! Asynchronous handlers, in paused time.

use crate::service::{Service, order_to_close};
use crate::wire::{self, Got};
use chatbox_core::{CloseCode, CloseError, CloseSummary, ClosedBy, Tally};
use chatbox_ws::{Handler, OrderedReply, OwnedMessage, frame, ordered};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Counts the tasks that run, and the most that ran at the same time.
#[derive(Clone, Default)]
struct Tasks(Arc<[AtomicUsize; 2]>);

impl Tasks {
    fn running(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    fn most(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }

    fn begin(&self) -> Running {
        let running = self.0[0].fetch_add(1, Ordering::Relaxed) + 1;
        self.0[1].fetch_max(running, Ordering::Relaxed);
        Running(self.clone())
    }
}

struct Running(Tasks);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0[0].fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sleeps for as many milliseconds as the message says, then echoes it.
fn sleeper(max_in_flight: usize, tasks: &Tasks) -> impl Handler {
    let tasks = tasks.clone();
    ordered(NonZero::new(max_in_flight).unwrap(), move |message, reply: OrderedReply| {
        let running = tasks.begin();
        async move {
            let OwnedMessage::Text(text) = message else { return };
            let _running = running;
            sleep(Duration::from_millis(text.parse().unwrap())).await;
            reply.send(|out| frame::text(&text, out));
        }
    })
}

fn texts(millis: &[u64]) -> Vec<u8> {
    millis.iter().flat_map(|millis| wire::text(&millis.to_string())).collect()
}

#[tokio::test(start_paused = true)]
async fn messages_are_served_concurrently_and_answered_in_order() {
    let (service, tasks) = (Service::new(), Tasks::default());
    let (mut client, _) = service.connect(sleeper(4, &tasks));
    let start = Instant::now();
    let millis = [300, 100, 200, 50, 100, 1, 400, 2];
    client.send(&texts(&millis)).await;
    for expected in millis {
        assert_eq!(client.next().await, Got::text(expected.to_string()));
    }
    assert_eq!(tasks.most(), 4);
    assert!(start.elapsed() < Duration::from_millis(800), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn no_more_messages_are_accepted_than_may_be_in_flight() {
    let (service, tasks) = (Service::new(), Tasks::default());
    let (mut client, connection) = service.connect(sleeper(3, &tasks));
    client.send(&texts(&[1_000; 50])).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!((connection.owed(), tasks.running()), (3, 3));
    for _ in 0..50 {
        assert_eq!(client.next().await, Got::text("1000"));
    }
    assert_eq!(tasks.most(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_every_answer() {
    let (mut service, tasks) = (Service::new(), Tasks::default());
    let (mut client, connection) = service.connect(sleeper(4, &tasks));
    client.send(&texts(&[900, 300])).await;
    sleep(Duration::from_millis(1)).await;
    connection.close(order_to_close());
    assert_eq!(client.next().await, Got::text("900"));
    assert_eq!(client.next().await, Got::text("300"));
    assert_eq!(client.next().await, Got::Close(1001, "server shutting down".to_owned()));
    client.close(1001).await;
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::GOING_AWAY, ClosedBy::Server));
}

#[tokio::test(start_paused = true)]
async fn tasks_are_cancelled_when_the_connection_ends() {
    let (mut service, tasks) = (Service::new(), Tasks::default());
    let (mut client, _) = service.connect(sleeper(4, &tasks));
    client.send(&texts(&[60_000_000, 60_000_000])).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(tasks.running(), 2);
    let tally = service.drain().await;
    let mut expected = Tally::default();
    (expected.at_signal, expected.aborted) = (1, 1);
    assert_eq!(tally, expected);
    assert_eq!(service.ended().await, CloseSummary::aborted(CloseError::Cut).with_owed(2), "it names what was owed");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(tasks.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_closes_its_connection() {
    let mut service = Service::new();
    let handler = ordered(NonZero::<usize>::MIN, |_, reply: OrderedReply| async move {
        let _reply = reply;
        // A panic without the message on stderr.
        std::panic::resume_unwind(Box::new("the task's panic"));
    });
    let (mut client, _) = service.connect(handler);
    client.text("hello").await;
    assert_eq!(client.next().await, Got::Close(1011, "internal error".to_owned()));
    client.close(1011).await;
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::INTERNAL, ClosedBy::Server));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_reply_does_not_hold_later_ones_back() {
    let service = Service::new();
    let handler = ordered(NonZero::new(4).unwrap(), |message, reply: OrderedReply| async move {
        if let OwnedMessage::Text(text) = message
            && text != "no answer"
        {
            reply.send(|out| frame::text(&text, out));
        }
    });
    let (mut client, connection) = service.connect(handler);
    client.send(&[wire::text("no answer"), wire::text("answer")].concat()).await;
    assert_eq!(client.next().await, Got::text("answer"));
    assert_eq!(connection.owed(), 0);
}
