//! Encoder of the frames that a WebSocket client sends (RFC 6455 section 5.2), for tests, benchmarks and fuzz targets.
//!
//! Independent of the decoder under test, and able to encode frames that no client should send.
#![doc = include_str!("../README.md")]

/// The masking key of every frame: the one of the examples in section 5.7.
pub const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The bit of the first byte that marks the last frame of a message.
pub const FIN: u8 = 0x80;
/// A continuation frame.
pub const CONTINUATION: u8 = 0x0;
/// A text frame.
pub const TEXT: u8 = 0x1;
/// A binary frame.
pub const BINARY: u8 = 0x2;
/// A Close frame.
pub const CLOSE: u8 = 0x8;
/// A ping.
pub const PING: u8 = 0x9;
/// A pong.
pub const PONG: u8 = 0xa;

/// A masked frame with its length in the shortest form. `first` is the first byte: [`FIN`], the reserved bits and the opcode.
#[must_use]
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(14 + payload.len());
    out.push(first);
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// A text message in one frame.
#[must_use]
pub fn text(payload: &str) -> Vec<u8> {
    frame(FIN | TEXT, payload.as_bytes())
}

/// A binary message in one frame.
#[must_use]
pub fn binary(payload: &[u8]) -> Vec<u8> {
    frame(FIN | BINARY, payload)
}

/// A ping.
#[must_use]
pub fn ping(payload: &[u8]) -> Vec<u8> {
    frame(FIN | PING, payload)
}

/// A pong.
#[must_use]
pub fn pong(payload: &[u8]) -> Vec<u8> {
    frame(FIN | PONG, payload)
}

/// A Close with this code and no text.
#[must_use]
pub fn close(code: u16) -> Vec<u8> {
    frame(FIN | CLOSE, &code.to_be_bytes())
}

/// An empty text frame that is not masked, which section 5.1 forbids to a client.
#[must_use]
pub fn unmasked() -> Vec<u8> {
    vec![FIN | TEXT, 0x00]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_the_examples() {
        // Section 5.7.
        assert_eq!(text("Hello"), b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(pong(b"Hello"), b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
        assert_eq!(binary(&[0; 256])[..4], *b"\x82\xfe\x01\x00");
        assert_eq!(binary(&[0; 65_536])[..10], *b"\x82\xff\0\0\0\0\0\x01\0\0");
        assert_eq!(close(1001), [0x88, 0x82, 0x37, 0xfa, 0x21, 0x3d, 0x34, 0x13]);
    }
}
