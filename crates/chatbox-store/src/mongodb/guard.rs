//! Verifies periodically that the database is what the log relies on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mongodb::Database;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::TIMEOUT;
use super::connect::is_passing;
use super::heads::Heads;
use super::schema::{self, Prepared};

/// The time between two verifications.
const EVERY: Duration = Duration::from_secs(1);

/// The least time between two verifications that were asked for.
const PAUSE: Duration = Duration::from_millis(100);

/// The facts about the database that can change while the store is open: its epoch, its clock, and what is wrong with it.
///
/// An operator may drop an index, a collection or the database, restore a backup, or renew the epoch. Until everything is
/// there again, appends are refused.
#[derive(Debug)]
pub(super) struct Guard {
    database: Database,
    heads: Arc<Heads>,
    facts: Mutex<Facts>,
    epoch: watch::Sender<Arc<str>>,
    doubt: Notify,
}

#[derive(Debug)]
struct Facts {
    fault: Option<Arc<schema::Error>>,
    server_ms: i64,
    /// When the server's clock showed that.
    at: Instant,
}

impl Guard {
    pub(super) fn new(database: &Database, heads: Arc<Heads>, prepared: Prepared) -> Self {
        Self {
            database: database.clone(),
            heads,
            facts: Mutex::new(Facts { fault: None, server_ms: prepared.server_ms, at: Instant::now() }),
            epoch: watch::Sender::new(prepared.epoch),
            doubt: Notify::new(),
        }
    }

    pub(super) fn epoch(&self) -> Arc<str> {
        Arc::clone(&self.epoch.borrow())
    }

    /// Sees each new epoch.
    pub(super) fn epochs(&self) -> watch::Receiver<Arc<str>> {
        self.epoch.subscribe()
    }

    /// The current time by the server's clock.
    pub(super) fn now_ms(&self) -> i64 {
        let Facts { server_ms, at, .. } = *self.facts();
        server_ms.saturating_add(i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    /// What keeps the log from being appended to.
    pub(super) fn fault(&self) -> Option<Arc<schema::Error>> {
        self.facts().fault.clone()
    }

    /// Verifies soon.
    pub(super) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// A collection was dropped or replaced: cached heads may be those of a log that is gone. Verifies soon.
    ///
    /// After an ordinary failure heads are kept, since a new primary may not know yet what its majority has.
    pub(super) fn forget(&self) {
        self.heads.clear();
        self.doubt();
    }

    /// Verifies for ever.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            let _ = timeout(EVERY, self.doubt.notified()).await;
            if let Ok(Err(error)) = timeout(TIMEOUT, self.verify()).await {
                tracing::debug!(%error, "the database could not be verified");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Looks at the database and repairs what can be repaired.
    ///
    /// # Errors
    ///
    /// When it does not answer, which changes nothing, or cannot be repaired.
    pub(super) async fn verify(&self) -> Result<(), Arc<schema::Error>> {
        let asked = Instant::now();
        let prepared = match schema::prepare(&self.database).await {
            Ok(prepared) => prepared,
            Err(error) => {
                let error = Arc::new(error);
                if !matches!(&*error, schema::Error::Failed(error) if is_passing(error)) {
                    self.set_fault(Some(Arc::clone(&error)));
                }
                return Err(error);
            }
        };
        // The clock was read at some moment in between.
        let at = asked + asked.elapsed() / 2;
        {
            let mut facts = self.facts();
            (facts.server_ms, facts.at) = (prepared.server_ms, at);
        }
        let changed = self.epoch.send_if_modified(|epoch| {
            let changed = *epoch != prepared.epoch;
            if changed {
                // Before it is seen: the heads are those of the log as it was.
                self.heads.clear();
                tracing::warn!(from = &**epoch, to = &*prepared.epoch, "the log has a new epoch");
                *epoch = prepared.epoch;
            }
            changed
        });
        tracing::trace!(changed, "the database was verified");
        self.set_fault(None);
        Ok(())
    }

    fn set_fault(&self, fault: Option<Arc<schema::Error>>) {
        let before = std::mem::replace(&mut self.facts().fault, fault.clone());
        match (before, fault) {
            (None, Some(error)) => tracing::error!(%error, "the MongoDB store cannot be appended to"),
            (Some(_), None) => tracing::info!("the MongoDB store can be appended to again"),
            _ => {}
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
