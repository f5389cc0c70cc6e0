//! One open connection, as everybody but its session sees it.

#[cfg(test)]
mod tests;

use crate::close::CloseReason;
use crate::outbox::Outbox;
use crate::outbox_limits::OutboxLimits;
use crate::wake::Wake;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// The name of a connection, unique within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub(crate) u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a session has been told to do. Commands only ever get stronger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Go on.
    Serve,
    /// Read no new message, finish what was accepted, write what is queued, then close with this reason.
    Close(Closing),
    /// End at once, without ceremony.
    Cut,
}

/// An order to close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The code and text of the Close frame.
    pub reason: CloseReason,
    /// In a drain: when this client should come back, its own slot. `None` when the close concerns this connection alone.
    pub reconnect_after: Option<Duration>,
}

/// A connection from its admission to its end: shared by its session, the registry, and whoever has something for it.
///
/// In the order in which it stands here: what is touched to bring a member of a room its news comes first, so that it lies together in
/// one line of the processor's cache, behind the two counts of the `Arc`.
#[derive(Debug)]
#[repr(C)]
pub struct Connection {
    wake: Wake,
    /// One of `SERVE`, `CLOSE`, `CUT`, `ENDED`: what `closing` says, readable without the lock.
    level: AtomicU8,
    ticked: AtomicBool,
    /// Whether there is an outbox, readable without the lock.
    mailed: AtomicBool,
    pending: AtomicU32,
    mail: Mutex<Mail>,
    limits: Arc<OutboxLimits>,
    id: ConnectionId,
    user: Arc<str>,
    pub(crate) slot: usize,
}

#[derive(Debug, Default)]
struct Mail {
    /// None while nothing is queued, owed or being written: most connections are silent most of the time.
    outbox: Option<Box<Outbox>>,
    closing: Option<Box<Closing>>,
}

const SERVE: u8 = 0;
const CLOSE: u8 = 1;
const CUT: u8 = 2;
/// Set under the lock of the mail, so that nothing is queued behind it.
const ENDED: u8 = 3;

impl Connection {
    pub(crate) fn new(id: u64, user: Arc<str>, limits: Arc<OutboxLimits>, slot: usize) -> Self {
        Self {
            wake: Wake::new(),
            level: AtomicU8::new(SERVE),
            ticked: AtomicBool::new(false),
            mailed: AtomicBool::new(false),
            pending: AtomicU32::new(0),
            mail: Mutex::default(),
            limits,
            id: ConnectionId(id),
            user,
            slot,
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Whose it is.
    #[must_use]
    pub fn user(&self) -> &Arc<str> {
        &self.user
    }

    /// Queues complete encoded frames for this connection alone; `encode` appends them to the buffer it is given.
    /// They are dropped if the session has ended, or has put its Close behind what was queued before.
    ///
    /// Never waits. The outbox is bounded by not reading from the peer while it is full (see [`is_full`](Self::is_full)).
    pub fn push(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.enqueue(encode);
        self.notify();
    }

    /// Owes the peer an answer: until the [`Reply`] is sent or dropped, a drain waits for it, and `reserve` bytes of the
    /// outbox are kept for it.
    pub fn owe(self: &Arc<Self>, reserve: usize) -> Reply {
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.with_outbox(|outbox| outbox.reserve(reserve));
        Reply { connection: Arc::clone(self), reserved: reserve }
    }

    /// How many answers are owed.
    #[must_use]
    pub fn owed(&self) -> u32 {
        self.pending.load(Ordering::Acquire)
    }

    /// Whether the outbox holds, or is promised, as much as it may: anything at all, while all outboxes together hold as much as they
    /// may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.has_outbox() && self.mail().outbox.as_ref().is_some_and(|outbox| outbox.is_full(self.limits.of_one()))
    }

    /// Tells the session that its source has something. Call after it can be pulled.
    pub fn notify(&self) {
        Wake::publish();
        self.wake.notify_published();
    }

    /// Orders the session to close. The first reason stands; later ones change nothing.
    pub fn close(&self, closing: Closing) {
        let mut mail = self.mail();
        if mail.closing.is_none() {
            mail.closing = Some(Box::new(closing));
            self.level.fetch_max(CLOSE, Ordering::Release);
        }
        drop(mail);
        self.wake.force();
    }

    /// Orders the session to end at once.
    pub fn cut(&self) {
        self.level.fetch_max(CUT, Ordering::Release);
        self.wake.force();
    }

    /// Wakes the session because time has passed: it looks at its deadlines.
    pub fn tick(&self) {
        self.ticked.store(true, Ordering::Release);
        self.wake.force();
    }

    /// The session has ended: what is queued will not be written, and neither will what comes.
    pub(crate) fn retire(&self) {
        let mut mail = self.mail();
        self.level.store(ENDED, Ordering::Release);
        self.mailed.store(false, Ordering::Relaxed);
        let held = mail.outbox.take().map_or(0, |outbox| outbox.held());
        drop(mail);
        self.limits.give_back(held);
    }

    fn enqueue(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.with_outbox(|outbox| {
            // Under the lock, and so before `retire` can give it back.
            if self.level.load(Ordering::Relaxed) != ENDED {
                self.limits.take(outbox.push(encode));
            }
        });
    }

    /// Changes the outbox, which is there only while it has something to remember.
    fn with_outbox<R>(&self, change: impl FnOnce(&mut Outbox) -> R) -> R {
        let mut mail = self.mail();
        let outbox = mail.outbox.get_or_insert_with(|| {
            self.mailed.store(true, Ordering::Relaxed);
            Box::default()
        });
        let result = change(outbox);
        if outbox.is_idle() {
            mail.outbox = None;
            self.mailed.store(false, Ordering::Relaxed);
        }
        result
    }

    /// Most connections that have news have it from their rooms: they need not be locked to know that there is no outbox. A session that
    /// asks while one comes into being is notified of it, as of all news; what it owes itself it sees.
    fn has_outbox(&self) -> bool {
        self.mailed.load(Ordering::Relaxed)
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        // Only `encode` of `push` can panic under this lock; what it had appended is taken back, nothing else is touched.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For whoever drives a session.
impl Connection {
    /// What the session has been told to do; cheap when nothing was said.
    #[must_use]
    pub fn command(&self) -> Command {
        match self.level.load(Ordering::Acquire) {
            SERVE => Command::Serve,
            CLOSE => self.mail().closing.as_deref().cloned().map_or(Command::Serve, Command::Close),
            _ => Command::Cut,
        }
    }

    /// Whether [`command`](Self::command) is anything but [`Command::Serve`].
    #[must_use]
    pub fn is_commanded(&self) -> bool {
        self.level.load(Ordering::Acquire) != SERVE
    }

    /// Whether [`tick`](Self::tick) was called since this was last asked.
    pub fn take_tick(&self) -> bool {
        self.ticked.load(Ordering::Relaxed) && self.ticked.swap(false, Ordering::AcqRel)
    }

    /// Says which task is to be woken. Call at the beginning of every poll.
    pub fn register(&self, waker: &Waker) {
        self.wake.register(waker);
    }

    /// Says that the session is about to look for news, and wants to be woken for what comes after. A session that could
    /// not write everything does not call this: it need not be woken for more.
    pub fn rest(&self) {
        self.wake.lower();
    }

    /// Takes everything that is queued for this connection alone, oldest first. Report it with
    /// [`written`](Self::written) once the transport has it.
    #[must_use]
    pub fn take_outbox(&self) -> Option<Vec<u8>> {
        if !self.has_outbox() {
            return None;
        }
        // Taken is not written: the outbox stays.
        self.mail().outbox.as_mut().filter(|outbox| !outbox.is_empty()).map(|outbox| outbox.take())
    }

    /// Says that bytes taken from the outbox have been written, which makes room in it.
    pub fn written(&self, bytes: usize) {
        let shrunk = self.with_outbox(|outbox| outbox.written(bytes));
        self.limits.give_back(shrunk);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let held = self.mail().outbox.as_ref().map_or(0, |outbox| outbox.held());
        self.limits.give_back(held);
    }
}

/// Notifies many connections of one thing that all of them can now pull, for the price of one fence.
pub fn notify_all<'a>(connections: impl IntoIterator<Item = &'a Arc<Connection>>) {
    Wake::publish();
    for connection in connections {
        connection.wake.notify_published();
    }
}

/// An answer that is owed to a peer.
///
/// A connection that is being drained is not closed before everything owed to it has been answered. Dropping a `Reply`
/// settles it without an answer.
#[must_use = "dropping a reply settles it without an answer"]
#[derive(Debug)]
pub struct Reply {
    connection: Arc<Connection>,
    reserved: usize,
}

impl Reply {
    /// Answers: `encode` appends complete frames to the connection's outbox.
    pub fn send(self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.connection.enqueue(encode);
        // Dropping settles it and wakes the session, behind the answer.
    }

    /// To whom it is owed.
    #[must_use]
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.connection.with_outbox(|outbox| outbox.release(self.reserved));
        self.connection.pending.fetch_sub(1, Ordering::Release);
        self.connection.notify();
    }
}
