//! The send buffer beside a flat list of bytes.

use super::*;
use proptest::prelude::*;

fn batch(frames: &[Vec<u8>]) -> Batch {
    let mut batch = Batch::new(usize::MAX, usize::MAX);
    frames.iter().for_each(|frame| batch.push(Bytes::copy_from_slice(frame)));
    batch
}

fn text(payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::text(payload, &mut out);
    out
}

fn bytes(buffer: &SendBuffer) -> Vec<u8> {
    buffer.slices().flatten().copied().collect()
}

#[test]
fn an_empty_buffer_is_one_pointer() {
    assert_eq!(size_of::<SendBuffer>(), size_of::<usize>());
    let mut buffer = SendBuffer::default();
    assert!(buffer.is_empty());
    assert_eq!((buffer.slices().count(), buffer.advance(0), buffer.truncate()), (0, 0, 0));
}

#[test]
fn the_bytes_of_the_outbox_are_reported_as_they_are_written() {
    let mut buffer = SendBuffer::default();
    // The first five bytes came from the outbox, of which the write has taken two.
    assert_eq!(buffer.fill(&mut batch(&[vec![1; 5], vec![2; 5]]), 5, 2), 2);
    assert_eq!(buffer.advance(2), 2);
    assert_eq!(buffer.advance(3), 1);
    assert_eq!(bytes(&buffer), [2; 3]);
    assert_eq!(buffer.advance(3), 0);
    assert!(buffer.is_empty());
}

#[test]
fn truncation_keeps_the_frame_that_is_partly_written() {
    let frames = [[text("one"), text("two"), text("three")].concat(), text("four")];
    let mut buffer = SendBuffer::default();
    // In the middle of "two"; everything but "four" came from the outbox.
    assert_eq!(buffer.fill(&mut batch(&frames), frames[0].len(), 7), 7);
    assert_eq!(buffer.truncate(), text("three").len());
    assert_eq!(bytes(&buffer), text("two")[2..]);
    buffer.push(Bytes::from_static(b"close"));
    assert_eq!(bytes(&buffer), [&text("two")[2..], b"close"].concat());
}

#[test]
fn truncation_between_two_frames_leaves_nothing() {
    let frames = [[text("one"), text("two")].concat()];
    let mut buffer = SendBuffer::default();
    buffer.fill(&mut batch(&frames), 0, 5);
    assert_eq!(buffer.truncate(), 0);
    assert!(buffer.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Write(prop::sample::Index),
    Push(String),
    Truncate,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<prop::sample::Index>().prop_map(Step::Write),
        2 => "[a-z]{0,20}".prop_map(Step::Push),
        1 => Just(Step::Truncate),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_what_was_taken(
        frames in prop::collection::vec(prop::collection::vec("[a-z]{0,200}", 1..4), 1..8),
        direct in any::<prop::sample::Index>(),
        written in any::<prop::sample::Index>(),
        steps in prop::collection::vec(step(), 0..30),
    ) {
        // Each element is a run of whole frames; the model is one list of frames, and how many bytes of it are written.
        let mut model: Vec<Vec<u8>> = frames.iter().flatten().map(|text| self::text(text)).collect();
        let elements: Vec<Vec<u8>> = frames.iter().map(|run| run.iter().flat_map(|text| self::text(text)).collect()).collect();
        let total: usize = elements.iter().map(Vec::len).sum();
        let (mut direct, mut at) = (direct.index(total + 1), written.index(total + 1));
        let mut buffer = SendBuffer::default();
        let reported = buffer.fill(&mut batch(&elements), direct, at);
        prop_assert_eq!(reported, direct.min(at));
        direct -= reported;
        for step in steps {
            let flat = model.concat();
            match step {
                Step::Write(some) => {
                    let some = some.index(flat.len() - at + 1);
                    let reported = buffer.advance(some);
                    prop_assert_eq!(reported, direct.min(some));
                    direct -= reported;
                    at += some;
                }
                Step::Push(more) => {
                    model.push(text(&more));
                    buffer.push(text(&more).into());
                }
                Step::Truncate => {
                    let mut end = 0;
                    let kept = model.iter().take_while(|frame| {
                        let begun = end < at;
                        if begun { end += frame.len(); }
                        begun
                    }).count();
                    model.truncate(kept);
                    let discarded = buffer.truncate();
                    let left = direct.min(end.max(at) - at);
                    prop_assert_eq!(discarded, direct - left);
                    direct = left;
                }
            }
            let flat = model.concat();
            prop_assert_eq!(bytes(&buffer), &flat[at..]);
            prop_assert_eq!(buffer.is_empty(), at == flat.len());
        }
    }
}
