//! Protocol messages encoded as frames of the transport.

use crate::room::Snapshot;
use chatbox_protocol::{ErrorCode, ServerMessage, Timestamp};
use chatbox_store::{Draft, Stored};

/// Appends a text message to a buffer as one complete frame of the transport. With WebSockets: `chatbox_ws::frame::text`.
pub type FrameEncoder = fn(&str, &mut Vec<u8>);

/// Encodes protocol messages as frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    frame: FrameEncoder,
}

impl Wire {
    pub(crate) fn new(frame: FrameEncoder) -> Self {
        Self { frame }
    }

    pub(crate) fn append(self, message: &ServerMessage<'_>, out: &mut Vec<u8>) {
        let json = message.encode();
        // JSON is UTF-8. The check costs less than an assumption that no test can break.
        if let Ok(text) = std::str::from_utf8(&json) {
            (self.frame)(text, out);
        }
    }
}

/// The `message` of a stored message.
pub(crate) fn stored_message<'a>(room: &'a str, stored: &'a Stored) -> ServerMessage<'a> {
    message(room, stored.seq, &stored.user, &stored.id, &stored.body, stored.at_ms)
}

/// The `message` of a draft that was stored with this `seq`.
pub(crate) fn committed_message<'a>(room: &'a str, seq: u64, draft: &'a Draft) -> ServerMessage<'a> {
    message(room, seq, &draft.user, &draft.id, &draft.body, draft.at_ms)
}

fn message<'a>(room: &'a str, seq: u64, user: &'a str, id: &'a str, body: &'a str, at_ms: i64) -> ServerMessage<'a> {
    ServerMessage::message(room, seq, user, id, body, Timestamp::from_millis(at_ms))
}

/// The `joined` of a room in this state.
pub(crate) fn joined<'a>(room: &'a str, Snapshot { span, epoch, .. }: &'a Snapshot) -> ServerMessage<'a> {
    ServerMessage::joined(room, span.head, span.first, Some(epoch))
}

/// The error for a client whose messages do not continue where it was.
pub(crate) fn history_gone(room: &str) -> ServerMessage<'_> {
    let message = "the messages after your last one are no longer stored; what is still stored follows";
    ServerMessage::error(ErrorCode::HistoryGone, message, Some(room), None, None)
}
