//! The state that the handles of a client share with its task.

use crate::Reason;
use crate::session::Session;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// The session, and a notification for the task when a handle has changed it.
#[derive(Debug)]
pub(crate) struct Shared {
    session: Mutex<Session>,
    wake: Notify,
}

impl Shared {
    pub(crate) fn new(session: Session) -> Self {
        Self { session: Mutex::new(session), wake: Notify::new() }
    }

    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the session and wakes the task.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut Session) -> T) -> T {
        let changed = change(&mut self.session());
        self.wake.notify_one();
        changed
    }

    /// Waits for the next [`update`](Self::update). Cancel safe; for one waiter, the driver.
    pub(crate) async fn changed(&self) {
        self.wake.notified().await;
    }
}

/// Held by all clones of a client and by its events: dropping the last one closes the connection.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    done: watch::Receiver<bool>,
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>, done: watch::Receiver<bool>) -> Self {
        Self { shared, done }
    }

    /// Waits for the end of the task.
    pub(crate) async fn done(&self) {
        // An error means that the task is gone.
        let _ = self.done.clone().wait_for(|is_done| *is_done).await;
    }

    /// The reason why the client ended.
    pub(crate) fn reason(&self) -> Reason {
        self.shared.session().ended().cloned().unwrap_or(Reason::Requested)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.update(|session| session.end(Reason::Requested));
    }
}
