//! One open connection, as shared by its session, the registry and the application.

#[cfg(test)]
mod tests;

use crate::close::{CloseCode, CloseReason};
use crate::command::{Closing, Command};
use crate::full::Full;
use crate::outbox::Outbox;
use crate::outbox_limits::OutboxLimits;
use crate::probe::Probe;
use crate::reply::Reply;
use crate::wake::Wake;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The identifier of a connection, unique within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub(crate) u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A connection from its admission to its end.
///
/// Queues frames for the peer and passes commands to the session, which holds the [`Lease`](crate::Lease).
///
/// Field order matters: fan-out touches one cache line, which holds the first fields and the two counts of the `Arc`.
#[derive(Debug)]
#[repr(C)]
pub struct Connection {
    pub(crate) wake: Wake,
    /// One of `SERVE`, `CLOSE`, `CUT`, `ENDED`: tells without the lock whether there is a command.
    level: AtomicU8,
    ticked: AtomicBool,
    /// Whether there is an outbox; read without the lock.
    has_outbox: AtomicBool,
    /// Frames were discarded: none may follow, so that the peer sees no gap before its Close.
    overflowed: AtomicBool,
    owed: AtomicU32,
    mail: Mutex<Mail>,
    limits: Arc<OutboxLimits>,
    id: ConnectionId,
    user: Arc<str>,
    /// The index in the registry.
    pub(crate) slot: u32,
    /// The next connection of the same user, in the registry's list.
    pub(crate) next_of_user: AtomicU32,
    pub(crate) probe: Probe,
}

#[derive(Debug, Default)]
struct Mail {
    /// `None` while nothing is queued, reserved or being written: most connections are silent most of the time.
    outbox: Option<Box<Outbox>>,
    closing: Option<Box<Closing>>,
}

const SERVE: u8 = 0;
const CLOSE: u8 = 1;
const CUT: u8 = 2;
/// Set under the lock of the mail: nothing is queued afterwards.
const ENDED: u8 = 3;

impl Connection {
    pub(crate) fn new(id: u64, user: Arc<str>, limits: Arc<OutboxLimits>, slot: u32) -> Self {
        Self {
            wake: Wake::new(),
            level: AtomicU8::new(SERVE),
            ticked: AtomicBool::new(false),
            has_outbox: AtomicBool::new(false),
            overflowed: AtomicBool::new(false),
            owed: AtomicU32::new(0),
            mail: Mutex::default(),
            limits,
            id: ConnectionId(id),
            user,
            slot,
            next_of_user: AtomicU32::new(u32::MAX),
            probe: Probe::new(),
        }
    }

    /// The connection's identifier.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// The user that the connection was admitted for.
    #[must_use]
    pub fn user(&self) -> &Arc<str> {
        &self.user
    }

    /// Queues complete encoded frames for this connection alone; `encode` appends them to the buffer it is given.
    /// They are discarded if the session has ended, or has queued its Close already.
    ///
    /// Never waits, and never fails: an answer to what the peer sent is bounded by not reading from the peer while its outbox
    /// [is full](Self::is_full). Frames that come from elsewhere are bounded by the overflow: when the outbox already holds four times
    /// [its limit](crate::Limits::with_outbox_bytes), and at least 256 KiB, these frames and all later ones are discarded, and the connection
    /// is closed with 1013 `too slow`. An outbox thus holds at most that and one call's frames. Use [`try_push`](Self::try_push) where
    /// the sender can wait or skip, and a [`Topic`](crate::Topic) for frames that many connections share.
    pub fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.enqueue(encode);
        self.notify();
    }

    /// Queues frames like [`push`](Self::push), unless the outbox [is full](Self::is_full). Frames for a session that has ended are
    /// discarded without an error.
    ///
    /// # Errors
    /// [`Full`]; `encode` was not called.
    pub fn try_push(&self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Full> {
        self.with_outbox(|outbox| {
            if outbox.is_full(self.limits.of_one()) {
                return Err(Full);
            }
            if self.accepts_frames() {
                self.limits.take(outbox.push(encode));
            }
            Ok(())
        })?;
        self.notify();
        Ok(())
    }

    /// Records that the peer is owed a reply. Until the [`Reply`] is sent or dropped, a drain waits for it, and `reserve` bytes of
    /// the outbox are kept for it.
    pub fn owe(self: &Arc<Self>, reserve: usize) -> Reply {
        self.owed.fetch_add(1, Ordering::Relaxed);
        self.with_outbox(|outbox| outbox.reserve(reserve));
        Reply::new(Arc::clone(self), reserve)
    }

    /// The number of replies owed.
    #[must_use]
    pub fn owed(&self) -> u32 {
        self.owed.load(Ordering::Acquire)
    }

    /// Whether the outbox has reached its limit, reserved bytes included. While all outboxes together have reached theirs, an outbox is
    /// full as soon as it is not empty.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.has_outbox() && self.mail().outbox.as_ref().is_some_and(|outbox| outbox.is_full(self.limits.of_one()))
    }

    /// Wakes the session because its source has something. Call after that can be pulled.
    pub fn notify(&self) {
        Wake::publish();
        self.wake.notify_published();
    }

    /// Commands the session to close the connection. The first reason stands; later calls change nothing.
    pub fn close(&self, closing: impl Into<Closing>) {
        let mut mail = self.mail();
        if mail.closing.is_none() {
            mail.closing = Some(Box::new(closing.into()));
            self.level.fetch_max(CLOSE, Ordering::Release);
        }
        drop(mail);
        self.wake.force();
    }

    /// Commands the session to end at once.
    pub fn cut(&self) {
        self.level.fetch_max(CUT, Ordering::Release);
        self.wake.force();
    }

    /// Wakes the session to check its deadlines.
    pub fn tick(&self) {
        self.ticked.store(true, Ordering::Release);
        self.wake.force();
    }

    /// Discards the queue, and everything that is pushed from now on: the session has ended.
    pub(crate) fn retire(&self) {
        let mut mail = self.mail();
        self.level.store(ENDED, Ordering::Release);
        self.has_outbox.store(false, Ordering::Relaxed);
        let held = mail.outbox.take().map_or(0, |outbox| outbox.held());
        drop(mail);
        self.limits.give_back(held);
    }

    pub(crate) fn enqueue(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        let overflows = self.with_outbox(|outbox| {
            if !self.accepts_frames() {
                return false;
            }
            let overflows = outbox.held() >= self.limits.overflow();
            if overflows {
                self.overflowed.store(true, Ordering::Relaxed);
            } else {
                self.limits.take(outbox.push(encode));
            }
            overflows
        });
        if overflows {
            self.close(CloseReason::new(CloseCode::TRY_AGAIN, "too slow"));
        }
    }

    /// Whether frames are queued, not discarded. Call under the lock of the mail, so that `retire` gives back what is taken.
    fn accepts_frames(&self) -> bool {
        self.level.load(Ordering::Relaxed) != ENDED && !self.overflowed.load(Ordering::Relaxed)
    }

    /// Settles a reply that was owed, and wakes the session.
    pub(crate) fn settle(&self, reserved: usize) {
        self.with_outbox(|outbox| outbox.release(reserved));
        self.owed.fetch_sub(1, Ordering::Release);
        self.notify();
    }

    pub(crate) fn command(&self) -> Command {
        match self.level.load(Ordering::Acquire) {
            SERVE => Command::Serve,
            CLOSE => self.mail().closing.as_deref().cloned().map_or(Command::Serve, Command::Close),
            _ => Command::Cut,
        }
    }

    pub(crate) fn is_commanded(&self) -> bool {
        self.level.load(Ordering::Acquire) != SERVE
    }

    pub(crate) fn take_tick(&self) -> bool {
        self.ticked.load(Ordering::Relaxed) && self.ticked.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn take_outbox(&self) -> Option<Vec<u8>> {
        if !self.has_outbox() {
            return None;
        }
        // The outbox stays until its bytes are written.
        self.mail().outbox.as_mut().filter(|outbox| !outbox.is_empty()).map(|outbox| outbox.take())
    }

    pub(crate) fn written(&self, bytes: usize) {
        let released = self.with_outbox(|outbox| outbox.written(bytes));
        self.limits.give_back(released);
    }

    /// Changes the outbox, which exists only while it is not idle.
    fn with_outbox<R>(&self, change: impl FnOnce(&mut Outbox) -> R) -> R {
        let mut mail = self.mail();
        let outbox = mail.outbox.get_or_insert_with(|| {
            self.has_outbox.store(true, Ordering::Relaxed);
            Box::default()
        });
        let result = change(outbox);
        if outbox.is_idle() {
            mail.outbox = None;
            self.has_outbox.store(false, Ordering::Relaxed);
        }
        result
    }

    /// Whether there is an outbox, without the lock: most sessions that are woken have frames in their source only. A session that reads
    /// this while an outbox comes into being is notified of it; what it pushes itself it sees.
    fn has_outbox(&self) -> bool {
        self.has_outbox.load(Ordering::Relaxed)
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        // Only `encode` of `push` can panic under this lock; what it had appended is removed, nothing else is touched.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let held = self.mail().outbox.as_ref().map_or(0, |outbox| outbox.held());
        self.limits.give_back(held);
    }
}

/// Notifies many connections of something that all of them can now pull, at the price of one fence.
pub fn notify_all<'a>(connections: impl IntoIterator<Item = &'a Arc<Connection>>) {
    Wake::publish();
    for connection in connections {
        connection.wake.notify_published();
    }
}
