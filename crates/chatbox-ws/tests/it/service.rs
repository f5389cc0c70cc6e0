//! A service to test against: a registry that keeps the ends of its connections, a transport, and handlers.

use crate::wire::Client;
use bytes::Bytes;
use chatbox_core::{
    Batch, CloseCode, CloseReason, CloseSummary, Closing, Connection, Drain, Lease, Limits, Observer, Registry, Reply,
    Source,
};
use chatbox_ws::{DecodeLimits, Expiry, Handler, Message, Settings, Transport, frame};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// The bytes that a pipe holds before its writer has to wait.
pub(crate) const PIPE: usize = 16 * 1024;

pub(crate) struct Service {
    pub(crate) registry: Registry,
    pub(crate) transport: Transport,
    ends: mpsc::UnboundedReceiver<CloseSummary>,
}

struct Ends(mpsc::UnboundedSender<CloseSummary>);

impl Observer for Ends {
    fn on_ended(&self, _: &Connection, ended: &CloseSummary, _: Duration) {
        // Nobody may be left who asks.
        let _ = self.0.send(*ended);
    }
}

impl Service {
    pub(crate) fn new() -> Self {
        Self::with(Settings { accept: DecodeLimits { binary: true, ..DecodeLimits::default() }, ..Settings::default() })
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self::limited(settings, Limits { max_per_user: 1_000, ..Limits::default() })
    }

    pub(crate) fn limited(settings: Settings, limits: Limits) -> Self {
        let (told, ends) = mpsc::unbounded_channel();
        Self { registry: Registry::new(limits, Ends(told)), transport: Transport::new(settings), ends }
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

    /// How the next connection ends.
    pub(crate) async fn ended(&mut self) -> CloseSummary {
        self.ends.recv().await.unwrap()
    }

    /// Drains within the time of the test; the tally must add up.
    pub(crate) async fn drain(&self) -> chatbox_core::Tally {
        let drain = Drain {
            reason: going_away(),
            rate: 0,
            budget: Duration::from_secs(15),
            close_handshake: Duration::from_secs(3),
        };
        let tally = self.registry.drain(drain, tokio::time::sleep(Duration::from_secs(15))).await;
        assert_eq!(tally.at_signal, tally.closed + tally.peer_gone + tally.timed_out + tally.aborted);
        tally
    }
}

pub(crate) fn going_away() -> CloseReason {
    CloseReason::new(CloseCode::GOING_AWAY, "server shutting down")
}

pub(crate) fn order_to_close() -> Closing {
    Closing { reason: going_away(), reconnect_after: None }
}

/// Says back what it is told.
pub(crate) struct Echo;

impl Source for Echo {}

impl Handler for Echo {
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        connection.push(|out| match message {
            Message::Text(text) => frame::text(text, out),
            Message::Binary(payload) => frame::binary(payload, out),
        });
        Ok(())
    }
}

/// A handler whose every step is seen, and whose source and readiness belong to the test.
#[derive(Clone, Default)]
pub(crate) struct RecordingHandler(Arc<Mutex<Strings>>);

type Act = Box<dyn FnOnce(&mut Strings) + Send>;

#[derive(Default)]
pub(crate) struct Strings {
    /// What was called, with what.
    pub(crate) seen: Vec<String>,
    /// What the source offers.
    pub(crate) offered: VecDeque<Bytes>,
    /// Answers that are owed; `owes` says whether a message makes one.
    pub(crate) owed: Vec<Reply>,
    pub(crate) owes: bool,
    /// Takes nothing.
    pub(crate) busy: Option<Option<Waker>>,
    /// Said before the Close of a drain.
    pub(crate) before_close: Option<&'static str>,
    /// The step in which to panic.
    pub(crate) panics_in: Option<&'static str>,
    /// Done once, when a source that is told to close has nothing left.
    pub(crate) when_dry: Option<Act>,
}

impl RecordingHandler {
    pub(crate) fn pull_strings<R>(&self, pull: impl FnOnce(&mut Strings) -> R) -> R {
        pull(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.pull_strings(|strings| strings.seen.clone())
    }

    pub(crate) fn offer(&self, texts: impl IntoIterator<Item = String>) {
        self.pull_strings(|strings| strings.offered.extend(texts.into_iter().map(|text| frame::shared_text(&text))));
    }

    pub(crate) fn busy(&self) {
        self.pull_strings(|strings| strings.busy = Some(None));
    }

    pub(crate) fn ready(&self) {
        if let Some(Some(waker)) = self.pull_strings(|strings| strings.busy.take()) {
            waker.wake();
        }
    }

    fn step(&self, name: &'static str) {
        let panics = self.pull_strings(|strings| {
            strings.seen.push(name.to_owned());
            strings.panics_in == Some(name)
        });
        // Quieter than a panic, and the same to whoever catches it.
        if panics {
            std::panic::resume_unwind(Box::new("the handler's panic"));
        }
    }
}

impl Source for RecordingHandler {
    fn pull(&mut self, _: &mut Context<'_>, batch: &mut Batch) {
        if self.pull_strings(|strings| strings.panics_in == Some("pull")) {
            self.step("pull");
        }
        self.pull_strings(|strings| {
            while !batch.is_full()
                && let Some(frame) = strings.offered.pop_front()
            {
                batch.push(frame);
            }
            let closing = strings.seen.iter().any(|step| step == "on_closing");
            if closing
                && !batch.is_full()
                && let Some(act) = strings.when_dry.take()
            {
                act(strings);
            }
        });
    }
}

impl Handler for RecordingHandler {
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        self.step("on_message");
        self.pull_strings(|strings| {
            if strings.owes {
                strings.owed.push(connection.owe(100));
            }
            match message {
                Message::Text("refuse me") => return Err(CloseReason::new(CloseCode::POLICY, "refused")),
                Message::Text(text) => strings.seen.push(text.to_owned()),
                Message::Binary(payload) => strings.seen.push(format!("{} bytes", payload.len())),
            }
            Ok(())
        })
    }

    fn poll_ready(&mut self, _: &Arc<Connection>, cx: &mut Context<'_>) -> Poll<()> {
        if self.pull_strings(|strings| strings.panics_in == Some("poll_ready")) {
            self.step("poll_ready");
        }
        self.pull_strings(|strings| match &mut strings.busy {
            None => Poll::Ready(()),
            Some(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    fn on_closing(&mut self, _: &Arc<Connection>, _: &Closing) {
        self.step("on_closing");
    }

    fn before_close(&mut self, connection: &Arc<Connection>, _: &Closing) {
        self.step("before_close");
        if let Some(words) = self.pull_strings(|strings| strings.before_close) {
            connection.push(|out| frame::text(words, out));
        }
    }

    fn on_end(&mut self, _: &Arc<Connection>, _: &CloseSummary) {
        self.step("on_end");
    }
}
