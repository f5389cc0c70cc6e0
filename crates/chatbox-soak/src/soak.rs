//! The entry point: options, and the run.

use crate::fleet::Fleet;
use crate::plan::Plan;
use crate::{Progress, SoakError, SoakReport, stubborn};
use chatbox_client::Dialer;
use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// A fleet of clients to run against a service.
///
/// Each client joins one room, reads it from its first message on, and sends to it.
#[must_use = "nothing happens before `run`"]
pub struct Soak {
    plan: Plan,
    on_progress: Box<dyn Fn(&Progress) + Send + Sync>,
}

impl Soak {
    /// A soak of these servers, replicas of one service: `ws://HOST[:PORT][PATH]` or `wss://…`. At least one is required.
    pub fn new<S: Into<String>>(servers: impl IntoIterator<Item = S>) -> Self {
        Self { plan: Plan::new(servers.into_iter().map(Into::into).collect()), on_progress: Box::new(|_| {}) }
    }

    /// The number of clients. Default: 300.
    pub fn clients(mut self, clients: NonZeroU32) -> Self {
        self.plan.clients = clients;
        self
    }

    /// The number of rooms that the clients are spread over. Default: 20.
    pub fn rooms(mut self, rooms: NonZeroU32) -> Self {
        self.plan.rooms = rooms;
        self
    }

    /// How many messages a second each client sends. Default: 5.
    pub fn rate(mut self, messages_per_second: f64) -> Self {
        self.plan.rate = messages_per_second;
        self
    }

    /// How long the clients send. Default: 60 s.
    pub fn duration(mut self, duration: Duration) -> Self {
        self.plan.duration = duration;
        self
    }

    /// The length of a message's text in bytes; at least the digits of a time are written. Default: 64.
    pub fn body_bytes(mut self, bytes: usize) -> Self {
        self.plan.body_bytes = bytes;
        self
    }

    /// Further connections that never read and never answer a Close frame, which a drain has to cut. Default: 0.
    pub fn stubborn(mut self, connections: u32) -> Self {
        self.plan.stubborn = connections;
        self
    }

    /// How long the service may take, after the last message was sent, until everything is acked and delivered; later
    /// messages are violations. Default: 60 s.
    pub fn settle(mut self, settle: Duration) -> Self {
        self.plan.settle = settle;
        self
    }

    /// Makes the token of each user; `None` for a user who goes without. Default: `?user=` without a token.
    pub fn token(mut self, token: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.plan.token = Some(Arc::new(token));
        self
    }

    /// Makes the byte streams, for example with [`Dialer::tls`]. Default: TCP.
    pub fn dialer(mut self, dialer: Dialer) -> Self {
        self.plan.dialer = Some(dialer);
        self
    }

    /// Called with reports of progress.
    pub fn on_progress(mut self, on_progress: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.on_progress = Box::new(on_progress);
        self
    }

    /// Runs the fleet until its [`duration`](Self::duration) has passed or `stop` completes, waits for the last answers, and
    /// compares what the clients saw with what is stored.
    ///
    /// Not cancel safe: dropping the future closes the connections without a report.
    ///
    /// # Errors
    ///
    /// When the options are invalid, or a connection that never reads cannot be opened.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<SoakReport, SoakError> {
        let Self { plan, on_progress } = self;
        if !(plan.rate > 0.0 && plan.rate.is_finite()) {
            return Err(SoakError::Rate(plan.rate));
        }
        let stubborn = stubborn::open(&plan).await?;
        let report = Fleet::launch(plan)?.run(stop, &*on_progress).await;
        drop(stubborn);
        Ok(report)
    }
}

impl fmt::Debug for Soak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Soak").field("servers", &self.plan.servers).finish_non_exhaustive()
    }
}
