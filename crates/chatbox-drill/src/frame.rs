//! WebSocket framing of a client (RFC 6455 section 5): just enough to talk, and to see every byte that is not a frame.

/// The masking key of every frame. A client's keys must be unpredictable where a proxy could be attacked through them (RFC 6455
/// section 10.3); a drill talks to the server under test only, and constant keys keep its traffic reproducible.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The longest payload that is accepted from a server.
const MAX_PAYLOAD: u64 = 16 << 20;

/// A complete frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) opcode: Opcode,
    pub(crate) payload: Vec<u8>,
}

/// The opcodes of RFC 6455 section 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn of(bits: u8) -> Option<Self> {
        [Self::Continuation, Self::Text, Self::Binary, Self::Close, Self::Ping, Self::Pong]
            .into_iter()
            .find(|opcode| *opcode as u8 == bits)
    }
}

/// A masked frame with the FIN bit set.
pub(crate) fn encode(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode as u8];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The payload of a Close frame.
pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    payload
}

/// The code and the reason in the payload of a Close frame; 1005 where there is none (section 7.1.5).
pub(crate) fn close_reason(payload: &[u8]) -> (u16, String) {
    match payload {
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(reason).into_owned()),
        _ => (1005, String::new()),
    }
}

/// Takes the first complete frame out of `buffer`. `None`: it is not complete yet.
///
/// # Errors
/// What is wrong with it, as a sentence. Nothing that follows in the buffer can be read then.
pub(crate) fn take(buffer: &mut Vec<u8>) -> Result<Option<Frame>, String> {
    let [first, second, rest @ ..] = buffer.as_slice() else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(format!("a reserved bit is set in the first byte of a frame ({first:#04x})"));
    }
    let Some(opcode) = Opcode::of(first & 0x0f) else { return Err(format!("opcode {} is reserved", first & 0x0f)) };
    if second & 0x80 != 0 {
        return Err("a frame of the server is masked".to_owned());
    }
    let (length, extended) = match second & 0x7f {
        126 if rest.len() < 2 => return Ok(None),
        126 => (u64::from(u16::from_be_bytes([rest[0], rest[1]])), 2),
        127 if rest.len() < 8 => return Ok(None),
        127 => (rest[..8].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)), 8),
        length => (u64::from(length), 0),
    };
    if length > MAX_PAYLOAD {
        return Err(format!("a frame of {length} bytes: more than {MAX_PAYLOAD}"));
    }
    let (start, end) = (2 + extended, 2 + extended + length as usize);
    if buffer.len() < end {
        return Ok(None);
    }
    let payload = buffer[start..end].to_vec();
    let fin = first & 0x80 != 0;
    buffer.drain(..end);
    Ok(Some(Frame { fin, opcode, payload }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a server would send: the same frame without its mask.
    fn unmasked(frame: &[u8]) -> Vec<u8> {
        let extended = match frame[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let (head, payload) = frame.split_at(2 + extended);
        let payload = payload[4..].iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key);
        let mut head = head.to_vec();
        head[1] &= 0x7f;
        head.into_iter().chain(payload).collect()
    }

    proptest! {
        #[test]
        fn frames_are_read_back_however_they_are_cut(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..6),
            cut in 1_usize..50,
        ) {
            let wire: Vec<u8> = payloads.iter().flat_map(|payload| unmasked(&encode(Opcode::Binary, payload))).collect();
            let (mut buffer, mut read) = (Vec::new(), Vec::new());
            for piece in wire.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = take(&mut buffer).unwrap() {
                    read.push(frame.payload);
                }
            }
            prop_assert_eq!(read, payloads);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn no_input_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut buffer = bytes;
            while let Ok(Some(_)) = take(&mut buffer) {}
        }
    }

    #[test]
    fn lengths_of_every_form_are_read() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut buffer = unmasked(&encode(Opcode::Text, &vec![b'x'; length]));
            assert_eq!(take(&mut buffer).unwrap().unwrap().payload.len(), length);
        }
    }

    #[test]
    fn what_is_no_frame_is_named() {
        for (bytes, expected) in [
            (vec![0xc1, 0], "reserved bit"),
            (vec![0x83, 0], "opcode 3"),
            (vec![0x81, 0x80], "masked"),
            (vec![0x81, 127, 255, 0, 0, 0, 0, 0, 0, 0], "more than"),
        ] {
            let error = take(&mut bytes.clone()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_close_without_a_code_is_1005() {
        assert_eq!(close_reason(&[]), (1005, String::new()));
        assert_eq!(close_reason(&close_payload(1001, "bye")), (1001, "bye".to_owned()));
    }
}
