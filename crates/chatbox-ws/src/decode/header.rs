//! The frame header (RFC 6455 section 5.2), and the rules that can be checked on it alone.

use super::{DecodeLimits, Event, Violation};
use chatbox_core::CloseCode;
use fastwebsockets::OpCode;
use std::borrow::Cow;

/// The longest header: two bytes, eight of length, four of mask.
pub(super) const MAX_HEADER: usize = 14;

/// A frame's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: OpCode,
    pub(super) mask: [u8; 4],
    pub(super) len: usize,
}

/// The result of parsing a header.
#[derive(Debug)]
pub(super) enum Parsed {
    /// A header, and its length in bytes.
    Whole(Header, usize),
    /// No violation so far, but more bytes are needed.
    Short,
}

impl Header {
    /// Reads a header from the beginning of `input`. Each violation is reported as soon as its byte has arrived.
    pub(super) fn parse(input: &[u8]) -> Result<Parsed, Violation> {
        let Some(&first) = input.first() else { return Ok(Parsed::Short) };
        // Section 5.2: "MUST be 0 unless an extension is negotiated"; none is.
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBits);
        }
        let opcode = OpCode::try_from(first & 0x0f).map_err(|_| Violation::ReservedOpcode)?;
        let fin = first & 0x80 != 0;
        let control = is_control(opcode);
        // Section 5.5: control frames "MUST NOT be fragmented".
        if control && !fin {
            return Err(Violation::BadControlFrame);
        }
        let Some(&second) = input.get(1) else { return Ok(Parsed::Short) };
        // Section 5.1: a server "MUST close the connection upon receiving a frame that is not masked".
        if second & 0x80 == 0 {
            return Err(Violation::Unmasked);
        }
        let short = second & 0x7f;
        // Section 5.5: control frames "MUST have a payload length of 125 bytes or less".
        if control && short > 125 {
            return Err(Violation::BadControlFrame);
        }
        let (len, at) = match short {
            126 => match input.get(2..4).and_then(|bytes| bytes.try_into().ok()) {
                Some(bytes) => (u64::from(u16::from_be_bytes(bytes)), 4),
                None => return Ok(Parsed::Short),
            },
            127 => match input.get(2..10).and_then(|bytes| bytes.try_into().ok()) {
                Some(bytes) => (u64::from_be_bytes(bytes), 10),
                None => return Ok(Parsed::Short),
            },
            short => (u64::from(short), 2),
        };
        // Section 5.2: "the minimal number of bytes MUST be used", "the most significant bit MUST be 0".
        let shortest = match short {
            126 => len > 125,
            127 => len > 0xffff && len >> 63 == 0,
            _ => true,
        };
        if !shortest {
            return Err(Violation::BadLength);
        }
        let Some(mask) = input.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()) else {
            return Ok(Parsed::Short);
        };
        let len = usize::try_from(len).map_err(|_| Violation::TooLarge)?;
        Ok(Parsed::Whole(Self { fin, opcode, mask, len }, at + 4))
    }

    /// Checks the header against the message it continues: `begun` is the size so far of an unfinished message.
    pub(super) fn check(&self, limits: DecodeLimits, begun: Option<usize>) -> Result<(), Violation> {
        match (self.opcode, begun) {
            (OpCode::Continuation, None) => return Err(Violation::UnexpectedContinuation),
            (OpCode::Text | OpCode::Binary, Some(_)) => return Err(Violation::ExpectedContinuation),
            (OpCode::Binary, None) if !limits.binary => return Err(Violation::Binary),
            _ => {}
        }
        let fits = begun.unwrap_or(0).checked_add(self.len).is_some_and(|total| total <= limits.max_message);
        if !self.is_control() && !fits { Err(Violation::TooLarge) } else { Ok(()) }
    }

    pub(super) fn is_control(&self) -> bool {
        is_control(self.opcode)
    }

    /// The event of a complete frame whose unmasked payload is `payload`.
    pub(super) fn borrowed(self, payload: &[u8]) -> Result<Event<'_>, Violation> {
        Ok(match self.opcode {
            OpCode::Text => Event::Text(utf8(payload)?.into()),
            OpCode::Binary | OpCode::Continuation => Event::Binary(payload.into()),
            OpCode::Ping => Event::Ping(payload.into()),
            OpCode::Pong => Event::Pong(payload.into()),
            OpCode::Close => close(payload)?,
        })
    }
}

/// The event of a Close frame's payload (section 5.5.1).
fn close(payload: &[u8]) -> Result<Event<'_>, Violation> {
    match payload {
        [] => Ok(Event::Close(None, Cow::Borrowed(""))),
        [_] => Err(Violation::BadClose),
        [high, low, text @ ..] => {
            let code = CloseCode::new(u16::from_be_bytes([*high, *low]));
            if !code.may_be_sent() {
                return Err(Violation::BadClose);
            }
            Ok(Event::Close(Some(code), utf8(text)?.into()))
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Violation> {
    std::str::from_utf8(bytes).map_err(|_| Violation::InvalidUtf8)
}

fn is_control(opcode: OpCode) -> bool {
    matches!(opcode, OpCode::Close | OpCode::Ping | OpCode::Pong)
}
