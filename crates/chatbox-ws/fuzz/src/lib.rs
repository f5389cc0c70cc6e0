//! What the fuzz targets share: an input as a client's stream with limits and cuts, and the decoder run over it.
#![forbid(unsafe_code)]

use chatbox_ws::{DecodeLimits, Decoder, Event, Step, Violation};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A fuzzer's bytes, read as a setting and a stream.
#[derive(Debug)]
pub struct Input {
    /// Which messages are taken.
    pub accept: DecodeLimits,
    /// The sizes of the chunks in which the stream arrives, over and over.
    pub chunks: [usize; 4],
    /// What the client sends.
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
            accept: DecodeLimits { max_message, binary: flags & 2 == 0 },
            chunks: [a, b, c, d].map(|size| usize::from(size) + 1),
            stream: if flags & 1 == 0 { frames(rest) } else { rest.to_vec() },
        })
    }
}

/// A list of frames, masked, with lengths in their shortest form.
fn frames(mut list: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    while let Some((&[first, len], rest)) = list.split_first_chunk() {
        let (payload, rest) = rest.split_at(usize::from(len).min(rest.len()));
        list = rest;
        stream.push(first);
        match payload.len() {
            short @ ..=125 => stream.push(0x80 | short as u8),
            long => {
                stream.push(0x80 | 126);
                stream.extend((long as u16).to_be_bytes());
            }
        }
        stream.extend(MASK);
        stream.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
    stream
}

/// What a stream came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    /// All events, in order.
    pub events: Vec<Event<'static>>,
    /// What ended it, if something did.
    pub violation: Option<Violation>,
    /// Whether the stream ended inside a frame or a message.
    pub is_partial: bool,
}

/// Decodes `stream`, fed in chunks of these sizes, over and over.
#[must_use]
pub fn decode(accept: DecodeLimits, stream: &[u8], sizes: &[usize]) -> Decoded {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    let violation = chunks(&mut stream.to_vec(), sizes)
        .try_for_each(|chunk| feed(&mut decoder, accept, chunk, |event| events.push(owned(event))))
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
    accept: DecodeLimits,
    mut chunk: &mut [u8],
    mut each: impl FnMut(Event<'_>),
) -> Result<(), Violation> {
    while !chunk.is_empty() {
        let size = chunk.len();
        let Step { used, event } = decoder.decode(accept, chunk)?;
        assert!(event.is_some() || used == size, "input was left although nothing was complete");
        event.map(&mut each);
        chunk = &mut chunk[used..];
    }
    Ok(())
}

fn owned(event: Event<'_>) -> Event<'static> {
    match event {
        Event::Text(text) => Event::Text(text.into_owned().into()),
        Event::Binary(payload) => Event::Binary(payload.into_owned().into()),
        Event::Ping(payload) => Event::Ping(payload.into_owned().into()),
        Event::Pong(payload) => Event::Pong(payload.into_owned().into()),
        Event::Close(code, text) => Event::Close(code, text.into_owned().into()),
    }
}
