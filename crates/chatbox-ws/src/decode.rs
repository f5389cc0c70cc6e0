//! A strict, incremental decoder of client frames (RFC 6455 section 5), without I/O or a clock.

mod header;
mod partial;
#[cfg(test)]
mod tests;
mod violation;

use chatbox_core::CloseCode;
use header::{Header, Parsed};
use partial::Partial;
use std::borrow::Cow;
pub use violation::Violation;

/// A complete message or control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A text message, complete and valid UTF-8.
    Text(Cow<'a, str>),
    /// A binary message, complete.
    Binary(Cow<'a, [u8]>),
    /// A ping with its payload of at most 125 bytes, to be returned in a pong.
    Ping(Cow<'a, [u8]>),
    /// A pong with its payload.
    Pong(Cow<'a, [u8]>),
    /// A Close: its code, if it has one, and its text. A peer sends nothing after it (section 5.5.1).
    Close(Option<CloseCode>, Cow<'a, str>),
}

impl Event<'_> {
    /// The same event, borrowing nothing from the input.
    #[must_use]
    pub fn into_owned(self) -> Event<'static> {
        match self {
            Self::Text(text) => Event::Text(text.into_owned().into()),
            Self::Binary(payload) => Event::Binary(payload.into_owned().into()),
            Self::Ping(payload) => Event::Ping(payload.into_owned().into()),
            Self::Pong(payload) => Event::Pong(payload.into_owned().into()),
            Self::Close(code, text) => Event::Close(code, text.into_owned().into()),
        }
    }
}

/// Which messages are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    max_message: usize,
    binary: bool,
}

impl DecodeLimits {
    /// Largest message in bytes, over all its fragments; one of exactly this size is accepted. Default: 65,536.
    ///
    /// A larger one is a [`Violation::TooLarge`]. Bounds the memory of a decoder.
    #[must_use]
    pub const fn with_max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Whether binary messages are accepted. Default: no; one is a [`Violation::Binary`].
    #[must_use]
    pub const fn with_binary(mut self, accepted: bool) -> Self {
        self.binary = accepted;
        self
    }

    /// Largest message in bytes.
    #[must_use]
    pub const fn max_message(&self) -> usize {
        self.max_message
    }
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_message: 65_536, binary: false }
    }
}

/// The result of one step of decoding.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step<'a> {
    /// Bytes of the input that were used.
    pub used: usize,
    /// The event that they complete. `None` means that all of the input was used and more is needed.
    pub event: Option<Event<'a>>,
}

/// Decodes a client's byte stream, in chunks of any size.
///
/// Between messages it holds no memory. A message that is complete in one chunk is unmasked in place and borrowed from it;
/// any other is collected in a buffer that is handed over with the message. The buffer grows with what has arrived, never with the length
/// in a header.
///
/// ```
/// use chatbox_ws::decode::{DecodeLimits, Decoder, Event, Violation};
///
/// // "Hello", masked: the example of RFC 6455 section 5.7.
/// let mut bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// let mut decoder = Decoder::default();
/// let step = decoder.decode(DecodeLimits::default(), &mut bytes)?;
/// assert_eq!(step.used, 11);
/// assert_eq!(step.event, Some(Event::Text("Hello".into())));
/// # Ok::<(), Violation>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    /// The unfinished frame or message; `None` between messages.
    partial: Option<Box<Partial>>,
}

impl Decoder {
    /// Uses `input` until one event is complete. Call again with the rest while there is an event.
    ///
    /// # Errors
    /// A [`Violation`], as early as the bytes show it. From then on all input is used up and ignored.
    pub fn decode<'a>(&mut self, limits: DecodeLimits, input: &'a mut [u8]) -> Result<Step<'a>, Violation> {
        if self.partial.as_ref().is_some_and(|partial| partial.is_failed()) {
            return Ok(Step { used: input.len(), event: None });
        }
        let step = self.step(limits, input);
        if step.is_err() {
            self.partial = Some(Box::new(Partial::failed()));
        }
        step
    }

    /// Whether a message or frame is unfinished.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| !partial.is_failed())
    }

    fn step<'a>(&mut self, limits: DecodeLimits, input: &'a mut [u8]) -> Result<Step<'a>, Violation> {
        if self.partial.is_none()
            && let Parsed::Whole(header, head) = Header::parse(input)?
        {
            header.check(limits, None)?;
            let end = head + header.len;
            if header.fin && input.len() >= end {
                let payload = &mut input[head..end];
                fastwebsockets::unmask(payload, header.mask);
                return Ok(Step { used: end, event: Some(header.borrowed(payload)?) });
            }
        }
        let partial = self.partial.get_or_insert_default();
        let (used, event) = partial.feed(limits, input)?;
        if partial.is_idle() {
            self.partial = None;
        }
        Ok(Step { used, event })
    }
}
