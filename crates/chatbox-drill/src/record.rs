//! What an act recorded: times and events of every client, of newcomers, of probes and of the process.

use std::time::Duration;

/// Everything that was seen in one act. All times count from its start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Act {
    pub(crate) name: &'static str,
    /// When the signal was sent.
    pub(crate) signal: Duration,
    pub(crate) second_signal: Option<Duration>,
    /// `None`: the process did not end within the grace period, and was killed.
    pub(crate) exit: Option<Exit>,
    pub(crate) grace: Duration,
    pub(crate) clients: Vec<Client>,
    pub(crate) newcomers: Vec<Newcomer>,
    pub(crate) readiness: Vec<Probe>,
    pub(crate) liveness: Vec<Probe>,
}

/// How the process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) at: Duration,
    pub(crate) status: Status,
}

/// Its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Code(i32),
    Signal(i32),
    /// It is not a child of the drill.
    Unknown,
}

/// What a client is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Reads everything, answers Close at once.
    Polite,
    /// Polite, and sends all the time until it has read the Close.
    Sender,
    /// Polite, and sends until shortly after the signal, also at that very moment, and then no more.
    Publisher,
    /// Reads nothing until shortly after the signal, then everything, but slowly.
    Slow,
    /// Answers Close after [`LATE`](crate::client::LATE).
    Late,
    /// Never reads.
    Stalled,
    /// Reads, and never answers Close.
    Deaf,
    /// Has sent half a frame.
    MidMessage,
}

impl Role {
    /// Whether a server owes it a complete close handshake.
    pub(crate) fn is_polite(self) -> bool {
        matches!(self, Self::Polite | Self::Sender | Self::Publisher | Self::Slow | Self::Late)
    }
}

/// One client, and what happened to it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) room: Option<String>,
    pub(crate) events: Vec<(Duration, Event)>,
}

/// What happened to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It sent the message `key`.
    Sent(String),
    /// It received the message `key` (L1: the answer to it), at that position.
    Received {
        key: String,
        last: Option<String>,
    },
    Acked(String),
    Refused(String),
    /// It received its time to reconnect.
    Slot,
    Close {
        code: u16,
        reason: String,
    },
    /// It sent its Close.
    Answered,
    /// A frame came after the Close.
    AfterClose(String),
    /// Bytes came that are no frame, or a fragment that has no beginning.
    Malformed(String),
    /// The server closed its side; `partial`: in the midst of a frame.
    Eof {
        partial: bool,
    },
    Reset,
    Failed(String),
}

impl Client {
    /// When, and with what, the server's Close came.
    pub(crate) fn close(&self) -> Option<(Duration, u16, &str)> {
        self.events.iter().find_map(|(at, event)| match event {
            Event::Close { code, reason } => Some((*at, *code, reason.as_str())),
            _ => None,
        })
    }

    /// When something like `wanted` happened first.
    pub(crate) fn first(&self, wanted: impl Fn(&Event) -> bool) -> Option<Duration> {
        self.events.iter().find(|(_, event)| wanted(event)).map(|(at, _)| *at)
    }

    /// The keys of the messages that it received, in order.
    pub(crate) fn received(&self) -> impl Iterator<Item = &str> {
        self.events.iter().filter_map(|(_, event)| match event {
            Event::Received { key, .. } => Some(key.as_str()),
            _ => None,
        })
    }

    /// The position of the last message that it received.
    pub(crate) fn last(&self) -> Option<&str> {
        self.events.iter().rev().find_map(|(_, event)| match event {
            Event::Received { last, .. } => last.as_deref(),
            _ => None,
        })
    }

    /// The keys that it sent up to that moment.
    pub(crate) fn sent_by(&self, moment: Duration) -> impl Iterator<Item = &str> {
        self.events.iter().take_while(move |(at, _)| *at <= moment).filter_map(|(_, event)| match event {
            Event::Sent(key) => Some(key.as_str()),
            _ => None,
        })
    }

    /// The keys that were acknowledged.
    pub(crate) fn acked(&self) -> impl Iterator<Item = &str> {
        self.events.iter().filter_map(|(_, event)| match event {
            Event::Acked(key) => Some(key.as_str()),
            _ => None,
        })
    }

    /// Whether the message `key` was answered, in whatever way.
    pub(crate) fn is_answered(&self, key: &str) -> bool {
        self.events.iter().any(|(_, event)| match event {
            Event::Acked(answered) | Event::Refused(answered) | Event::Received { key: answered, .. } => {
                answered == key
            }
            _ => false,
        })
    }
}

/// An attempt to connect.
#[derive(Clone, Debug)]
pub(crate) struct Newcomer {
    /// When it began to connect.
    pub(crate) at: Duration,
    pub(crate) outcome: Admission,
}

/// How an attempt to connect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// 101. `closed`: the connection ended before the act did.
    Admitted {
        closed: bool,
    },
    Answered {
        status: u16,
        retry_after: bool,
    },
    /// Nothing listens.
    Refused,
    Reset,
    ClosedWithoutAnswer,
    Hung,
}

/// One look at a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    pub(crate) at: Duration,
    /// Whether it was answered 200.
    pub(crate) ok: bool,
}
