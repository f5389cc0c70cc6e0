//! The practical floor: a bare, single-threaded epoll server that speaks the minimum of chatbox.v1. It looks at readiness, handles
//! what there is, and then writes what has been queued for each client in one call. No limits, no heartbeat, no store.

mod connection;

use crate::suite::wire;
use anyhow::Result;
use connection::{Connection, Incoming};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use slab::Slab;
use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};

const LISTENER: u64 = u64::MAX;
const SIGNAL: u64 = u64::MAX - 1;

struct Floor {
    epoll: OwnedFd,
    /// `None` once it drains.
    listener: Option<TcpListener>,
    signal: SignalFd,
    connections: Slab<Connection>,
    rooms: Vec<Room>,
    names: HashMap<Box<str>, usize>,
    /// Connections for which something was queued in this turn.
    dirty: Vec<usize>,
}

#[derive(Default)]
struct Room {
    head: u64,
    members: Vec<usize>,
}

/// Serves until SIGTERM, then until the last connection is closed.
pub(crate) fn run() -> Result<()> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTERM);
    mask.thread_block()?;
    let signal = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    // Inherited by what is accepted.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    println!("listening on http://{}", listener.local_addr()?);
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    epoll::add(&epoll, &signal, EventData::new_u64(SIGNAL), EventFlags::IN)?;
    let mut floor = Floor {
        epoll,
        listener: Some(listener),
        signal,
        connections: Slab::new(),
        rooms: Vec::new(),
        names: HashMap::new(),
        dirty: Vec::new(),
    };
    floor.serve()
}

impl Floor {
    fn serve(&mut self) -> Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        let mut buffer = vec![0; 64 * 1024];
        while self.listener.is_some() || !self.connections.is_empty() {
            epoll::wait(&self.epoll, spare_capacity(&mut events), None)?;
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    SIGNAL => self.drain()?,
                    key => self.on_ready(usize::try_from(key)?, event.flags, &mut buffer)?,
                }
            }
            for key in std::mem::take(&mut self.dirty) {
                self.flush(key)?;
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(TcpListener::accept) {
            stream.set_nonblocking(true)?;
            let entry = self.connections.vacant_entry();
            epoll::add(&self.epoll, &stream, EventData::new_u64(entry.key() as u64), EventFlags::IN)?;
            entry.insert(Connection::new(stream));
        }
        Ok(())
    }

    /// Closes every connection, all at once.
    fn drain(&mut self) -> Result<()> {
        self.signal.read_signal()?;
        let Some(listener) = self.listener.take() else { return Ok(()) };
        epoll::delete(&self.epoll, listener)?;
        let goodbye = br#"{"type":"goodbye","reason":"shutdown","reconnect_after_ms":0}"#;
        let close = wire::close_payload(1001, "server shutting down");
        for (key, connection) in &mut self.connections {
            wire::append(wire::TEXT, None, goodbye, &mut connection.outbox);
            wire::append(wire::CLOSE, None, &close, &mut connection.outbox);
            self.dirty.push(key);
        }
        Ok(())
    }

    fn on_ready(&mut self, key: usize, flags: EventFlags, buffer: &mut [u8]) -> Result<()> {
        if flags.contains(EventFlags::OUT) {
            self.dirty.push(key);
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok(());
        }
        // It may have left in this very turn.
        let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
        let Some(incoming) = connection.read(buffer)? else {
            self.connections.remove(key);
            return Ok(());
        };
        for incoming in incoming {
            match incoming {
                Incoming::Upgrade => self.dirty.push(key),
                Incoming::Join { room } => self.join(key, room),
                Incoming::Send { room, id, body } => self.publish(key, room, &id, &body),
                Incoming::Close => {
                    let mut connection = self.connections.remove(key);
                    if self.listener.is_some() {
                        // Not an echo, so it wants one.
                        wire::append(wire::CLOSE, None, &[], &mut connection.outbox);
                    }
                    // One that does not wait for the echo is gone all the same.
                    let _ = connection.write();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn room(&mut self, name: &str) -> usize {
        *self.names.entry(name.into()).or_insert_with(|| {
            self.rooms.push(Room::default());
            self.rooms.len() - 1
        })
    }

    fn join(&mut self, key: usize, name: String) {
        let room = self.room(&name);
        self.rooms[room].members.push(key);
        let joined = format!(r#"{{"type":"joined","room":"{name}","head":{},"first":1}}"#, self.rooms[room].head);
        self.queue(key, joined.as_bytes());
    }

    /// Acknowledges a message and queues it for every member of its room.
    fn publish(&mut self, key: usize, name: String, id: &str, body: &str) {
        let index = self.room(&name);
        let room = &mut self.rooms[index];
        room.head += 1;
        let (seq, user, at) = (room.head, &self.connections[key].user, jiff::Timestamp::now());
        let message = format!(
            r#"{{"type":"message","room":"{name}","seq":{seq},"user":"{user}","id":"{id}","body":"{body}","at":"{at:.3}"}}"#
        );
        let ack = format!(r#"{{"type":"ack","room":"{name}","id":"{id}","seq":{seq}}}"#);
        self.queue(key, ack.as_bytes());
        let mut frame = Vec::with_capacity(message.len() + 10);
        wire::append(wire::TEXT, None, message.as_bytes(), &mut frame);
        for &member in &self.rooms[index].members {
            // No client leaves while messages are sent.
            if let Some(connection) = self.connections.get_mut(member) {
                if connection.outbox.is_empty() {
                    self.dirty.push(member);
                }
                connection.outbox.extend_from_slice(&frame);
            }
        }
    }

    fn queue(&mut self, key: usize, text: &[u8]) {
        wire::append(wire::TEXT, None, text, &mut self.connections[key].outbox);
        self.dirty.push(key);
    }

    fn flush(&mut self, key: usize) -> Result<()> {
        let Some(connection) = self.connections.get_mut(key) else { return Ok(()) };
        if connection.write().is_err() {
            self.connections.remove(key);
            return Ok(());
        }
        if connection.wants_watching() {
            let mut flags = EventFlags::IN;
            flags.set(EventFlags::OUT, !connection.outbox.is_empty());
            epoll::modify(&self.epoll, &connection.stream, EventData::new_u64(key as u64), flags)?;
        }
        Ok(())
    }
}
