//! A neutral client: any number of connections on one thread, cheap enough that the server is what is measured.

mod client;

use crate::suite::processors::Apart;
use anyhow::{Context, Result, ensure};
use client::Client;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Connections that are being opened at the same time.
const OPENING: usize = 128;

/// How long a server may take for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Many clients of one server.
pub(crate) struct Fleet {
    epoll: OwnedFd,
    events: Vec<Event>,
    buffer: Box<[u8]>,
    clients: Vec<Client>,
    /// The clients that send.
    speakers: Vec<usize>,
    /// Looks again and again instead of sleeping until something happens.
    restless: bool,
}

/// Something that happened to a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FleetEvent {
    pub(crate) client: usize,
    /// When it was read.
    pub(crate) at: Instant,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum What {
    /// It is welcome, and has joined its room if it has one.
    Ready,
    /// It received message `number` of the benchmark, as the room's `seq`-th.
    Message { seq: u64, number: u64 },
    /// Its message `number` was acknowledged.
    Ack { number: u64 },
    /// The server has sent a Close; it is answered.
    Close { code: u16 },
    /// The connection has ended, properly or by a reset.
    Gone { reset: bool },
}

/// A client: its user, and the room that it joins.
pub(crate) struct Member {
    pub(crate) user: String,
    pub(crate) room: Option<String>,
}

impl Member {
    pub(crate) fn of(user: impl ToString, room: impl Into<String>) -> Self {
        Self { user: format!("user-{}", user.to_string()), room: Some(room.into()) }
    }

    /// A client that only sends.
    pub(crate) fn alone(user: impl ToString) -> Self {
        Self { user: format!("sender-{}", user.to_string()), room: None }
    }
}

impl Fleet {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(1024),
            buffer: vec![0; 256 * 1024].into(),
            clients: Vec::new(),
            speakers: Vec::new(),
            restless: false,
        })
    }

    /// Clients that do not sleep while they wait, if they have a processor of their own. Over loopback the writer pays for
    /// waking a sleeping reader: the server would be charged for how often its clients had nothing left to do.
    pub(crate) fn beside(apart: Option<&Apart>) -> Result<Self> {
        Ok(Self { restless: apart.is_some_and(Apart::have_their_own), ..Self::new()? })
    }

    /// Connects these to a server and waits until all are ready. Their numbers follow on those of the clients that are connected already.
    pub(crate) fn join(
        &mut self,
        server: SocketAddr,
        path: &str,
        members: impl IntoIterator<Item = Member>,
    ) -> Result<()> {
        let (mut members, mut news) = (members.into_iter().fuse(), Vec::new());
        let mut opening = 0;
        let deadline = Instant::now() + PATIENCE;
        loop {
            while opening < OPENING
                && let Some(member) = members.next()
            {
                let client = Client::connect(server, path, &member).context("cannot connect")?;
                let data = EventData::new_u64(self.clients.len() as u64);
                epoll::add(&self.epoll, client.stream()?, data, EventFlags::IN)?;
                self.clients.push(client);
                opening += 1;
            }
            if opening == 0 {
                return Ok(());
            }
            self.turn(Duration::from_secs(1), &mut news)?;
            for FleetEvent { client, what, .. } in news.drain(..) {
                match what {
                    What::Ready => opening -= 1,
                    What::Message { .. } | What::Ack { .. } => {}
                    What::Close { .. } | What::Gone { .. } => {
                        anyhow::bail!("client {client} was not let in: {what:?}")
                    }
                }
            }
            ensure!(Instant::now() < deadline, "{opening} clients are not ready after {PATIENCE:?}");
        }
    }

    /// Sends what clients have to say, waits at most so long for something to happen, and reports what did.
    pub(crate) fn turn(&mut self, at_most: Duration, news: &mut Vec<FleetEvent>) -> Result<()> {
        for speaker in self.speakers.drain(..) {
            self.clients[speaker].flush();
            self.clients[speaker].watch(&self.epoll, speaker)?;
        }
        let until = Instant::now() + at_most;
        let sleep = if self.restless { Duration::ZERO } else { at_most };
        let timeout = Timespec { tv_sec: sleep.as_secs().cast_signed(), tv_nsec: sleep.subsec_nanos().into() };
        loop {
            match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
                Ok(0) if self.restless && Instant::now() < until => {}
                Ok(_) | Err(rustix::io::Errno::INTR) => break,
                Err(error) => return Err(error.into()),
            }
        }
        for event in self.events.drain(..) {
            let (index, flags) = (usize::try_from(event.data.u64())?, event.flags);
            let client = &mut self.clients[index];
            let at = Instant::now();
            let mut report = |what| news.push(FleetEvent { client: index, at, what });
            client.flush();
            if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                client.read(&mut self.buffer, &mut report)?;
            }
            client.watch(&self.epoll, index)?;
        }
        Ok(())
    }

    /// Has a client send the benchmark's message `number` at the next turn, in one write with what else it sends then.
    pub(crate) fn send(&mut self, client: usize, room: &str, number: u64, body: &str) {
        self.clients[client].say(&format!(r#"{{"type":"send","room":"{room}","id":"{number}","body":"{body}"}}"#));
        if self.speakers.last() != Some(&client) {
            self.speakers.push(client);
        }
    }

    /// Stops reading for a client, whatever arrives.
    pub(crate) fn pause(&mut self, client: usize) -> Result<()> {
        self.clients[client].pause(true);
        self.clients[client].watch(&self.epoll, client)
    }

    /// Reads again.
    pub(crate) fn resume(&mut self, client: usize) -> Result<()> {
        self.clients[client].pause(false);
        self.clients[client].watch(&self.epoll, client)
    }

    /// Reads at most so much for a client that is paused.
    pub(crate) fn sip(&mut self, client: usize, bytes: usize, news: &mut Vec<FleetEvent>) -> Result<()> {
        let bytes = bytes.min(self.buffer.len());
        let at = Instant::now();
        self.clients[client].read(&mut self.buffer[..bytes], &mut |what| news.push(FleetEvent { client, at, what }))
    }

    /// How many clients there are.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Turns for so long, with nothing expected but pings and what was on its way.
    pub(crate) fn rest(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        let mut news = Vec::new();
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.turn(left, &mut news)?;
            let gone = news.drain(..).find(|news| matches!(news.what, What::Gone { .. } | What::Close { .. }));
            ensure!(gone.is_none(), "a client was thrown out: {gone:?}");
        }
        Ok(())
    }
}

/// Whether an error of a socket only says: not now.
fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
