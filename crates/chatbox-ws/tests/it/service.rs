//! A service under test: a registry that records the ends of its connections, a transport, and handlers.

use crate::wire::Client;
use bytes::Bytes;
use chatbox_core::{
    Batch, CloseCode, CloseReason, CloseSummary, Closing, Connection, Drain, Lease, Limits, Observer, Registry, Reply,
};
use chatbox_ws::{Expiry, Handler, Message, Settings, Transport, frame};
use std::collections::VecDeque;
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// Bytes that a pipe holds before its writer has to wait.
pub(crate) const PIPE: usize = 16 * 1024;

pub(crate) struct Service {
    pub(crate) registry: Registry,
    pub(crate) transport: Transport,
    ends: mpsc::UnboundedReceiver<CloseSummary>,
}

struct Ends(mpsc::UnboundedSender<CloseSummary>);

impl Observer for Ends {
    fn on_ended(&self, _: &Connection, ended: &CloseSummary, _: Duration) {
        // The receiver may have been dropped.
        let _ = self.0.send(*ended);
    }
}

impl Service {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default().with_binary(true))
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self::limited(settings, Limits::default().with_max_per_user(NonZero::new(1_000).unwrap()))
    }

    pub(crate) fn limited(settings: Settings, limits: Limits) -> Self {
        let (ended, ends) = mpsc::unbounded_channel();
        Self { registry: Registry::new(limits, Ends(ended)), transport: Transport::new(settings), ends }
    }

    pub(crate) fn admit(&self) -> Lease {
        self.registry.admit("alice").unwrap()
    }

    /// A connection over a pipe, served in a task of its own.
    pub(crate) fn connect(&self, handler: impl Handler) -> (Client<DuplexStream>, Arc<Connection>) {
        self.connect_with(handler, Bytes::new(), None)
    }

    pub(crate) fn connect_with(
        &self,
        handler: impl Handler,
        buffered: impl Into<Bytes>,
        expiry: Option<Expiry>,
    ) -> (Client<DuplexStream>, Arc<Connection>) {
        let (client, server) = tokio::io::duplex(PIPE);
        let lease = self.admit();
        let connection = Arc::clone(lease.connection());
        tokio::spawn(self.transport.serve(server, buffered.into(), lease, handler, expiry));
        (Client { io: client }, connection)
    }

    /// The end of the next connection.
    pub(crate) async fn ended(&mut self) -> CloseSummary {
        self.ends.recv().await.unwrap()
    }

    /// Drains within 15 s; the tally must add up.
    pub(crate) async fn drain(&self) -> chatbox_core::Tally {
        let drain = Drain::new(going_away(), Duration::from_secs(15)).with_rate(0);
        let tally = self.registry.drain(drain, tokio::time::sleep(Duration::from_secs(15))).await;
        assert_eq!(tally.at_signal, tally.closed + tally.peer_gone + tally.timed_out + tally.aborted);
        tally
    }
}

pub(crate) fn going_away() -> CloseReason {
    CloseReason::new(CloseCode::GOING_AWAY, "server shutting down")
}

pub(crate) fn order_to_close() -> Closing {
    Closing::new(going_away())
}

/// Returns every message.
pub(crate) struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        connection.push(|out| match message {
            Message::Text(text) => frame::text(text, out),
            Message::Binary(payload) => frame::binary(payload, out),
        });
        Ok(())
    }
}

/// A handler that records its calls, and whose source and readiness are controlled by the test.
#[derive(Clone, Default)]
pub(crate) struct RecordingHandler(Arc<Mutex<Script>>);

type Act = Box<dyn FnOnce(&mut Script) + Send>;

#[derive(Default)]
pub(crate) struct Script {
    /// The calls, and the messages delivered.
    pub(crate) seen: Vec<String>,
    /// Frames that the source offers.
    pub(crate) offered: VecDeque<Bytes>,
    /// Replies that are owed; `owes` tells whether a message makes one.
    pub(crate) owed: Vec<Reply>,
    pub(crate) owes: bool,
    /// Not ready, with the waker of the last poll.
    pub(crate) busy: Option<Option<Waker>>,
    /// Sent before the Close of a drain.
    pub(crate) before_close: Option<&'static str>,
    /// The call in which to panic.
    pub(crate) panics_in: Option<&'static str>,
    /// Run once, when the source of a closing connection is dry.
    pub(crate) when_dry: Option<Act>,
}

impl RecordingHandler {
    pub(crate) fn script<R>(&self, change: impl FnOnce(&mut Script) -> R) -> R {
        change(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.script(|script| script.seen.clone())
    }

    pub(crate) fn offer(&self, texts: impl IntoIterator<Item = String>) {
        self.script(|script| script.offered.extend(texts.into_iter().map(|text| frame::shared_text(&text))));
    }

    pub(crate) fn busy(&self) {
        self.script(|script| script.busy = Some(None));
    }

    pub(crate) fn ready(&self) {
        if let Some(Some(waker)) = self.script(|script| script.busy.take()) {
            waker.wake();
        }
    }

    fn step(&self, name: &'static str) {
        let panics = self.script(|script| {
            script.seen.push(name.to_owned());
            script.panics_in == Some(name)
        });
        // A panic without the message on stderr.
        if panics {
            std::panic::resume_unwind(Box::new("the handler's panic"));
        }
    }
}

impl Handler for RecordingHandler {
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        self.step("on_message");
        self.script(|script| {
            if script.owes {
                script.owed.push(connection.owe(100));
            }
            match message {
                Message::Text("refuse me") => return Err(CloseReason::new(CloseCode::POLICY, "refused")),
                Message::Text(text) => script.seen.push(text.to_owned()),
                Message::Binary(payload) => script.seen.push(format!("{} bytes", payload.len())),
            }
            Ok(())
        })
    }

    fn poll_ready(&mut self, _: &Arc<Connection>, cx: &mut Context<'_>) -> Poll<()> {
        if self.script(|script| script.panics_in == Some("poll_ready")) {
            self.step("poll_ready");
        }
        self.script(|script| match &mut script.busy {
            None => Poll::Ready(()),
            Some(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    fn pull(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        if self.script(|script| script.panics_in == Some("pull")) {
            self.step("pull");
        }
        self.script(|script| {
            while !batch.is_full()
                && let Some(frame) = script.offered.pop_front()
            {
                batch.push(frame);
            }
            let closing = script.seen.iter().any(|step| step == "on_closing");
            if closing
                && !batch.is_full()
                && let Some(act) = script.when_dry.take()
            {
                act(script);
            }
        });
    }

    fn on_closing(&mut self, _: &Arc<Connection>, _: &Closing) {
        self.step("on_closing");
    }

    fn before_close(&mut self, connection: &Arc<Connection>, _: &Closing) {
        self.step("before_close");
        if let Some(words) = self.script(|script| script.before_close) {
            connection.push(|out| frame::text(words, out));
        }
    }

    fn on_end(&mut self, _: &Arc<Connection>, _: &CloseSummary) {
        self.step("on_end");
    }
}
