//! Everything that the tasks of a fleet record while it runs.

use crate::ledger::{Room, Stream, Violation};
use crate::plan::Plan;
use crate::samples::Samples;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Shared by all tasks of a fleet.
pub(crate) struct Observations {
    pub(crate) plan: Plan,
    pub(crate) started: Instant,
    /// No more messages are to be sent.
    pub(crate) is_stopping: AtomicBool,
    pub(crate) sent: AtomicU64,
    /// Messages that the client's own bound kept from being sent.
    pub(crate) not_sent: AtomicU64,
    pub(crate) delivered: AtomicU64,
    pub(crate) longest_stall_ms: AtomicU64,
    notes: Mutex<Notes>,
    rooms: Vec<Mutex<Room>>,
    streams: Vec<Mutex<Stream>>,
}

/// Recorded once a message, or less often.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) violations: Vec<Violation>,
    /// How often connections and attempts ended, by close code or kind of error.
    pub(crate) ends: BTreeMap<String, u64>,
    pub(crate) ack: Samples,
    pub(crate) delivery: Samples,
    pub(crate) without_connection: Samples,
    pub(crate) rejected: u64,
}

impl Observations {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            started: Instant::now(),
            is_stopping: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            not_sent: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
            longest_stall_ms: AtomicU64::new(0),
            notes: Mutex::default(),
            rooms: (0..plan.rooms.get()).map(|_| Mutex::default()).collect(),
            streams: (0..plan.clients.get()).map(|_| Mutex::default()).collect(),
            plan,
        }
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn violate(&self, kind: &'static str, detail: impl Into<String>) {
        self.notes().violations.push(Violation::new(kind, detail));
    }

    pub(crate) fn stream(&self, client: usize) -> MutexGuard<'_, Stream> {
        self.streams[client].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn room(&self, room: usize) -> MutexGuard<'_, Room> {
        self.rooms[room].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
