//! Protocol messages as complete frames.

use chatbox_protocol::ServerMessage;

/// Appends one text message, as a complete frame of the transport, to a buffer. With WebSockets: `chatbox_ws::frame::text`.
pub type FrameEncoder = fn(&str, &mut Vec<u8>);

/// Encodes messages for a transport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire {
    pub(crate) frame: FrameEncoder,
}

impl Wire {
    pub(crate) fn append(self, message: &ServerMessage<'_>, out: &mut Vec<u8>) {
        let json = message.encode();
        // JSON is UTF-8: a look at a few hundred bytes costs less than a promise that nobody checks.
        if let Ok(text) = std::str::from_utf8(&json) {
            (self.frame)(text, out);
        }
    }
}
