//! Buffers a partially received frame or message.

use super::header::{Header, MAX_HEADER, Parsed};
use super::{DecodeLimits, Event, Violation};
use fastwebsockets::OpCode;
use std::borrow::Cow;

/// A partially received header, frame or message. Boxed by the decoder, and dropped between messages.
#[derive(Debug, Default)]
pub(super) struct Partial {
    header: [u8; MAX_HEADER],
    header_len: usize,
    frame: Option<Frame>,
    message: Option<Message>,
    /// The payload of a control frame, which may come between the fragments of a message (section 5.4).
    control: Vec<u8>,
    /// A violation was found: the rest of the stream has no meaning.
    failed: bool,
}

/// A frame whose payload is incomplete.
#[derive(Clone, Copy, Debug)]
struct Frame {
    header: Header,
    /// Payload bytes that have arrived.
    got: usize,
}

/// A message that is incomplete.
#[derive(Debug)]
struct Message {
    text: bool,
    payload: Vec<u8>,
    /// Bytes of `payload` that are known to be valid UTF-8.
    valid: usize,
}

impl Partial {
    /// The state after a violation.
    pub(super) fn failed() -> Self {
        Self { failed: true, ..Self::default() }
    }

    pub(super) fn is_failed(&self) -> bool {
        self.failed
    }

    /// Whether no frame or message is unfinished.
    pub(super) fn is_idle(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    /// Uses `input` until one event is complete or the input is used up.
    pub(super) fn feed<'a>(
        &mut self,
        limits: DecodeLimits,
        input: &mut [u8],
    ) -> Result<(usize, Option<Event<'a>>), Violation> {
        let mut used = 0;
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.collect_header(limits, &input[used..], &mut used)? {
                    Some(frame) => frame,
                    None => return Ok((used, None)),
                },
            };
            used += self.collect_payload(frame, &mut input[used..])?;
            if self.frame.is_some() {
                return Ok((used, None));
            }
            if let Some(event) = self.finish(frame.header)? {
                return Ok((used, Some(event)));
            }
        }
    }

    /// Completes the header from `input`; `None` when more is needed.
    fn collect_header(
        &mut self,
        limits: DecodeLimits,
        input: &[u8],
        used: &mut usize,
    ) -> Result<Option<Frame>, Violation> {
        let begun = self.header_len;
        let more = input.len().min(MAX_HEADER - begun);
        self.header[begun..begun + more].copy_from_slice(&input[..more]);
        match Header::parse(&self.header[..begun + more])? {
            Parsed::Short => {
                // A header is short only when the input has run out.
                self.header_len = begun + more;
                *used += more;
                Ok(None)
            }
            Parsed::Whole(header, head) => {
                header.check(limits, self.message.as_ref().map(|message| message.payload.len()))?;
                *used += head - begun;
                self.header_len = 0;
                if matches!(header.opcode, OpCode::Text | OpCode::Binary) {
                    let text = header.opcode == OpCode::Text;
                    self.message = Some(Message { text, payload: Vec::new(), valid: 0 });
                }
                let frame = Frame { header, got: 0 };
                self.frame = Some(frame);
                Ok(Some(frame))
            }
        }
    }

    /// Takes what has arrived of the frame's payload; clears `self.frame` when it is complete.
    fn collect_payload(&mut self, mut frame: Frame, input: &mut [u8]) -> Result<usize, Violation> {
        let Header { mut mask, len, .. } = frame.header;
        let more = input.len().min(len - frame.got);
        let chunk = &mut input[..more];
        // The mask goes on where the last chunk ended (section 5.3).
        mask.rotate_left(frame.got % 4);
        fastwebsockets::unmask(chunk, mask);
        frame.got += more;
        if frame.header.is_control() {
            self.control.extend_from_slice(chunk);
        } else if let Some(message) = &mut self.message {
            message.payload.extend_from_slice(chunk);
            message.check_text()?;
        }
        self.frame = (frame.got < len).then_some(frame);
        Ok(more)
    }

    /// The event that a finished frame completes, if any.
    fn finish<'a>(&mut self, header: Header) -> Result<Option<Event<'a>>, Violation> {
        if header.is_control() {
            let payload = std::mem::take(&mut self.control);
            return Ok(Some(match header.borrowed(&payload)? {
                Event::Close(code, text) => Event::Close(code, Cow::Owned(text.into_owned())),
                Event::Ping(_) => Event::Ping(Cow::Owned(payload)),
                _ => Event::Pong(Cow::Owned(payload)),
            }));
        }
        if !header.fin {
            return Ok(None);
        }
        match self.message.take() {
            Some(message) if message.text => {
                let text = String::from_utf8(message.payload).map_err(|_| Violation::InvalidUtf8)?;
                Ok(Some(Event::Text(Cow::Owned(text))))
            }
            Some(message) => Ok(Some(Event::Binary(Cow::Owned(message.payload)))),
            None => Err(Violation::UnexpectedContinuation),
        }
    }
}

impl Message {
    /// Checks what has arrived since the last check, so that invalid text fails at once (section 8.1) and not at the end of a message that
    /// may never end. An incomplete character at the end is checked again with its rest.
    fn check_text(&mut self) -> Result<(), Violation> {
        if self.text {
            match std::str::from_utf8(&self.payload[self.valid..]) {
                Ok(_) => self.valid = self.payload.len(),
                Err(error) if error.error_len().is_none() => self.valid += error.valid_up_to(),
                Err(_) => return Err(Violation::InvalidUtf8),
            }
        }
        Ok(())
    }
}
