//! What members, subscriptions and the sequencer share.

use crate::metrics::Metrics;
use crate::options::Options;
use crate::room_limits::RoomLimits;
use crate::room_table::RoomTable;
use crate::wire::Wire;
use chatbox_core::{Connection, RateLimits, Reply};
use chatbox_protocol::{ErrorCode, ServerMessage};
use chatbox_store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// When a client whose message could not be stored should try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The store, the rooms and their limits, without the queue to the sequencer: the sequencer holds this too, and would otherwise
/// keep its own queue open for ever.
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) options: Options,
    /// The name of this instance, told in `welcome`.
    pub(crate) server: Box<str>,
    pub(crate) wire: Wire,
    pub(crate) metrics: Metrics,
    pub(crate) rates: RateLimits,
    pub(crate) room_limits: RoomLimits,
    pub(crate) rooms: RoomTable,
}

impl Context {
    /// Bounds an operation of the store by [`Options::store_timeout`].
    pub(crate) async fn in_time<T>(
        &self,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let done = tokio::time::timeout(self.options.store_timeout(), operation).await;
        done.unwrap_or_else(|_| {
            let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
            Err(StoreError::Unavailable { store: self.store.name(), source: Arc::new(source) })
        })
    }

    /// Sends a message to one connection.
    pub(crate) fn send(&self, connection: &Connection, message: &ServerMessage<'_>) {
        connection.push(|out| self.wire.append(message, out));
    }

    /// Answers an accepted message that was not stored, as far as is known.
    pub(crate) fn reject(&self, room: &str, id: &str, reply: Reply) {
        let message = "the message could not be stored; send it again with the same id";
        let error = ServerMessage::error(ErrorCode::StoreUnavailable, message, Some(room), Some(id), Some(RETRY_AFTER));
        self.metrics.unstored();
        reply.send(|out| self.wire.append(&error, out));
    }
}
