//! Encoding of the frames that a server sends: complete, unmasked, appended to a buffer (RFC 6455 section 5.2).

use bytes::Bytes;
use chatbox_core::CloseReason;
use fastwebsockets::{Frame, OpCode, Payload};

/// The longest header of an unmasked frame.
const MAX_HEADER: usize = 10;

/// Appends a text message.
pub fn text(payload: &str, out: &mut Vec<u8>) {
    append(OpCode::Text, payload.as_bytes(), out);
}

/// Appends a binary message.
pub fn binary(payload: &[u8], out: &mut Vec<u8>) {
    append(OpCode::Binary, payload, out);
}

/// A text message encoded once, to be shared by every connection that it goes to.
#[must_use]
pub fn shared_text(payload: &str) -> Bytes {
    let mut out = Vec::with_capacity(MAX_HEADER + payload.len());
    text(payload, &mut out);
    out.into()
}

/// Appends a ping with an empty payload.
pub(crate) fn ping(out: &mut Vec<u8>) {
    append(OpCode::Ping, b"", out);
}

/// Appends a pong; `payload` is that of the ping it answers, at most 125 bytes (section 5.5.3).
pub(crate) fn pong(payload: &[u8], out: &mut Vec<u8>) {
    append(OpCode::Pong, payload, out);
}

/// Appends a Close (section 5.5.1).
pub(crate) fn close(reason: &CloseReason, out: &mut Vec<u8>) {
    let frame = Frame::close(reason.code.value(), reason.text.as_bytes());
    append(OpCode::Close, &frame.payload, out);
}

fn append(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let mut head = [0; MAX_HEADER];
    let size = Frame::new(true, opcode, None, Payload::Borrowed(payload)).fmt_head(&mut head);
    out.reserve(size + payload.len());
    out.extend_from_slice(&head[..size]);
    out.extend_from_slice(payload);
}

/// Where the frame that byte `at` belongs to ends, in a run of complete frames of this module's making; `at` itself when a frame
/// begins there.
pub(crate) fn boundary(frames: &[u8], at: usize) -> usize {
    let mut start = 0;
    while start < at {
        let payload = match frames.get(start + 1..) {
            Some([126, high, low, ..]) => 2 + usize::from(u16::from_be_bytes([*high, *low])),
            Some([127, a, b, c, d, e, f, g, h, ..]) => {
                8 + usize::try_from(u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])).unwrap_or(usize::MAX)
            }
            Some([short, ..]) => usize::from(*short),
            _ => return frames.len(),
        };
        start = start.saturating_add(2 + payload).min(frames.len());
    }
    start
}
