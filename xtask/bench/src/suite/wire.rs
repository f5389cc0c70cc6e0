//! What client and floor have in common: frames (RFC 6455 section 5.2), and fields of the compact JSON in them.

use anyhow::{Result, bail};
use memchr::memmem;
use std::io::Cursor;
use std::ops::Range;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

pub(crate) const TEXT: OpCode = OpCode::Data(Data::Text);
pub(crate) const PING: OpCode = OpCode::Control(Control::Ping);
pub(crate) const PONG: OpCode = OpCode::Control(Control::Pong);
pub(crate) const CLOSE: OpCode = OpCode::Control(Control::Close);

/// Where a whole frame lies.
pub(crate) struct Frame {
    pub(crate) opcode: OpCode,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) payload: Range<usize>,
}

/// The frame at the beginning of `bytes`; `None` while it is not all there.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Frame>> {
    let mut cursor = Cursor::new(bytes);
    let Some((header, length)) = FrameHeader::parse(&mut cursor)? else { return Ok(None) };
    if !header.is_final {
        bail!("a fragment, which no server here sends");
    }
    let start = usize::try_from(cursor.position())?;
    let end = start + usize::try_from(length)?;
    Ok((end <= bytes.len()).then_some(Frame { opcode: header.opcode, mask: header.mask, payload: start..end }))
}

/// Appends a frame; a client's has a mask.
pub(crate) fn append(opcode: OpCode, mask: Option<[u8; 4]>, payload: &[u8], out: &mut Vec<u8>) {
    let header = FrameHeader { is_final: true, rsv1: false, rsv2: false, rsv3: false, opcode, mask };
    // Writing to memory does not fail.
    let _ = header.format(payload.len() as u64, out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply_mask(&mut out[start..], mask);
    }
}

/// Masks, or unmasks (section 5.3).
pub(crate) fn apply_mask(payload: &mut [u8], mask: [u8; 4]) {
    for (byte, key) in payload.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// The payload of a Close (section 5.5.1).
pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// The value behind `key`, which is written as `"seq":` or `"id":"`, up to the next quote, comma or brace. The benchmark's
/// own texts hold none of these.
pub(crate) fn field<'a>(json: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let start = memmem::find(json, key.as_bytes())? + key.len();
    let length = memchr::memchr3(b'"', b',', b'}', &json[start..])?;
    Some(&json[start..start + length])
}

/// The number behind `key`.
pub(crate) fn number(json: &[u8], key: &str) -> Option<u64> {
    std::str::from_utf8(field(json, key)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut bytes = Vec::new();
        append(TEXT, Some([1, 2, 3, 4]), b"hello", &mut bytes);
        assert!(parse(&bytes[..10]).unwrap().is_none());
        let frame = parse(&bytes).unwrap().unwrap();
        apply_mask(&mut bytes[frame.payload.clone()], frame.mask.unwrap());
        assert_eq!((frame.opcode, &bytes[frame.payload]), (TEXT, &b"hello"[..]));
    }

    #[test]
    fn fields_are_found_by_their_keys() {
        let json = br#"{"type":"message","room":"r","seq":42,"user":"u","id":"7","body":"hi"}"#;
        assert_eq!(number(json, r#""seq":"#), Some(42));
        assert_eq!(number(json, r#""id":""#), Some(7));
        assert_eq!(field(json, r#""body":""#), Some(&b"hi"[..]));
        assert_eq!(field(json, r#""at":""#), None);
    }
}
