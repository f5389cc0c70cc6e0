//! Runs sessions over any stream.

use crate::handler::Handler;
use crate::session::SessionTask;
use crate::settings::{Expiry, Settings};
use crate::shared::Shared;
use bytes::Bytes;
use chatbox_core::Lease;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// Runs the sessions of all connections that share their settings. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Transport {
    pub(crate) shared: Arc<Shared>,
}

impl Transport {
    /// A transport with these settings. Must be called within a tokio runtime: one task keeps the time for all sessions.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { shared: Arc::new(Shared::start(settings)) }
    }

    /// The settings of all its sessions.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Serves a connection whose opening handshake is done, to its end. `buffered` holds bytes behind the handshake that were already read.
    ///
    /// The future is meant to be spawned as a task, and ends after the connection's [`Lease`] has. Dropping it cuts the connection.
    pub fn serve<S, H>(
        &self,
        io: S,
        buffered: Bytes,
        lease: Lease,
        handler: H,
        expiry: Option<Expiry>,
    ) -> impl Future<Output = ()> + Send + Unpin + use<S, H>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        H: Handler,
    {
        // Boxed: the cell of a spawned task then holds a pointer, in a smaller size class than the session's.
        Box::new(SessionTask::new(io, &buffered, lease, handler, expiry, Arc::clone(&self.shared)))
    }
}
