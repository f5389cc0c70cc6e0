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

/// A text message encoded once, to be shared by all connections that it is sent to.
#[must_use]
pub fn shared_text(payload: &str) -> Bytes {
    let mut out = Vec::with_capacity(MAX_HEADER + payload.len());
    text(payload, &mut out);
    out.into()
}

/// A binary message encoded once, to be shared by all connections that it is sent to.
#[must_use]
pub fn shared_binary(payload: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(MAX_HEADER + payload.len());
    binary(payload, &mut out);
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
    let frame = Frame::close(reason.code().value(), reason.text().as_bytes());
    append(OpCode::Close, &frame.payload, out);
}

fn append(opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
    let mut head = [0; MAX_HEADER];
    let size = Frame::new(true, opcode, None, Payload::Borrowed(payload)).fmt_head(&mut head);
    out.reserve(size + payload.len());
    out.extend_from_slice(&head[..size]);
    out.extend_from_slice(payload);
}

/// The end of the frame that byte `at` belongs to, in a run of complete frames encoded by this module; `at` itself when a frame begins
/// there.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::DecodeLimits;
    use chatbox_core::CloseCode;
    use proptest::prelude::*;

    fn encoded(frame: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        frame(&mut out);
        out
    }

    #[test]
    fn frames_are_whole_and_unmasked() {
        // The examples of section 5.7.
        assert_eq!(encoded(|out| text("Hello", out)), b"\x81\x05Hello");
        assert_eq!(encoded(|out| pong(b"Hello", out)), b"\x8a\x05Hello");
        assert_eq!(encoded(|out| binary(&[0; 256], out))[..4], *b"\x82\x7e\x01\x00");
        assert_eq!(encoded(|out| binary(&[0; 65_536], out))[..10], *b"\x82\x7f\0\0\0\0\0\x01\0\0");
        assert_eq!(encoded(ping), b"\x89\0");
        assert_eq!(shared_text("Hello"), encoded(|out| text("Hello", out)));
        assert_eq!(shared_binary(&[1; 300]), encoded(|out| binary(&[1; 300], out)));
        let going_away = CloseReason::new(CloseCode::GOING_AWAY, "bye");
        assert_eq!(encoded(|out| close(&going_away, out)), b"\x88\x05\x03\xe9bye");
    }

    #[test]
    fn the_longest_reason_fits_a_control_frame() {
        let reason = CloseReason::new(CloseCode::POLICY, "x".repeat(1_000));
        assert_eq!(encoded(|out| close(&reason, out))[1], 125);
    }

    #[test]
    fn a_message_larger_than_the_limit_for_input_can_be_sent() {
        let payload = "x".repeat(DecodeLimits::default().max_message() + 1);
        assert_eq!(encoded(|out| text(&payload, out)).len(), 10 + payload.len());
    }

    proptest! {
        #[test]
        fn a_boundary_is_the_end_of_the_frame_at_a_byte(
            sizes in prop::collection::vec(prop_oneof![0usize..300, 65_500usize..65_600], 0..6),
            at: prop::sample::Index,
        ) {
            let mut frames = Vec::new();
            let mut ends = vec![0];
            for size in sizes {
                binary(&vec![0xff; size], &mut frames);
                ends.push(frames.len());
            }
            let at = at.index(frames.len() + 1);
            let expected = ends.into_iter().find(|end| *end >= at);
            prop_assert_eq!(Some(boundary(&frames, at)), expected);
        }

        #[test]
        fn a_boundary_lies_within_any_bytes(bytes: Vec<u8>, at: prop::sample::Index) {
            let at = at.index(bytes.len() + 1);
            let end = boundary(&bytes, at);
            prop_assert!((at..=bytes.len()).contains(&end));
        }
    }
}
