//! Tests of the decoder: one rule of RFC 6455 each.

mod properties;

use super::*;
use chatbox_testing::{BINARY, CLOSE, CONTINUATION, FIN, MASK, PING, PONG, TEXT, frame};

type Decoded = (Vec<Event<'static>>, Result<(), Violation>);

/// Feeds `stream` in chunks that end at `cuts`.
fn decode_in_chunks(limits: DecodeLimits, stream: &[u8], cuts: &[usize]) -> (Decoded, Decoder) {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    let mut begin = 0;
    for end in cuts.iter().copied().chain([stream.len()]) {
        let mut chunk = stream[begin..end].to_vec();
        begin = end;
        let mut at = 0;
        while at < chunk.len() {
            match decoder.decode(limits, &mut chunk[at..]) {
                Ok(step) => {
                    at += step.used;
                    let event = step.event.map(Event::into_owned);
                    assert!(event.is_some() || at == chunk.len(), "input was left although nothing was complete");
                    events.extend(event);
                }
                Err(violation) => return ((events, Err(violation)), decoder),
            }
        }
    }
    ((events, Ok(())), decoder)
}

/// Decodes in one chunk and byte by byte, which must come to the same.
fn decode(limits: DecodeLimits, stream: &[u8]) -> Decoded {
    let (whole, _) = decode_in_chunks(limits, stream, &[]);
    let every: Vec<_> = (1..stream.len()).collect();
    let (bytewise, _) = decode_in_chunks(limits, stream, &every);
    assert_eq!(whole, bytewise);
    whole
}

fn taking(max_message: usize) -> DecodeLimits {
    DecodeLimits::default().with_max_message(max_message).with_binary(true)
}

fn violation(stream: &[u8]) -> Violation {
    let (events, result) = decode(taking(65_536), stream);
    assert_eq!(events, []);
    result.unwrap_err()
}

fn text(text: &str) -> Event<'static> {
    Event::Text(text.to_owned().into())
}

#[test]
fn the_examples_of_section_5_7() {
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(hello, *frame(FIN | TEXT, b"Hello"));
    assert_eq!(decode(taking(5), &hello), (vec![text("Hello")], Ok(())));
    let fragmented = [frame(TEXT, b"Hel"), frame(FIN | CONTINUATION, b"lo")].concat();
    assert_eq!(decode(taking(5), &fragmented), (vec![text("Hello")], Ok(())));
    let ping = [0x89, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(decode(taking(0), &ping), (vec![Event::Ping(b"Hello".into())], Ok(())));
}

#[test]
fn lengths_at_the_borders_of_their_encodings() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536] {
        let payload: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let stream = [frame(FIN | BINARY, &payload), frame(FIN | TEXT, b"next")].concat();
        let cuts = [1, 2, 3, 5, 9, 13, 14, len / 2 + 14].map(|cut: usize| cut.min(stream.len()));
        for cuts in [&cuts[..], &[]] {
            let ((events, result), _) = decode_in_chunks(taking(65_536), &stream, cuts);
            assert_eq!(result, Ok(()));
            assert!(events == [Event::Binary(payload.clone().into()), text("next")], "{len} bytes");
        }
    }
}

#[test]
fn a_reserved_bit_without_an_extension_is_a_violation() {
    // Section 5.2: "MUST be 0 unless an extension is negotiated".
    for bit in [0x40, 0x20, 0x10] {
        assert_eq!(violation(&[FIN | bit | TEXT]), Violation::ReservedBits);
    }
}

#[test]
fn a_reserved_opcode_is_a_violation() {
    // Section 5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_."
    for opcode in (0x3..=0x7).chain(0xb..=0xf) {
        assert_eq!(violation(&[FIN | opcode]), Violation::ReservedOpcode);
    }
}

#[test]
fn a_frame_that_is_not_masked_is_a_violation() {
    // Section 5.1: "The server MUST close the connection upon receiving a frame that is not masked."
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        assert_eq!(violation(&[FIN | opcode, 0]), Violation::Unmasked);
    }
}

#[test]
fn a_length_must_be_in_its_shortest_form() {
    // Section 5.2: "the minimal number of bytes MUST be used to encode the length".
    for len in [0u16, 1, 125] {
        assert_eq!(violation(&[&[FIN | TEXT, 0xfe][..], &len.to_be_bytes()].concat()), Violation::BadLength);
    }
    for len in [0u64, 125, 126, 65_535] {
        assert_eq!(violation(&[&[FIN | TEXT, 0xff][..], &len.to_be_bytes()].concat()), Violation::BadLength);
    }
}

#[test]
fn a_length_has_63_bits() {
    // Section 5.2: "the most significant bit MUST be 0".
    for len in [1 << 63, u64::MAX] {
        assert_eq!(violation(&[&[FIN | BINARY, 0xff][..], &len.to_be_bytes()].concat()), Violation::BadLength);
    }
    let longest = [&[FIN | BINARY, 0xff][..], &(u64::MAX >> 1).to_be_bytes(), &MASK].concat();
    assert_eq!(violation(&longest), Violation::TooLarge);
}

#[test]
fn a_control_frame_is_short_and_whole() {
    // Section 5.5: "MUST have a payload length of 125 bytes or less and MUST NOT be fragmented".
    for opcode in [PING, PONG, CLOSE] {
        assert_eq!(violation(&[opcode]), Violation::BadControlFrame);
        assert_eq!(violation(&[FIN | opcode, 0xfe]), Violation::BadControlFrame);
        assert_eq!(violation(&[FIN | opcode, 0xff]), Violation::BadControlFrame);
    }
    let longest = [7; 125];
    assert_eq!(decode(taking(0), &frame(FIN | PONG, &longest)).0, [Event::Pong(longest[..].into())]);
}

#[test]
fn a_continuation_needs_a_beginning() {
    // Section 5.4.
    assert_eq!(violation(&frame(FIN | CONTINUATION, b"x")), Violation::UnexpectedContinuation);
    assert_eq!(violation(&frame(CONTINUATION, b"")), Violation::UnexpectedContinuation);
    let after_a_message = [frame(FIN | TEXT, b"a"), frame(FIN | CONTINUATION, b"b")].concat();
    assert_eq!(decode(taking(9), &after_a_message), (vec![text("a")], Err(Violation::UnexpectedContinuation)));
}

#[test]
fn a_message_does_not_begin_inside_another() {
    // Section 5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another message".
    for opcode in [TEXT, FIN | TEXT, BINARY, FIN | BINARY] {
        assert_eq!(violation(&[frame(TEXT, b"a"), frame(opcode, b"b")].concat()), Violation::ExpectedContinuation);
    }
}

#[test]
fn control_frames_may_stand_between_fragments() {
    // Section 5.4: "Control frames MAY be injected in the middle of a fragmented message."
    let stream = [
        frame(TEXT, "gr\u{fc}".as_bytes()),
        frame(FIN | PING, b"one"),
        frame(CONTINUATION, b""),
        frame(FIN | PONG, b""),
        frame(CONTINUATION, "\u{df}".as_bytes()),
        frame(FIN | PING, b"two"),
        frame(FIN | CONTINUATION, b"e"),
    ]
    .concat();
    let events =
        vec![Event::Ping(b"one".into()), Event::Pong(b"".into()), Event::Ping(b"two".into()), text("gr\u{fc}\u{df}e")];
    assert_eq!(decode(taking(9), &stream), (events, Ok(())));
}

#[test]
fn a_close_may_stand_between_fragments() {
    let stream = [frame(TEXT, b"never finished"), frame(FIN | CLOSE, &1001u16.to_be_bytes())].concat();
    let close = Event::Close(Some(CloseCode::GOING_AWAY), "".into());
    assert_eq!(decode(taking(99), &stream), (vec![close], Ok(())));
}

#[test]
fn empty_fragments_make_an_empty_message() {
    let stream = [frame(TEXT, b""), frame(CONTINUATION, b""), frame(FIN | CONTINUATION, b"")].concat();
    assert_eq!(decode(taking(0), &stream), (vec![text("")], Ok(())));
}

#[test]
fn close_payloads() {
    // Section 5.5.1: nothing, or a code and a text.
    let close = |payload: &[u8]| {
        let (events, result) = decode(taking(0), &frame(FIN | CLOSE, payload));
        result.map(|()| events)
    };
    let coded = |code: u16, text: &str| Ok(vec![Event::Close(Some(CloseCode::new(code)), text.to_owned().into())]);
    assert_eq!(close(b""), Ok(vec![Event::Close(None, "".into())]));
    assert_eq!(close(&[3]), Err(Violation::BadClose));
    assert_eq!(close(&[3, 232]), coded(1000, ""));
    assert_eq!(close(b"\x03\xe9bye \xe2\x9c\x93"), coded(1001, "bye \u{2713}"));
    let longest = [&[3, 232][..], &[b'x'; 123]].concat();
    assert_eq!(close(&longest), coded(1000, &"x".repeat(123)));
    // Section 8.1 holds for the text, and nothing continues it.
    assert_eq!(close(b"\x03\xe8\xff"), Err(Violation::InvalidUtf8));
    assert_eq!(close(b"\x03\xe8\xe2\x9c"), Err(Violation::InvalidUtf8));
}

#[test]
fn close_codes_that_must_not_be_sent_are_violations() {
    // Sections 7.4.1 and 7.4.2.
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert_eq!(violation(&frame(FIN | CLOSE, &code.to_be_bytes())), Violation::BadClose, "{code}");
    }
    for code in [1000u16, 1003, 1007, 1011, 1012, 1014, 3000, 4999] {
        let (_, result) = decode(taking(0), &frame(FIN | CLOSE, &code.to_be_bytes()));
        assert_eq!(result, Ok(()), "{code}");
    }
}

#[test]
fn a_message_of_exactly_the_maximum_is_taken() {
    let ten = frame(FIN | BINARY, &[1; 10]);
    assert_eq!(decode(taking(10), &ten).1, Ok(()));
    assert_eq!(decode(taking(9), &ten).1, Err(Violation::TooLarge));
    // The maximum is of the message, not of the frame.
    let fragments = [frame(BINARY, &[1; 6]), frame(FIN | PING, &[2; 100]), frame(FIN | CONTINUATION, &[1; 4])].concat();
    assert_eq!(decode(taking(10), &fragments).1, Ok(()));
    assert_eq!(decode(taking(9), &fragments).1, Err(Violation::TooLarge));
}

#[test]
fn a_message_that_will_be_too_large_is_found_by_its_header() {
    let header = [&[FIN | TEXT, 0xfe][..], &300u16.to_be_bytes(), &MASK].concat();
    assert_eq!(decode(taking(299), &header).1, Err(Violation::TooLarge));
    assert_eq!(decode(taking(300), &header).1, Ok(()));
    let tail = [frame(TEXT, b"x"), [&[FIN | CONTINUATION, 0xff][..], &(u64::MAX >> 1).to_be_bytes(), &MASK].concat()];
    assert_eq!(decode(taking(usize::MAX), &tail.concat()).1, Ok(()));
}

#[test]
fn binary_messages_are_taken_only_where_they_are_wanted() {
    let text_only = DecodeLimits::default();
    assert_eq!(decode(text_only, &frame(FIN | BINARY, b"")).1, Err(Violation::Binary));
    assert_eq!(decode(text_only, &frame(BINARY, b"x")).1, Err(Violation::Binary));
    assert_eq!(decode(text_only, &frame(FIN | TEXT, b"x")).1, Ok(()));
}

#[test]
fn bad_text_fails_at_its_first_bad_byte() {
    // Section 8.1. Each of these is bad at its last byte, whatever would follow.
    let cases: [&[u8]; 8] =
        [b"abc\xff", b"\x80", b"\xc0", b"\xce\xbaok\xed\xa0", b"\xf4\x90", b"\xe2\x28", b"\xf0\x9f\x92x", b"\xe0\x80"];
    for bad in cases {
        let good = &bad[..bad.len() - 1];
        let unfinished = |payload: &[u8]| {
            let mut stream = frame(FIN | TEXT, &[payload, &[b'x'; 20]].concat());
            stream.truncate(stream.len() - 20);
            stream
        };
        assert_eq!(decode(taking(99), &unfinished(good)).1, Ok(()), "{bad:x?}");
        assert_eq!(decode(taking(99), &unfinished(bad)).1, Err(Violation::InvalidUtf8), "{bad:x?}");
        // The same over fragments of one byte, of a message that never ends.
        let fragments: Vec<_> = bad
            .iter()
            .enumerate()
            .map(|(at, byte)| frame(if at == 0 { TEXT } else { CONTINUATION }, &[*byte]))
            .collect();
        assert_eq!(decode(taking(99), &fragments.concat()).1, Err(Violation::InvalidUtf8), "{bad:x?}");
        assert_eq!(decode(taking(99), &fragments[..bad.len() - 1].concat()).1, Ok(()), "{bad:x?}");
    }
}

#[test]
fn text_that_ends_within_a_character_is_bad() {
    for tail in [&b"\xe2"[..], b"\xe2\x9c", b"\xf0\x9f\x92"] {
        assert_eq!(violation(&frame(FIN | TEXT, tail)), Violation::InvalidUtf8);
        assert_eq!(violation(&[frame(TEXT, tail), frame(FIN | CONTINUATION, b"")].concat()), Violation::InvalidUtf8);
    }
}

#[test]
fn binary_messages_need_not_be_utf8() {
    let stream = [frame(BINARY, b"\xff"), frame(FIN | CONTINUATION, b"\xfe")].concat();
    assert_eq!(decode(taking(9), &stream).0, [Event::Binary(b"\xff\xfe".into())]);
}

#[test]
fn nothing_is_found_after_a_violation() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.decode(taking(9), &mut [FIN | TEXT, 0]), Err(Violation::Unmasked));
    let mut good = frame(FIN | TEXT, b"Hello");
    let len = good.len();
    assert_eq!(decoder.decode(taking(9), &mut good), Ok(Step { used: len, event: None }));
    assert!(!decoder.is_partial());
}

#[test]
fn no_memory_is_held_between_messages() {
    assert!(size_of::<Decoder>() <= 8, "{}", size_of::<Decoder>());
    let mut decoder = Decoder::default();
    for stream in [
        frame(FIN | TEXT, b"Hello"),
        frame(FIN | PING, b"Hello"),
        [frame(TEXT, b"Hel"), frame(FIN | PING, b""), frame(FIN | CONTINUATION, b"lo")].concat(),
    ] {
        for byte in &stream[..stream.len() - 1] {
            let _ = decoder.decode(taking(9), &mut [*byte]).unwrap();
            assert!(decoder.is_partial());
        }
        assert!(decoder.decode(taking(9), &mut [stream[stream.len() - 1]]).unwrap().event.is_some());
        assert!(!decoder.is_partial());
    }
}

#[test]
fn a_message_within_one_chunk_is_borrowed() {
    let mut stream = frame(FIN | TEXT, b"Hello");
    let step = Decoder::default().decode(taking(9), &mut stream).unwrap();
    assert!(matches!(step.event, Some(Event::Text(Cow::Borrowed("Hello")))));
}
