//! One connection of the floor.

use crate::suite::wire;
use anyhow::{Context, Result};
use memchr::memmem;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use tungstenite::handshake::derive_accept_key;

/// What a client asks for.
pub(super) enum Incoming {
    Upgrade,
    Join { room: String },
    Send { room: String, id: String, body: String },
    Close,
}

/// A connection, with what is on its way in and out; both empty while it is idle.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) user: Box<str>,
    /// Frames that wait for the end of the turn, or for the peer.
    pub(super) outbox: Vec<u8>,
    inbox: Vec<u8>,
    upgraded: bool,
    /// The kernel could not take everything: its readiness to take more is watched for.
    blocked: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, user: "".into(), outbox: Vec::new(), inbox: Vec::new(), upgraded: false, blocked: false }
    }

    /// Reads once; `None` at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<Vec<Incoming>>> {
        let bytes = match self.stream.read(buffer) {
            Ok(0) => return Ok(None),
            Ok(length) => &mut buffer[..length],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Vec::new())),
            Err(_) => return Ok(None),
        };
        let mut found = Vec::new();
        if self.inbox.is_empty() {
            let used = self.consume(bytes, &mut found)?;
            self.inbox.extend_from_slice(&bytes[used..]);
        } else {
            let mut inbox = std::mem::take(&mut self.inbox);
            inbox.extend_from_slice(bytes);
            let used = self.consume(&mut inbox, &mut found)?;
            // Only a rest keeps memory.
            self.inbox = inbox[used..].to_vec();
        }
        Ok(Some(found))
    }

    fn consume(&mut self, bytes: &mut [u8], found: &mut Vec<Incoming>) -> Result<usize> {
        let mut at = 0;
        if !self.upgraded {
            let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(0) };
            self.upgrade(std::str::from_utf8(&bytes[..end])?)?;
            found.push(Incoming::Upgrade);
            at = end + 4;
        }
        while let Some(frame) = wire::parse(&bytes[at..])? {
            let payload = &mut bytes[at..][frame.payload.clone()];
            wire::apply_mask(payload, frame.mask.context("a client's frame has a mask")?);
            match frame.opcode {
                wire::TEXT => found.push(request(payload)?),
                wire::CLOSE => found.push(Incoming::Close),
                _ => {}
            }
            at += frame.payload.end;
        }
        Ok(at)
    }

    fn upgrade(&mut self, head: &str) -> Result<()> {
        let user = head.split_once("user=").and_then(|(_, rest)| rest.split([' ', '&']).next());
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let (user, key) = user.zip(key).context("a request without user and key")?;
        write!(
            self.outbox,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: chatbox.v1\r\n\r\n",
            derive_accept_key(key.trim().as_bytes())
        )?;
        let welcome =
            format!(r#"{{"type":"welcome","user":"{user}","connection":"0","server":"epoll","heartbeat_ms":25000}}"#);
        wire::append(wire::TEXT, None, welcome.as_bytes(), &mut self.outbox);
        (self.user, self.upgraded) = (user.into(), true);
        Ok(())
    }

    /// Writes what is queued, in one call; gives the memory back when all of it is taken.
    pub(super) fn write(&mut self) -> io::Result<()> {
        if self.outbox.is_empty() {
            return Ok(());
        }
        match self.stream.write(&self.outbox) {
            Ok(written) if written == self.outbox.len() => self.outbox = Vec::new(),
            Ok(written) => drop(self.outbox.drain(..written)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether what epoll watches for has to change.
    pub(super) fn wants_watching(&mut self) -> bool {
        std::mem::replace(&mut self.blocked, !self.outbox.is_empty()) == self.outbox.is_empty()
    }
}

fn request(json: &[u8]) -> Result<Incoming> {
    let text = |key| -> Result<String> {
        let value = wire::field(json, key).with_context(|| format!("a request without {key}"))?;
        Ok(std::str::from_utf8(value)?.to_owned())
    };
    let room = text(r#""room":""#)?;
    if json.starts_with(br#"{"type":"join""#) {
        return Ok(Incoming::Join { room });
    }
    Ok(Incoming::Send { room, id: text(r#""id":""#)?, body: text(r#""body":""#)? })
}
