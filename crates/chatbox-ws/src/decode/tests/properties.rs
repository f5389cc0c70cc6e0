//! Properties of the decoder for any stream, split in any way.

use super::{decode_in_chunks, taking};
use crate::decode::{DecodeLimits, Decoder, Event};
use chatbox_testing::{CONTINUATION, FIN, PING, TEXT, frame};
use fastwebsockets::{Frame, OpCode, Payload};
use proptest::prelude::*;

/// A client's frames, mostly valid: violations are drawn rarely, so that streams are long before one.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        6 => prop::sample::select(vec![0x81u8, 0x01, 0x80, 0x00]),
        3 => prop::sample::select(vec![0x82u8, 0x89, 0x8a]),
        1 => prop::sample::select(vec![0x88u8, 0x09, 0x83, 0xc1]),
    ];
    let payload = prop_oneof![
        6 => "[a-z\u{e4}\u{20ac}\u{1f4a9}]{0,20}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (120usize..140).prop_map(|len| vec![b'x'; len]),
    ];
    let frames = prop::collection::vec((opcode, payload).prop_map(|(first, payload)| frame(first, &payload)), 0..8);
    (frames, any::<prop::sample::Index>()).prop_map(|(frames, end)| {
        let mut stream = frames.concat();
        // The last frame may be incomplete.
        stream.truncate(stream.len() - end.index(stream.len().min(8) + 1));
        stream
    })
}

fn cuts(len: usize, cuts: &[prop::sample::Index]) -> Vec<usize> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(len + 1)).collect();
    cuts.sort_unstable();
    cuts
}

/// Splits a message into frames encoded by another implementation, with a ping between each two.
fn encode(text: &str, parts: usize, mask: [u8; 4]) -> Vec<u8> {
    let size = text.len().div_ceil(parts).max(1);
    let mut pieces: Vec<_> = text.as_bytes().chunks(size).collect();
    if pieces.is_empty() {
        pieces.push(b"");
    }
    let last = pieces.len() - 1;
    let mut out = Vec::new();
    for (at, piece) in pieces.into_iter().enumerate() {
        let opcode = if at == 0 { OpCode::Text } else { OpCode::Continuation };
        append(Frame::new(at == last, opcode, Some(mask), Payload::Owned(piece.to_vec())), &mut out);
        if at < last {
            append(Frame::new(true, OpCode::Ping, Some(mask), Payload::Owned(vec![at as u8])), &mut out);
        }
    }
    out
}

fn append(mut frame: Frame<'_>, out: &mut Vec<u8>) {
    frame.mask();
    out.extend_from_slice(frame.write(&mut Vec::new()));
}

proptest! {
    #[test]
    fn any_split_decodes_to_the_same(
        stream in stream(),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        binary: bool,
        max_message in prop_oneof![Just(30usize), Just(65_536)],
    ) {
        let limits = DecodeLimits::default().with_max_message(max_message).with_binary(binary);
        let (whole, decoder) = decode_in_chunks(limits, &stream, &[]);
        let (split, split_decoder) = decode_in_chunks(limits, &stream, &cuts(stream.len(), &at));
        prop_assert_eq!(whole, split);
        prop_assert_eq!(decoder.is_partial(), split_decoder.is_partial());
    }

    #[test]
    fn what_another_implementation_encodes_is_decoded(
        texts in prop::collection::vec(("\\PC{0,60}", 1usize..5, any::<[u8; 4]>()), 1..6),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream: Vec<u8> = texts.iter().flat_map(|(text, parts, mask)| encode(text, *parts, *mask)).collect();
        let ((events, result), decoder) = decode_in_chunks(taking(65_536), &stream, &cuts(stream.len(), &at));
        prop_assert_eq!(result, Ok(()));
        prop_assert!(!decoder.is_partial());
        let messages: Vec<_> = events.iter().filter(|event| !matches!(event, Event::Ping(_))).collect();
        prop_assert_eq!(messages.len(), texts.len());
        for (message, (text, ..)) in messages.into_iter().zip(&texts) {
            prop_assert_eq!(message, &Event::Text(text.into()));
        }
    }

    #[test]
    fn random_bytes_never_panic(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
        max_message: usize,
    ) {
        let mut decoder = Decoder::default();
        for mut chunk in chunks {
            let mut at = 0;
            while at < chunk.len() {
                match decoder.decode(taking(max_message), &mut chunk[at..]) {
                    Ok(step) => at += step.used,
                    Err(_) => break,
                }
            }
        }
    }

    #[test]
    fn a_message_holds_no_more_than_the_maximum(sizes in prop::collection::vec(0usize..50, 1..10), max in 0usize..200) {
        let last = sizes.len() - 1;
        let stream: Vec<u8> = sizes
            .iter()
            .enumerate()
            .flat_map(|(at, size)| {
                let opcode = if at == 0 { TEXT } else { CONTINUATION };
                let fin = if at == last { FIN } else { 0 };
                [frame(fin | opcode, &vec![b'x'; *size]), frame(FIN | PING, &[0; 100])].concat()
            })
            .collect();
        let ((_, result), _) = decode_in_chunks(taking(max), &stream, &[]);
        prop_assert_eq!(result.is_ok(), sizes.iter().sum::<usize>() <= max);
    }
}
