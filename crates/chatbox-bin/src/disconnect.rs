//! The close reasons of the protocol as the registry's type.

use chatbox_core::{CloseCode, CloseReason};
use chatbox_protocol::Disconnect;

/// The Close frame of a disconnect.
pub(crate) fn close_reason(disconnect: Disconnect) -> CloseReason {
    CloseReason::new(CloseCode::new(disconnect.code()), disconnect.text())
}
