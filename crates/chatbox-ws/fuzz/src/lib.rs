//! The input of the fuzz targets (limits, chunk sizes, and a client's stream), and the decoder run over it.
#![forbid(unsafe_code)]

use chatbox_ws::decode::{DecodeLimits, Decoder, Event, Violation};

/// A fuzzer's bytes, read as a setting and a stream.
#[derive(Debug)]
pub struct Input {
    /// The limits of the decoder.
    pub limits: DecodeLimits,
    /// The sizes of the chunks in which the stream arrives, over and over.
    pub chunks: [usize; 4],
    /// The bytes that the client sends.
    pub stream: Vec<u8>,
}

impl Input {
    /// Six bytes of setting, then the stream. `None` when there are fewer.
    ///
    /// Every other setting takes the stream as a list of frames (first byte, length, payload) and masks them itself:
    /// mutations of a masked stream mostly break its text, those of a list lead to what comes after the text.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (&[flags, max, a, b, c, d], rest) = data.split_first_chunk()?;
        let max_message = if max == u8::MAX { usize::MAX } else { usize::from(max).pow(2) };
        Some(Self {
            limits: DecodeLimits::default().with_max_message(max_message).with_binary(flags & 2 == 0),
            chunks: [a, b, c, d].map(|size| usize::from(size) + 1),
            stream: if flags & 1 == 0 { frames(rest) } else { rest.to_vec() },
        })
    }
}

/// A list of frames (first byte, length, payload), masked, with lengths in their shortest form.
fn frames(mut list: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((&[first, len], rest)) = list.split_first_chunk() {
        let (payload, rest) = rest.split_at(usize::from(len).min(rest.len()));
        list = rest;
        stream.extend(chatbox_testing::frame(first, payload));
    }
    stream
}

/// The result of decoding a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    /// All events, in order.
    pub events: Vec<Event<'static>>,
    /// The violation that ended it, if any.
    pub violation: Option<Violation>,
    /// Whether the stream ended inside a frame or a message.
    pub is_partial: bool,
}

/// Decodes `stream`, fed in chunks of these sizes, over and over.
#[must_use]
pub fn decode(limits: DecodeLimits, stream: &[u8], sizes: &[usize]) -> Decoded {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    let violation = chunks(&mut stream.to_vec(), sizes)
        .try_for_each(|chunk| feed(&mut decoder, limits, chunk, |event| events.push(event.into_owned())))
        .err();
    Decoded { events, violation, is_partial: decoder.is_partial() }
}

/// Cuts `stream` into chunks of these sizes, over and over.
pub fn chunks<'a>(stream: &'a mut [u8], sizes: &[usize]) -> impl Iterator<Item = &'a mut [u8]> {
    let mut rest = stream;
    sizes.iter().cycle().map_while(move |&size| {
        let chunk = rest.split_off_mut(..size.min(rest.len()));
        chunk.filter(|chunk| !chunk.is_empty())
    })
}

/// Feeds one chunk to a decoder; `each` is called with every event.
///
/// # Errors
/// The first violation, with which feeding ends.
pub fn feed(
    decoder: &mut Decoder,
    limits: DecodeLimits,
    mut chunk: &mut [u8],
    mut each: impl FnMut(Event<'_>),
) -> Result<(), Violation> {
    while !chunk.is_empty() {
        let size = chunk.len();
        let step = decoder.decode(limits, chunk)?;
        assert!(step.event.is_some() || step.used == size, "input was left although nothing was complete");
        step.event.map(&mut each);
        chunk = &mut chunk[step.used..];
    }
    Ok(())
}
