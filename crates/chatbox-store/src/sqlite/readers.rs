//! A pool of connections that read beside the writer, on the runtime's blocking threads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::unavailable;
use crate::StoreError;

/// A pool of connections for reading.
#[derive(Debug)]
pub(super) struct Readers {
    free: Arc<Mutex<Vec<Connection>>>,
    /// A permit stands for a connection in `free`. Closed when the store is.
    permits: Arc<Semaphore>,
    total: u32,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let total = connections.len();
        Self {
            free: Arc::new(Mutex::new(connections)),
            permits: Arc::new(Semaphore::new(total)),
            total: u32::try_from(total).expect("a few connections"),
        }
    }

    /// Reads as soon as a connection is free. Dropping the future only wastes the read.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let free = self.free.clone();
        let reading = spawn_blocking(move || {
            let connection = lock(&free).pop().expect("a permit stands for a free connection");
            let outcome = read(&connection);
            lock(&free).push(connection);
            drop(permit);
            outcome
        });
        reading.await.map_err(unavailable)?.map_err(unavailable)
    }

    /// Waits for running reads, then closes the connections.
    pub(super) async fn close(&self) {
        if let Ok(_all) = self.permits.acquire_many(self.total).await {
            self.permits.close();
            lock(&self.free).clear();
        }
    }
}

/// The list of connections is consistent even if a thread panicked while it held the lock.
fn lock(free: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}
