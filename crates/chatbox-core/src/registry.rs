//! The registry of open connections: admission, the drain, and the books that add up.

use crate::close::{CloseReason, CloseSummary, Outcome};
use crate::connection::{Closing, Connection};
use crate::gate::Gate;
use crate::lease::Lease;
use crate::outbox_limits::OutboxLimits;
use crate::pace::Pace;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many connections, and how much may be queued for one.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections in the whole process. Default 100,000.
    pub max_connections: usize,
    /// Connections of one user. Default 10.
    pub max_per_user: u32,
    /// Bytes of direct frames queued for one connection; while it is reached nothing is read from it. Default 65,536.
    pub outbox_bytes: usize,
    /// The same over all connections; while it is reached nothing is read from those that have anything queued. Default 128 MiB.
    pub outboxes_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_connections: 100_000, max_per_user: 10, outbox_bytes: 65_536, outboxes_bytes: 128 << 20 }
    }
}

/// Why a newcomer was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// The gate is closed: the service is shutting down.
    #[error("the service is shutting down")]
    Draining,
    /// [`Limits::max_connections`] is reached.
    #[error("the service is full")]
    Full,
    /// [`Limits::max_per_user`] is reached.
    #[error("too many connections of this user")]
    TooManyOfUser,
}

impl Refused {
    /// The word used in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Full => "full",
            Self::TooManyOfUser => "user_limit",
        }
    }
}

/// Told of what happens to connections: for metrics and logs. Called on the thread where it happens; must not block.
pub trait Observer: Send + Sync + 'static {
    /// A session began to serve the connection.
    fn on_opened(&self, _connection: &Connection) {}
    /// A newcomer was turned away.
    fn on_refused(&self, _refusal: Refused) {}
    /// A drain begins: this many connections are to be closed.
    fn on_drain(&self, _connections: usize) {}
    /// A connection has its turn in a drain: once for each, also for those that are cut before.
    fn on_closing(&self, _connection: &Connection, _closing: &Closing) {}
    /// A session ended after `lasted`.
    fn on_ended(&self, _connection: &Connection, _ended: &CloseSummary, _lasted: Duration) {}
}

/// Sees nothing.
impl Observer for () {}

/// What became of the connections that were open when the gate closed.
///
/// Once a drain has returned, `at_signal == closed + peer_gone + timed_out + aborted`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections registered at the instant the gate closed.
    pub at_signal: u64,
    /// Ended with a finished close handshake.
    pub closed: u64,
    /// Ended because the peer was gone.
    pub peer_gone: u64,
    /// Ended because the peer did not read or answer in time.
    pub timed_out: u64,
    /// Cut.
    pub aborted: u64,
    /// Newcomers turned away since the gate closed.
    pub refused: u64,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Closed => self.closed += 1,
            Outcome::PeerGone => self.peer_gone += 1,
            Outcome::TimedOut => self.timed_out += 1,
            Outcome::Aborted => self.aborted += 1,
        }
    }
}

/// How to close everything that is open.
#[derive(Clone, Debug)]
pub struct Drain {
    /// What the Close frames say.
    pub reason: CloseReason,
    /// Connections closed per second; 0 for all at once. Raised when not all would fit in `budget`.
    pub rate: u32,
    /// How long the whole drain may take.
    pub budget: Duration,
    /// How long one peer may take to answer its Close.
    pub close_handshake: Duration,
}

/// All open connections of a process. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    gate: Gate<Arc<Connection>, Book>,
    limits: Limits,
    outboxes: Arc<OutboxLimits>,
    next_id: AtomicU64,
    vacant: Notify,
    pub(crate) began: std::time::Instant,
    pub(crate) observer: Box<dyn Observer>,
}

#[derive(Default)]
struct Book {
    users: HashMap<Arc<str>, u32>,
    tally: Tally,
    /// The drain has returned: its sums are final.
    settled: bool,
}

impl Registry {
    /// An empty registry with an open gate.
    #[must_use]
    pub fn new(limits: Limits, observer: impl Observer) -> Self {
        Self {
            inner: Arc::new(Inner {
                gate: Gate::new(Book::default()),
                limits,
                outboxes: Arc::new(OutboxLimits::new(limits.outbox_bytes, limits.outboxes_bytes)),
                next_id: AtomicU64::new(1),
                vacant: Notify::new(),
                began: std::time::Instant::now(),
                observer: Box::new(observer),
            }),
        }
    }

    /// Registers a connection of `user`, before the handshake is answered: from here on a drain knows of it.
    ///
    /// # Errors
    /// The [`Refused`] says why not; the observer was told.
    pub fn admit(&self, user: &str) -> Result<Lease, Refused> {
        let inner = &self.inner;
        let admitted = inner.gate.admit(Refused::Draining, |book, open, slot| {
            if open >= inner.limits.max_connections {
                return Err(Refused::Full);
            }
            let known = book.users.get_key_value(user);
            if known.map_or(0, |(_, &count)| count) >= inner.limits.max_per_user {
                return Err(Refused::TooManyOfUser);
            }
            let user: Arc<str> = known.map_or_else(|| user.into(), |(known, _)| Arc::clone(known));
            *book.users.entry(Arc::clone(&user)).or_default() += 1;
            let id = inner.next_id.fetch_add(1, Ordering::Relaxed);
            Ok(Arc::new(Connection::new(id, user, Arc::clone(&inner.outboxes), slot)))
        });
        match admitted {
            Ok(connection) => Ok(Lease::new(Arc::clone(inner), connection)),
            Err(refusal) => {
                if refusal == Refused::Draining {
                    inner.gate.with(|state| state.book.tally.refused += 1);
                }
                inner.observer.on_refused(refusal);
                Err(refusal)
            }
        }
    }

    /// Closes the gate: when this returns, nothing can be registered any more, and everything that was registered before is
    /// counted in [`Tally::at_signal`]. Open connections are served on. Returns their number; repeating it changes nothing.
    pub fn refuse_newcomers(&self) -> u64 {
        self.inner.gate.close(|book, open| book.tally.at_signal = open as u64);
        self.tally().at_signal
    }

    /// Closes the gate, if it is still open, and returns everything that is registered. Nothing can be added to that set.
    #[must_use]
    pub fn begin_drain(&self) -> Vec<Arc<Connection>> {
        self.refuse_newcomers();
        self.inner.gate.admitted()
    }

    /// Closes every connection, each in its paced turn, and waits until the last one has ended or `expired` resolves;
    /// then cuts what is left. Returns the final tally.
    ///
    /// Cancel safe in that the connections already told to close go on closing; the tally is then not final.
    pub async fn drain(&self, drain: Drain, expired: impl Future<Output = ()>) -> Tally {
        let mut expired = pin!(expired);
        let connections = self.begin_drain();
        self.inner.observer.on_drain(connections.len());
        let mut waiting = connections.iter();
        let closing = async {
            self.close_paced(&mut waiting, &drain).await;
            self.empty().await;
        };
        let in_time = tokio::select! {
            biased;
            // Looked at first: with no time left, nobody is told to close only to be cut in the same moment.
            () = &mut expired => false,
            () = closing => true,
        };
        if !in_time {
            // Those who had no turn have it now: the observer hears of each connection once.
            let closing = Closing { reason: drain.reason, reconnect_after: None };
            waiting.for_each(|connection| self.inner.observer.on_closing(connection, &closing));
            self.cut_all().await;
        }
        self.inner.gate.with(|state| {
            let book = &mut state.book;
            if !book.settled {
                book.settled = true;
                book.tally.aborted += state.items.len() as u64;
            }
            book.tally
        })
    }

    /// Resolves when no connection is registered. Cancel safe.
    pub async fn empty(&self) {
        loop {
            // Created before the look, so that a departure between the two is not missed.
            let vacant = self.inner.vacant.notified();
            if self.is_empty() {
                return;
            }
            vacant.await;
        }
    }

    /// How many connections are registered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.gate.with(|state| state.items.len())
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that are queued for connections, over all outboxes.
    #[must_use]
    pub fn outbox_bytes(&self) -> usize {
        self.inner.outboxes.used()
    }

    /// What became so far of the connections that were open when the gate closed; all zero before.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.inner.gate.with(|state| state.book.tally)
    }

    async fn close_paced(&self, connections: &mut std::slice::Iter<'_, Arc<Connection>>, drain: &Drain) {
        /// Turns closer together than this are taken together: a timer for each would cost more than it smooths.
        const STEP: Duration = Duration::from_millis(10);
        let pace = Pace::new(connections.len(), drain.rate, drain.budget, drain.close_handshake);
        let start = Instant::now();
        for index in 0..connections.len() {
            let turn = start + pace.turn(index);
            if turn > Instant::now() + STEP {
                tokio::time::sleep_until(turn).await;
            }
            let Some(connection) = connections.next() else { return };
            let closing = Closing { reason: drain.reason.clone(), reconnect_after: Some(pace.reconnect_after(index)) };
            self.inner.observer.on_closing(connection, &closing);
            connection.close(closing);
            // All at once must still let the sessions run: they finish while the rest is being told.
            if index % 64 == 63 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Cuts everything, and waits a moment for the sessions to notice.
    async fn cut_all(&self) {
        const NOTICE: Duration = Duration::from_millis(200);
        for connection in self.inner.gate.admitted() {
            connection.cut();
        }
        // What has not ended by then is counted as aborted all the same.
        let _ = tokio::time::timeout(NOTICE, self.empty()).await;
    }
}

impl Inner {
    pub(crate) fn leave(&self, connection: &Connection, ended: &CloseSummary) {
        let left = self.gate.leave(connection.slot, |book, open, left| {
            if let Some(count) = book.users.get_mut(connection.user()) {
                *count -= 1;
                if *count == 0 {
                    book.users.remove(connection.user());
                }
            }
            if !open && !book.settled {
                book.tally.count(ended.outcome);
            }
            left
        });
        if left == 0 {
            self.vacant.notify_waiters();
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("connections", &self.len()).field("tally", &self.tally()).finish()
    }
}
