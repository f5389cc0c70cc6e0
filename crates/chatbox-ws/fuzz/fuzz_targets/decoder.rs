//! Any stream, split in any way, decodes to the same events, and the decoder holds no more memory than twice what has arrived.
#![no_main]

use chatbox_ws::decode::Decoder;
use chatbox_ws_fuzz::{Input, chunks, decode, feed};
use libfuzzer_sys::fuzz_target;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static MEMORY: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that a decoder may hold beside twice the unfinished message: its own fields and one control frame.
const OVERHEAD: usize = 512;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::parse(data) else { return };
    let whole = decode(input.limits, &input.stream, &[usize::MAX]);
    assert_eq!(whole, decode(input.limits, &input.stream, &input.chunks));
    assert_eq!(whole, decode(input.limits, &input.stream, &[1]));
    check_memory(input);
});

fn check_memory(mut input: Input) {
    let mut decoder = Decoder::default();
    let mut unfinished = 0;
    let before = Region::new(MEMORY);
    let held = || {
        let change = before.change();
        change.bytes_allocated - change.bytes_deallocated
    };
    for chunk in chunks(&mut input.stream, &input.chunks) {
        unfinished += chunk.len();
        if feed(&mut decoder, input.limits, chunk, |_| ()).is_err() {
            // That it has failed, and nothing of what had arrived.
            assert!(held() <= OVERHEAD, "{} bytes are held after a violation", held());
            return;
        }
        if !decoder.is_partial() {
            assert_eq!(held(), 0, "memory is held between messages");
            unfinished = 0;
        }
        assert!(held() <= 2 * unfinished + OVERHEAD, "{} bytes are held for {unfinished}", held());
    }
}
