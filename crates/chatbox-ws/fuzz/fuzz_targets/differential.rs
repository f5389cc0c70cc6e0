//! Compares the decoder with tungstenite's: the same messages, except where RFC 6455 is stricter than tungstenite.
#![no_main]

use chatbox_core::CloseCode;
use chatbox_ws::decode::{DecodeLimits, Event, Violation};
use chatbox_ws_fuzz::{Decoded, Input, decode};
use libfuzzer_sys::fuzz_target;
use std::io::{self, Cursor, Read, Write};
use tungstenite::Message;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

/// Tungstenite allots what a header announces, so that there must be a bound; it applies it to control frames, too.
const SMALLEST: usize = 125;
const LARGEST: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::parse(data) else { return };
    let max_message = input.limits.max_message().clamp(SMALLEST, LARGEST);
    let ours = decode(DecodeLimits::default().with_max_message(max_message).with_binary(true), &input.stream, &input.chunks);
    compare(&until_close(ours), &theirs(&input.stream, max_message));
});

/// What tungstenite makes of the stream: its messages, and the error that ended them, if one did.
fn theirs(stream: &[u8], max: usize) -> (Vec<Message>, Option<Error>) {
    let config =
        WebSocketConfig::default().read_buffer_size(4096).max_message_size(Some(max)).max_frame_size(Some(max));
    let stream = ReadOnly(Cursor::new(stream));
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(message) => messages.push(message),
            // The end of the stream, before or after a Close.
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::ConnectionClosed) => {
                return (messages, None);
            }
            Err(error) => return (messages, Some(error)),
        }
    }
}

/// Cuts off what follows a Close, which tungstenite does not read.
fn until_close(mut decoded: Decoded) -> Decoded {
    if let Some(at) = decoded.events.iter().position(|event| matches!(event, Event::Close(..))) {
        decoded.events.truncate(at + 1);
        decoded.violation = None;
    }
    decoded
}

fn compare(ours: &Decoded, (messages, error): &(Vec<Message>, Option<Error>)) {
    for (event, message) in ours.events.iter().zip(messages) {
        assert!(is_same(event, message), "{event:?} is not {message:?}");
    }
    assert!(ours.events.len() <= messages.len(), "we took what tungstenite did not: {ours:?}, {messages:?}, {error:?}");
    let Some(violation) = ours.violation else {
        // Nothing that they refuse do we take.
        assert!(ours.events.len() == messages.len() && error.is_none(), "{ours:?}, {messages:?}, {error:?}");
        return;
    };
    // They take lengths that are not in their shortest form, among them those of control frames, and read on.
    let read_on = matches!(violation, Violation::BadLength | Violation::BadControlFrame);
    if ours.events.len() < messages.len() {
        // They take a close code that must not be sent.
        let is_close = matches!(messages[ours.events.len()], Message::Close(Some(_)));
        let is_code = violation == Violation::BadClose && is_close;
        assert!(read_on || is_code, "they took what we refuse with {violation:?}: {messages:?}");
    } else if let Some(error) = error {
        assert!(read_on || agrees(violation, error), "we say {violation:?}, they say {error:?}");
    }
    // Without an error they wait for the rest of a frame whose beginning was enough for us.
}

fn is_same(event: &Event<'_>, message: &Message) -> bool {
    match (event, message) {
        (Event::Text(ours), Message::Text(theirs)) => **ours == **theirs,
        (Event::Binary(ours), Message::Binary(theirs))
        | (Event::Ping(ours), Message::Ping(theirs))
        | (Event::Pong(ours), Message::Pong(theirs)) => **ours == **theirs,
        (Event::Close(None, _), Message::Close(None)) => true,
        (Event::Close(Some(code), text), Message::Close(Some(theirs))) => {
            (code.value() == u16::from(theirs.code) && *text == *theirs.reason)
                // Registered with IANA since 2016, and unknown to them.
                || code.value() == 1014
        }
        _ => false,
    }
}

/// Whether both would close with the same code, or differ only in which of two violations of a frame they look for first.
fn agrees(violation: Violation, error: &Error) -> bool {
    match error {
        // They look at a frame's length before all else.
        Error::Capacity(_) => violation.close_code() != CloseCode::INVALID_PAYLOAD,
        // They look at a Close's text before its code.
        Error::Utf8(_) => matches!(violation, Violation::InvalidUtf8 | Violation::BadClose),
        Error::Protocol(_) => violation.close_code() == CloseCode::PROTOCOL,
        _ => false,
    }
}

/// A stream whose other direction leads nowhere.
struct ReadOnly<'a>(Cursor<&'a [u8]>);

impl Read for ReadOnly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for ReadOnly<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
