//! Collects shutdown requests from signals and from [`Trigger`].

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::listener::SignalListener;
use crate::machine::Event;
use crate::{Cause, Signal};

/// Requests the shutdown from the program's own code. Cheap to clone, and usable from any thread.
#[derive(Clone, Debug)]
pub struct Trigger(mpsc::UnboundedSender<ShutdownRequest>);

impl Trigger {
    /// Requests the shutdown, as a first SIGTERM does.
    ///
    /// May be called before [`run`](crate::Shutdown::run), and more than once: only the first request counts.
    pub fn begin(&self) {
        self.send(Event::Request { within: None });
    }

    /// Requests a shutdown that is over within `deadline` from now: see [`Plan::within`](crate::Plan::within).
    ///
    /// Changes nothing if a shutdown was requested before. If phases are shortened, a warning is logged
    /// and [`Report::shortened`](crate::Report::shortened) names them.
    pub fn begin_within(&self, deadline: Duration) {
        self.send(Event::Request { within: Some(deadline) });
    }

    /// Cuts what is left and begins flushing, as a second SIGTERM does. The flush keeps its time.
    ///
    /// For a program that embeds another one and forwards its own second signal. Begins the shutdown
    /// if none was requested before.
    pub fn force(&self) {
        self.send(Event::Force);
    }

    fn send(&self, event: Event) {
        // The channel is closed once the shutdown is over: nothing is left to be requested.
        let _ = self.0.send(ShutdownRequest { at: Instant::now(), event });
    }
}

/// A signal or a request, with the time at which it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShutdownRequest {
    pub(crate) at: Instant,
    pub(crate) event: Event,
}

impl ShutdownRequest {
    fn cause(self) -> Cause {
        match self.event {
            Event::Signal(signal) => Cause::Signal(signal),
            _ => Cause::Request,
        }
    }
}

/// The queue of requests.
#[derive(Debug)]
pub(crate) struct ShutdownRequests {
    sender: mpsc::UnboundedSender<ShutdownRequest>,
    receiver: mpsc::UnboundedReceiver<ShutdownRequest>,
    /// Forwards signals. A task, so that signals that come before `run` keep their time and their number.
    listener: JoinSet<()>,
    /// A request that `requested` has seen and `next` has not returned.
    peeked: Option<ShutdownRequest>,
}

impl ShutdownRequests {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self { sender, receiver, listener: JoinSet::new(), peeked: None }
    }

    pub(crate) fn listen(&mut self, mut signals: SignalListener) {
        let trigger = self.trigger();
        self.listener.spawn(async move {
            loop {
                let signal: Signal = signals.next().await;
                trigger.send(Event::Signal(signal));
            }
        });
    }

    pub(crate) fn trigger(&self) -> Trigger {
        Trigger(self.sender.clone())
    }

    /// The next request. Cancel-safe.
    pub(crate) async fn next(&mut self) -> ShutdownRequest {
        if let Some(request) = self.peeked.take() {
            return request;
        }
        self.receiver.recv().await.expect("`self` holds a sender")
    }

    /// What sent the next request, which `next` will still return. Cancel-safe.
    pub(crate) async fn requested(&mut self) -> Cause {
        let request = self.next().await;
        self.peeked.insert(request).cause()
    }
}

#[cfg(test)]
impl Trigger {
    /// Sends any event, signals included, without a real signal.
    pub(crate) fn inject(&self, event: Event) {
        self.send(event);
    }
}
