//! The registry of open connections.

use crate::close_summary::CloseSummary;
use crate::connection::Connection;
use crate::gate::Gate;
use crate::lease::Lease;
use crate::limits::Limits;
use crate::observer::Observer;
use crate::outbox_limits::OutboxLimits;
use crate::refused::Refused;
use crate::tally::Tally;
use crate::users::Users;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// All open connections of a process. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) gate: Gate<Arc<Connection>, Counters>,
    limits: Limits,
    outboxes: Arc<OutboxLimits>,
    next_id: AtomicU64,
    vacant: Notify,
    /// Notified, while an admission waits, of all that it may wait for.
    pub(crate) admission: Notify,
    pub(crate) began: std::time::Instant,
    pub(crate) observer: Box<dyn Observer>,
}

/// Counts that change together with the set of connections, under the gate's lock.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) users: Users,
    /// Admissions that wait.
    pub(crate) waiting: usize,
    tally: Tally,
    /// A drain has returned: the tally does not change any more.
    is_final: bool,
}

impl Registry {
    /// An empty registry with an open gate.
    #[must_use]
    pub fn new(limits: Limits, observer: impl Observer) -> Self {
        let outboxes = OutboxLimits::new(limits.outbox_bytes.get(), limits.outboxes_bytes.get());
        Self {
            inner: Arc::new(Inner {
                gate: Gate::new(Counters::default()),
                limits,
                outboxes: Arc::new(outboxes),
                next_id: AtomicU64::new(1),
                vacant: Notify::new(),
                admission: Notify::new(),
                began: std::time::Instant::now(),
                observer: Box::new(observer),
            }),
        }
    }

    /// Registers a connection of `user`. Call before the opening handshake is answered: from here on a drain includes the connection.
    ///
    /// # Errors
    /// A [`Refused`], which was also reported to the observer.
    pub fn admit(&self, user: &str) -> Result<Lease, Refused> {
        self.try_admit(user).inspect_err(|&refused| self.inner.on_refused(refused))
    }

    /// Admits without reporting a refusal.
    pub(crate) fn try_admit(&self, user: &str) -> Result<Lease, Refused> {
        let inner = &self.inner;
        let connection = inner.gate.admit(Refused::Draining, |counters, open, slot| {
            if open >= inner.limits.max_connections.get() {
                return Err(Refused::Full);
            }
            let (count, known) = counters.users.get(user);
            if count >= inner.limits.max_per_user.get() {
                return Err(Refused::TooManyConnections);
            }
            let user: Arc<str> = known.map_or_else(|| user.into(), Arc::clone);
            let slot = u32::try_from(slot).map_err(|_| Refused::Full)?;
            let id = inner.next_id.fetch_add(1, Ordering::Relaxed);
            let connection = Arc::new(Connection::new(id, user, Arc::clone(&inner.outboxes), slot));
            counters.users.add(&connection);
            Ok(connection)
        })?;
        Ok(Lease::new(Arc::clone(inner), connection))
    }

    /// Closes the gate: when this returns, nothing can be registered any more, and every connection that is registered is counted in
    /// [`Tally::at_signal`]. Open connections are still served. Returns their number; repeating the call changes nothing.
    pub fn refuse_newcomers(&self) -> u64 {
        self.inner.gate.close(|counters, open| counters.tally.at_signal = open as u64);
        self.inner.admission.notify_waiters();
        self.tally().at_signal
    }

    /// Closes the gate, if it is still open, and returns every registered connection. Nothing can be added to that set.
    #[must_use]
    pub fn begin_drain(&self) -> Vec<Arc<Connection>> {
        self.refuse_newcomers();
        self.inner.admitted()
    }

    /// Resolves when no connection is registered. Cancel safe.
    pub async fn empty(&self) {
        loop {
            // Created before the check, so that a departure between the two is not missed.
            let vacant = self.inner.vacant.notified();
            if self.is_empty() {
                return;
            }
            vacant.await;
        }
    }

    /// The connections of one user, the newest first. Costs nothing for the connections of others.
    #[must_use]
    pub fn by_user(&self, user: &str) -> Vec<Arc<Connection>> {
        self.inner.gate.with(|state| state.counters.users.of(user, &state.items).map(Arc::clone).collect())
    }

    /// Calls `each` with every connection that is registered when the call begins, without holding a lock.
    pub fn for_each(&self, each: impl FnMut(&Arc<Connection>)) {
        self.inner.admitted().iter().for_each(each);
    }

    /// The number of registered connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.gate.with(|state| state.items.len())
    }

    /// Whether no connection is registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes held by all outboxes together.
    #[must_use]
    pub fn outbox_bytes(&self) -> usize {
        self.inner.outboxes.used()
    }

    /// How the connections ended so far that were open when the gate closed; all zero before.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.inner.gate.with(|state| state.counters.tally)
    }
}

impl Inner {
    pub(crate) fn admitted(&self) -> Vec<Arc<Connection>> {
        self.gate.admitted()
    }

    pub(crate) fn leave(&self, connection: &Connection, summary: &CloseSummary) {
        let (is_empty, waiting) = self.gate.leave(connection.slot as usize, |counters, open, left| {
            counters.users.remove(connection, left);
            if !open && !counters.is_final {
                counters.tally.count(summary.outcome);
            }
            (left.is_empty(), counters.waiting)
        });
        if is_empty {
            self.vacant.notify_waiters();
        }
        if waiting > 0 {
            self.admission.notify_waiters();
        }
    }

    /// Counts and reports a refusal.
    pub(crate) fn on_refused(&self, refused: Refused) {
        if refused == Refused::Draining {
            self.gate.with(|state| state.counters.tally.refused += 1);
        }
        self.observer.on_refused(refused);
    }

    /// Counts what is still registered as aborted, the first time, and returns the tally, which is final from then on.
    pub(crate) fn finish_tally(&self) -> Tally {
        self.gate.with(|state| {
            let counters = &mut state.counters;
            if !counters.is_final {
                counters.is_final = true;
                counters.tally.aborted += state.items.len() as u64;
            }
            counters.tally
        })
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("connections", &self.len()).field("tally", &self.tally()).finish()
    }
}
