//! Where the news that the program should end comes in: signals, and the program itself.

use std::time::Duration;

use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::machine::{Cause, Event};
use crate::{Error, Signal, budget};

/// Begins the shutdown from the program's own code. Cheap to clone, and usable from any thread.
#[derive(Clone, Debug)]
pub struct Trigger(mpsc::Sender<ShutdownRequest>);

impl Trigger {
    /// Begins the shutdown, as a first SIGTERM would.
    ///
    /// May be called before [`run`](crate::Armed::run), and more than once: only the first call counts.
    pub fn begin(&self) {
        self.send(None);
    }

    /// Begins a shutdown that is over within `deadline` from now: see [`Plan::within`](crate::Plan::within).
    ///
    /// Changes nothing if a shutdown has begun already.
    pub fn begin_within(&self, deadline: Duration) {
        self.send(Some(budget::after(Instant::now(), deadline)));
    }

    fn send(&self, by: Option<Instant>) {
        // A full channel holds a request that came before; a closed one means that all is over.
        let _ = self.0.try_send(ShutdownRequest::Request { by });
    }
}

/// What the program was told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ShutdownRequest {
    Signal(Signal),
    Request { by: Option<Instant> },
}

impl ShutdownRequest {
    pub(crate) fn cause(self) -> Cause {
        match self {
            Self::Signal(Signal::Terminate) => Cause::Sigterm,
            Self::Signal(Signal::Interrupt) => Cause::Sigint,
            Self::Request { .. } => Cause::Request,
        }
    }

    pub(crate) fn event(self) -> Event {
        match self {
            Self::Signal(signal) => Event::Signal(signal),
            Self::Request { by } => {
                Event::Request { within: by.map(|by| by.saturating_duration_since(Instant::now())) }
            }
        }
    }
}

#[derive(Debug)]
pub(crate) struct ShutdownRequests {
    sender: mpsc::Sender<ShutdownRequest>,
    receiver: mpsc::Receiver<ShutdownRequest>,
    signals: Option<Signals>,
    /// What [`ShutdownRequests::peek`] has seen and nobody has taken yet.
    peeked: Option<ShutdownRequest>,
}

impl ShutdownRequests {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { sender, receiver, signals: None, peeked: None }
    }

    pub(crate) fn listen_for_signals(&mut self) -> Result<(), Error> {
        self.signals = Some(Signals::listen().map_err(Error::Signals)?);
        Ok(())
    }

    pub(crate) fn trigger(&self) -> Trigger {
        Trigger(self.sender.clone())
    }

    /// The next thing told. Cancel-safe.
    pub(crate) async fn next(&mut self) -> ShutdownRequest {
        if let Some(told) = self.peeked.take() {
            return told;
        }
        let signal = async {
            match &mut self.signals {
                Some(signals) => signals.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = signal => ShutdownRequest::Signal(signal),
            // Never closed, as the sender lies beside it.
            Some(told) = self.receiver.recv() => told,
        }
    }

    /// The next thing told, which `next` will return again. Cancel-safe.
    pub(crate) async fn peek(&mut self) -> ShutdownRequest {
        let told = self.next().await;
        *self.peeked.insert(told)
    }
}

/// The handlers of the signals. Once listened for, a signal's default action is gone for good.
#[derive(Debug)]
struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Signal {
        // `recv` returns `None` only if the runtime is going away, and with it whoever waits here.
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

#[cfg(test)]
impl ShutdownRequests {
    /// A way to tell anything, signals included, without sending real ones.
    pub(crate) fn teller(&self) -> mpsc::Sender<ShutdownRequest> {
        self.sender.clone()
    }
}
