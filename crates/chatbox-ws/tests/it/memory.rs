//! The memory held for a client that reads nothing, by every way of sending.

use crate::service::Service;
use bytes::Bytes;
use chatbox_core::{Batch, CloseReason, Connection, Lag, Reply, Source, Subscription, Topic};
use chatbox_ws::{ConnectionExt, Handler, Message, Settings, frame};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Context;
use std::time::Duration;
use tokio::time::sleep;

const MIB: usize = 1 << 20;
const MESSAGES: usize = 200;

/// An encoded message that counts the bytes of all such messages that are held.
struct Counted(Bytes, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

fn counted(held: &Arc<AtomicUsize>) -> Bytes {
    let frame = frame::shared_binary(&vec![0; MIB]);
    held.fetch_add(frame.len(), Ordering::Relaxed);
    Bytes::from_owner(Counted(frame, Arc::clone(held)))
}

/// Pulls from a topic, and keeps replies for the test.
#[derive(Clone, Default)]
struct Reader {
    subscription: Arc<Mutex<Option<Subscription>>>,
    replies: Arc<Mutex<Vec<Reply>>>,
}

impl Handler for Reader {
    fn on_message(&mut self, connection: &Arc<Connection>, _: Message<'_>) -> Result<(), CloseReason> {
        self.replies.lock().unwrap().push(connection.owe(100));
        Ok(())
    }

    fn pull(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        if let Some(subscription) = &mut *self.subscription.lock().unwrap() {
            subscription.pull(cx, batch);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn frames_of_the_outbox_are_bounded_for_a_client_that_reads_nothing() {
    type Send = fn(&Arc<Connection>);
    let ways: [(&str, Send); 4] = [
        ("push", |connection| connection.push(|out| frame::binary(&vec![0; MIB], out))),
        ("send_binary", |connection| connection.send_binary(&vec![0; MIB])),
        ("try_push", |connection| {
            // An error is the bound at work.
            let _ = connection.try_push(|out| frame::binary(&vec![0; MIB], out));
        }),
        ("reply", |connection| connection.owe(100).send(|out| frame::binary(&vec![0; MIB], out))),
    ];
    for (name, send) in ways {
        let service = Service::new();
        let (_client, connection) = service.connect(Reader::default());
        let mut most = 0;
        for _ in 0..MESSAGES {
            send(&connection);
            // The session takes what it can.
            sleep(Duration::from_millis(1)).await;
            most = most.max(service.registry.outbox_bytes());
        }
        // Four times the limit of 64 KiB, and one message with its header.
        assert!(most <= 256 * 1024 + MIB + 16, "{name}: {most} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn frames_of_a_topic_are_bounded_for_clients_that_read_nothing() {
    const CLIENTS: usize = 3;
    for lag in [Lag::Skip, Lag::Close(CloseReason::new(chatbox_core::CloseCode::TRY_AGAIN, "too slow"))] {
        let service = Service::with(Settings::default());
        let (topic, held) = (Topic::new(NonZero::new(4 * MIB).unwrap()), Arc::<AtomicUsize>::default());
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let reader = Reader::default();
            let (client, connection) = service.connect(reader.clone());
            *reader.subscription.lock().unwrap() = Some(topic.subscribe(&connection, lag.clone()));
            clients.push(client);
        }
        let mut most = 0;
        for _ in 0..MESSAGES {
            topic.publish(counted(&held));
            sleep(Duration::from_millis(1)).await;
            most = most.max(held.load(Ordering::Relaxed));
        }
        // The log, and one batch of each session: one message, since that is larger than a batch.
        assert!(most <= (4 + CLIENTS) * (MIB + 16), "{lag:?}: {most} bytes");
        drop(clients);
    }
}
