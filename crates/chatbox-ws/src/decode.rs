//! A strict, incremental decoder of the frames that a client sends (RFC 6455 section 5): no I/O, no clock.

mod header;
mod partial;
#[cfg(test)]
mod tests;

use crate::violation::Violation;
use chatbox_core::CloseCode;
use header::{Header, Parsed};
use partial::Partial;
use std::borrow::Cow;

/// What one whole message or control frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A text message, whole and valid UTF-8.
    Text(Cow<'a, str>),
    /// A binary message, whole.
    Binary(Cow<'a, [u8]>),
    /// A ping and its payload, at most 125 bytes, to be returned in a pong.
    Ping(Cow<'a, [u8]>),
    /// A pong and its payload.
    Pong(Cow<'a, [u8]>),
    /// A Close: its code, if it has one, and its text. Nothing after it is meant for anyone.
    Close(Option<CloseCode>, Cow<'a, str>),
}

/// Which messages are taken, and how large they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of one message over all its fragments; a message of exactly this size is taken. Default 65,536.
    pub max_message: usize,
    /// Whether binary messages are taken. Default no.
    pub binary: bool,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_message: 65_536, binary: false }
    }
}

/// One step of decoding.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// How many bytes of the input were used.
    pub used: usize,
    /// What they completed. `None` means that all of the input was used and more is needed.
    pub event: Option<Event<'a>>,
}

/// Decodes a client's byte stream, fed to it in chunks of any size.
///
/// Between messages it holds no memory. A message that lies whole in one chunk is unmasked in place and borrowed from it;
/// any other is gathered in a buffer that leaves with the message. A buffer grows with what has arrived, never with what
/// a header announces.
///
/// ```
/// use chatbox_ws::{DecodeLimits, Decoder, Event};
///
/// // "Hello", masked: the example of RFC 6455 section 5.7.
/// let mut bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// let mut decoder = Decoder::default();
/// let step = decoder.decode(DecodeLimits::default(), &mut bytes)?;
/// assert_eq!(step.used, 11);
/// assert_eq!(step.event, Some(Event::Text("Hello".into())));
/// # Ok::<(), chatbox_ws::Violation>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    /// What is begun and not complete; none while the peer is silent between messages.
    partial: Option<Box<Partial>>,
}

impl Decoder {
    /// Uses `input` until one event is complete. Call again with the rest while there is an event.
    ///
    /// # Errors
    /// A [`Violation`], as early as the bytes show it. The decoder must not be fed again: it then uses up and ignores
    /// whatever it is given.
    pub fn decode<'a>(&mut self, accept: DecodeLimits, input: &'a mut [u8]) -> Result<Step<'a>, Violation> {
        if self.partial.as_ref().is_some_and(|partial| partial.is_failed()) {
            return Ok(Step { used: input.len(), event: None });
        }
        let step = self.step(accept, input);
        if step.is_err() {
            self.partial = Some(Box::new(Partial::failed()));
        }
        step
    }

    /// Whether a message or frame has begun and is not complete.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| !partial.is_failed())
    }

    fn step<'a>(&mut self, accept: DecodeLimits, input: &'a mut [u8]) -> Result<Step<'a>, Violation> {
        if self.partial.is_none()
            && let Parsed::Whole(header, head) = Header::parse(input)?
        {
            header.check(accept, None)?;
            let end = head + header.len;
            if header.fin && input.len() >= end {
                let payload = &mut input[head..end];
                fastwebsockets::unmask(payload, header.mask);
                return Ok(Step { used: end, event: Some(header.borrowed(payload)?) });
            }
        }
        let partial = self.partial.get_or_insert_default();
        let (used, event) = partial.feed(accept, input)?;
        if partial.is_idle() {
            self.partial = None;
        }
        Ok(Step { used, event })
    }
}
