//! One client's side of a connection.

use super::{Member, PATIENCE, What, would_block};
use crate::suite::wire;
use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A fixed key: a server cannot tell, and has the same work.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A connection, from the handshake to its end.
pub(super) struct Client {
    /// `None` once it has ended.
    stream: Option<TcpStream>,
    upgraded: bool,
    room: Option<Box<str>>,
    /// Received and not yet a whole frame.
    inbox: Vec<u8>,
    /// Not yet taken by the kernel.
    outbox: Vec<u8>,
    paused: bool,
    watched: EventFlags,
    /// Writing found that the server had reset the connection. Reading may find nothing but its end.
    reset: bool,
}

impl Client {
    /// Connects and asks for the upgrade.
    pub(super) fn connect(server: SocketAddr, path: &str, member: &Member) -> Result<Self> {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_nodelay(true)?;
        write!(
            stream,
            "GET {path}?user={} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: chatbox.v1\r\n\r\n",
            member.user
        )?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: Some(stream),
            upgraded: false,
            room: member.room.as_deref().map(Box::from),
            inbox: Vec::new(),
            outbox: Vec::new(),
            paused: false,
            watched: EventFlags::IN,
            reset: false,
        })
    }

    pub(super) fn stream(&self) -> Result<&TcpStream> {
        self.stream.as_ref().context("the connection has ended")
    }

    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Has epoll watch for what is of interest now.
    pub(super) fn watch(&mut self, epoll: &OwnedFd, index: usize) -> Result<()> {
        let Some(stream) = &self.stream else { return Ok(()) };
        let mut wanted = EventFlags::empty();
        wanted.set(EventFlags::IN, !self.paused);
        wanted.set(EventFlags::OUT, !self.outbox.is_empty());
        if wanted != self.watched {
            epoll::modify(epoll, stream, EventData::new_u64(index as u64), wanted)?;
            self.watched = wanted;
        }
        Ok(())
    }

    /// Queues a text.
    pub(super) fn say(&mut self, text: &str) {
        wire::append(wire::TEXT, Some(MASK), text.as_bytes(), &mut self.outbox);
    }

    /// Writes what the kernel takes. That the connection has ended is reported when it is read.
    pub(super) fn flush(&mut self) {
        if self.outbox.is_empty() {
            return;
        }
        if let Some(stream) = &mut self.stream {
            match stream.write(&self.outbox) {
                Ok(written) => drop(self.outbox.drain(..written)),
                Err(error) if would_block(&error) => {}
                Err(error) => {
                    self.reset |= is_reset(&error);
                    self.outbox.clear();
                }
            }
        }
    }

    /// Reads once, at most a buffer.
    pub(super) fn read(&mut self, buffer: &mut [u8], report: &mut impl FnMut(What)) -> Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        match stream.read(buffer) {
            Ok(0) => {
                // A reset behind the server's FIN is no error of this read.
                let error = stream.take_error()?;
                self.end(error.as_ref().is_some_and(is_reset), report);
            }
            Ok(length) => self.receive(&mut buffer[..length], report)?,
            Err(error) if would_block(&error) => {}
            Err(error) => self.end(is_reset(&error), report),
        }
        Ok(())
    }

    fn end(&mut self, reset: bool, report: &mut impl FnMut(What)) {
        self.stream = None;
        report(What::Gone { reset: reset || self.reset });
    }

    /// Takes in bytes. In the usual case they are whole frames, and need no memory.
    fn receive(&mut self, bytes: &mut [u8], report: &mut impl FnMut(What)) -> Result<()> {
        if self.inbox.is_empty() {
            let used = self.consume(bytes, report)?;
            self.inbox.extend_from_slice(&bytes[used..]);
        } else {
            let mut inbox = std::mem::take(&mut self.inbox);
            inbox.extend_from_slice(bytes);
            let used = self.consume(&inbox, report)?;
            inbox.drain(..used);
            self.inbox = inbox;
        }
        Ok(())
    }

    /// Handles the whole frames in `bytes`; returns where the rest begins.
    fn consume(&mut self, bytes: &[u8], report: &mut impl FnMut(What)) -> Result<usize> {
        let mut at = 0;
        if !self.upgraded {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(0) };
            ensure!(
                bytes.starts_with(b"HTTP/1.1 101"),
                "not upgraded: {}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(300)])
            );
            self.upgraded = true;
            at = end + 4;
        }
        while let Some(frame) = wire::parse(&bytes[at..])? {
            let payload = &bytes[at..][frame.payload.clone()];
            match frame.opcode {
                wire::TEXT => self.hear(payload, report)?,
                wire::PING => wire::append(wire::PONG, Some(MASK), payload, &mut self.outbox),
                wire::CLOSE => {
                    let code = payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                    wire::append(wire::CLOSE, Some(MASK), payload.get(..2).unwrap_or_default(), &mut self.outbox);
                    report(What::Close { code });
                }
                _ => {}
            }
            at += frame.payload.end;
        }
        self.flush();
        Ok(at)
    }

    fn hear(&mut self, json: &[u8], report: &mut impl FnMut(What)) -> Result<()> {
        let number = |key| wire::number(json, key).context("a message without its number");
        if json.starts_with(br#"{"type":"message""#) {
            report(What::Message { seq: number(r#""seq":"#)?, number: number(r#""id":""#)? });
        } else if json.starts_with(br#"{"type":"ack""#) {
            report(What::Ack { number: number(r#""id":""#)? });
        } else if json.starts_with(br#"{"type":"welcome""#) {
            match self.room.take() {
                Some(room) => self.say(&format!(r#"{{"type":"join","room":"{room}"}}"#)),
                None => report(What::Ready),
            }
        } else if json.starts_with(br#"{"type":"joined""#) {
            report(What::Ready);
        } else if json.starts_with(br#"{"type":"error""#) {
            bail!("the server refuses: {}", String::from_utf8_lossy(json));
        }
        Ok(())
    }
}

/// What the kernel says of a connection that the other side has reset: before it has shut its own side, and after.
fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    /// How a connection ends at whose end a server does that.
    fn ending(end: impl FnOnce(TcpStream) + Send + 'static) -> What {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let (mut request, mut byte) = (Vec::new(), [0]);
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x88\x02\x03\xe9").unwrap();
            end(stream);
        });
        let mut client = Client::connect(address, "/", &Member::alone(1)).unwrap();
        client.stream().unwrap().set_nonblocking(false).unwrap();
        let mut last = None;
        while client.stream.is_some() {
            client.read(&mut [0; 1024], &mut |what| last = Some(what)).unwrap();
        }
        server.join().unwrap();
        last.unwrap()
    }

    #[test]
    fn a_server_that_awaits_the_answer_to_its_close_resets_nothing() {
        let end = ending(|mut stream| {
            let mut close = [0; 8];
            stream.read_exact(&mut close).unwrap();
            assert_eq!(close[..2], [0x88, 0x82]);
        });
        assert_eq!(end, What::Gone { reset: false });
    }

    #[test]
    fn one_that_does_not_is_seen_to_reset() {
        assert_eq!(ending(drop), What::Gone { reset: true });
    }
}
