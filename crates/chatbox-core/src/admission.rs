//! Admission at the limit of a user: connections whose peers no longer answer give way to new ones.

use crate::connection::{Connection, ConnectionId};
use crate::lease::Lease;
use crate::probe;
use crate::refused::Refused;
use crate::registry::{Inner, Registry};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What an admission waits beyond the timeout of a probe: sessions check their deadlines on a coarse clock.
const TOLERANCE: Duration = Duration::from_millis(300);

impl Registry {
    /// The longest that [`admit_when_vacant`](Self::admit_when_vacant) waits.
    pub const VACANCY_TIMEOUT: Duration = probe::TIMEOUT.saturating_add(TOLERANCE);

    /// Registers a connection of `user` like [`admit`](Self::admit). If the user is at the limit, waits while the user's longest silent
    /// connection is probed: sent a ping, to which it must answer within 2 s. If it does not, it no longer counts, and is closed; if it does,
    /// the next one is probed. A user whose connections are dead can thus connect again, and one whose connections live is refused
    /// as soon as all have answered.
    ///
    /// Resolves within [`VACANCY_TIMEOUT`](Self::VACANCY_TIMEOUT). Cancel safe: probes that were sent are still settled.
    ///
    /// # Errors
    /// A [`Refused`], which was also reported to the observer.
    pub async fn admit_when_vacant(&self, user: &str) -> Result<Lease, Refused> {
        let result = match self.try_admit(user) {
            Err(Refused::TooManyConnections) => self.await_vacancy(user).await,
            other => other,
        };
        result.inspect_err(|&refused| self.inner.on_refused(refused))
    }

    async fn await_vacancy(&self, user: &str) -> Result<Lease, Refused> {
        let deadline = Instant::now() + Self::VACANCY_TIMEOUT;
        let _waiting = Waiting::new(&self.inner);
        let mut probed: Vec<ConnectionId> = Vec::new();
        let mut current: Option<Arc<Connection>> = None;
        loop {
            // Created before the checks, so that nothing that happens after them is missed.
            let changed = self.inner.admission.notified();
            match self.try_admit(user) {
                Err(Refused::TooManyConnections) => {}
                other => return other,
            }
            if current.as_ref().is_none_or(|connection| connection.probe.is_idle()) {
                current = self.inner.probe_longest_silent(user, &probed);
                match &current {
                    Some(connection) => probed.push(connection.id()),
                    // Every connection has answered, or is probed for another admission.
                    None => return Err(Refused::TooManyConnections),
                }
            }
            if timeout_at(deadline, changed).await.is_err() {
                return self.try_admit(user);
            }
        }
    }
}

impl Inner {
    /// Requests a probe of the longest silent connection of `user`, unless it is in `probed`.
    fn probe_longest_silent(&self, user: &str, probed: &[ConnectionId]) -> Option<Arc<Connection>> {
        let connection = self.gate.with(|state| {
            let candidates = state.counters.users.of(user, &state.items).filter(|other| !probed.contains(&other.id()));
            let connection = Arc::clone(probe::longest_silent(candidates, |connection| &connection.probe)?);
            connection.probe.request();
            Some(connection)
        })?;
        connection.tick();
        Some(connection)
    }

    /// The connection gives way to another one of its user.
    pub(crate) fn displace(&self, connection: &Connection) {
        self.gate.with(|state| state.counters.users.remove(connection, &state.items));
        self.observer.on_displaced(connection);
        self.admission.notify_waiters();
    }
}

/// Counts an admission that waits, until it is dropped.
struct Waiting<'a>(&'a Inner);

impl<'a> Waiting<'a> {
    fn new(inner: &'a Inner) -> Self {
        inner.gate.with(|state| state.counters.waiting += 1);
        Self(inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.gate.with(|state| state.counters.waiting -= 1);
    }
}
