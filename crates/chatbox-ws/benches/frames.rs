//! What it costs to decode what clients send, and to encode what they get.

use chatbox_ws::{DecodeLimits, Decoder, Event, frame};
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

/// Bytes of one message's text.
const SIZES: [usize; 4] = [16, 128, 4 << 10, 64 << 10];

fn main() {
    divan::main();
}

/// A message that lies whole in what was read.
#[divan::bench(args = SIZES)]
fn decode_whole(bencher: Bencher, size: usize) {
    let (mut decoder, stream) = (Decoder::default(), masked(size));
    // Decoding unmasks in place: each turn needs bytes of its own.
    bencher.counter(BytesCount::new(size)).with_inputs(|| stream.clone()).bench_local_refs(|stream| {
        let step = decoder.decode(DecodeLimits::default(), stream).expect("the stream is sound");
        assert!(matches!(step.event, Some(Event::Text(_))));
    });
}

/// The same message in reads of 1,460 bytes, as a network brings it.
#[divan::bench(args = SIZES)]
fn decode_in_segments(bencher: Bencher, size: usize) {
    let (mut decoder, stream) = (Decoder::default(), masked(size));
    bencher.counter(BytesCount::new(size)).with_inputs(|| stream.clone()).bench_local_refs(|stream| {
        for segment in stream.chunks_mut(1_460) {
            black_box(decoder.decode(DecodeLimits::default(), segment).expect("the stream is sound"));
        }
    });
}

#[divan::bench(args = SIZES)]
fn encode(bencher: Bencher, size: usize) {
    let text = "x".repeat(size);
    let mut out = Vec::with_capacity(size + 16);
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        out.clear();
        frame::text(black_box(&text), &mut out);
    });
}

/// A masked text frame, as a client sends it (RFC 6455 section 5.2).
fn masked(size: usize) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut stream = Vec::with_capacity(size + 14);
    frame::text(&"x".repeat(size), &mut stream);
    let head = stream.len() - size;
    stream[1] |= 0x80;
    for (at, byte) in stream[head..].iter_mut().enumerate() {
        *byte ^= MASK[at % 4];
    }
    stream.splice(head..head, MASK);
    stream
}
