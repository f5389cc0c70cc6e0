//! The handler that connects a WebSocket session to the rooms.

use crate::auth::{AuthDeadline, Identity};
use crate::disconnect::close_reason;
use chatbox_core::{Batch, CloseReason, Closing, Connection, Source as _};
use chatbox_protocol::{Disconnect, ErrorCode, ServerMessage};
use chatbox_rooms::{Member, Permission, Rooms};
use chatbox_ws::{ConnectionExt as _, Expiry, Handler, Message};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

/// A member of the rooms as the handler of a WebSocket session: `chatbox-ws` and `chatbox-rooms` do not depend on each other.
///
/// `now` is the wall clock. It is compared with the authentication's deadline before each message is accepted and at each heartbeat.
pub(crate) struct ChatHandler<C = fn() -> SystemTime> {
    member: Member,
    deadline: AuthDeadline,
    now: C,
}

impl<C: Fn() -> SystemTime> ChatHandler<C> {
    /// Greets the client. `permission` says which rooms it may enter; `None`: all.
    pub(crate) fn new(
        rooms: &Rooms,
        connection: &Connection,
        permission: Option<Permission>,
        deadline: AuthDeadline,
        now: C,
    ) -> Self {
        Self { member: Member::new(rooms, connection, permission), deadline, now }
    }

    fn check_deadline(&self) -> Result<(), CloseReason> {
        if self.deadline.has_passed((self.now)()) { Err(close_reason(Disconnect::TokenExpired)) } else { Ok(()) }
    }
}

impl<C: Fn() -> SystemTime + Send + Unpin + 'static> Handler for ChatHandler<C> {
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        if let Err(close) = self.check_deadline() {
            // The message is not accepted. Its `id` is left out, so that the client sends it again with a new token.
            let error = ServerMessage::error(ErrorCode::NotAllowed, "the token has expired", None, None, None);
            // A message always encodes.
            connection.send_text(&serde_json::to_string(&error).unwrap_or_default());
            return Err(close);
        }
        if let Message::Text(text) = message {
            self.member.on_text(connection, text);
        }
        Ok(())
    }

    fn on_heartbeat(&mut self, _: &Arc<Connection>) -> Result<(), CloseReason> {
        self.check_deadline()
    }

    fn poll_ready(&mut self, connection: &Arc<Connection>, cx: &mut Context<'_>) -> Poll<()> {
        self.member.poll_ready(connection, cx)
    }

    fn pull(&mut self, cx: &mut Context<'_>, batch: &mut Batch) {
        self.member.pull(cx, batch);
    }

    fn on_closing(&mut self, connection: &Arc<Connection>, _: &Closing) {
        self.member.on_closing(connection);
    }

    fn before_close(&mut self, connection: &Arc<Connection>, closing: &Closing) {
        self.member.before_close(connection, closing);
    }
}

/// The close of a connection when its authentication expires.
pub(crate) fn expiry(identity: &Identity) -> Option<Expiry> {
    let left = identity.expires?.duration_since(SystemTime::now()).unwrap_or_default();
    Some(Expiry::new(left, close_reason(Disconnect::TokenExpired)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use chatbox_core::Registry;
    use chatbox_store::MemoryStore;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    /// A machine that was suspended, or whose clock was set forward: its timers have not noticed that the token has expired.
    #[tokio::test]
    async fn after_the_deadline_by_the_wall_clock_no_message_and_no_heartbeat_passes() {
        let config = Config::default();
        let registry = Registry::new(config.registry_limits(), ());
        let lease = registry.admit("alice").unwrap();
        let connection = Arc::clone(lease.connection());
        let store = Arc::new(MemoryStore::new());
        let rooms = Rooms::new(store, "test", config.limits.rates(), config.room_options(), chatbox_ws::frame::text);
        let seconds = Arc::new(AtomicU64::new(1_000));
        let clock = Arc::clone(&seconds);
        let now = move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Ordering::Relaxed));
        let deadline = AuthDeadline::new(Some(now() + Duration::from_secs(600)));
        let mut handler = ChatHandler::new(&rooms, &connection, None, deadline, now);
        let expired = Err(close_reason(Disconnect::TokenExpired));
        for (second, expected) in [(1_599, Ok(())), (1_600, expired.clone()), (5_000, expired), (1_000, Ok(()))] {
            seconds.store(second, Ordering::Relaxed);
            assert_eq!(handler.on_heartbeat(&connection), expected, "{second}");
            let text = format!(r#"{{"type":"send","room":"lobby","id":"{second}","body":"x"}}"#);
            assert_eq!(handler.on_message(&connection, Message::Text(&text)), expected, "{second}");
        }
        assert_eq!(rooms.totals().accepted, 2);
    }
}
