//! Benchmarks of decoding and encoding frames.

use chatbox_ws::decode::{DecodeLimits, Decoder, Event};
use chatbox_ws::frame;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};

/// Bytes of a message.
const SIZES: [usize; 4] = [16, 128, 4 << 10, 64 << 10];

fn main() {
    divan::main();
}

/// A message that is complete in one read.
#[divan::bench(args = SIZES)]
fn decode_whole(bencher: Bencher, size: usize) {
    let (mut decoder, stream) = (Decoder::default(), chatbox_testing::text(&"x".repeat(size)));
    // Decoding unmasks in place: each iteration needs bytes of its own.
    bencher.counter(BytesCount::new(size)).with_inputs(|| stream.clone()).bench_local_refs(|stream| {
        let step = decoder.decode(DecodeLimits::default(), stream).expect("a valid stream");
        assert!(matches!(step.event, Some(Event::Text(_))));
    });
}

/// The same message in reads of 1,460 bytes, the payload of an Ethernet frame.
#[divan::bench(args = SIZES)]
fn decode_in_segments(bencher: Bencher, size: usize) {
    let (mut decoder, stream) = (Decoder::default(), chatbox_testing::text(&"x".repeat(size)));
    bencher.counter(BytesCount::new(size)).with_inputs(|| stream.clone()).bench_local_refs(|stream| {
        for segment in stream.chunks_mut(1_460) {
            black_box(decoder.decode(DecodeLimits::default(), segment).expect("a valid stream"));
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
