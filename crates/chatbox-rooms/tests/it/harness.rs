//! Clients without a transport, and a store with faults on demand.

use chatbox_core::{Batch, CloseCode, CloseReason, Closing, Lease, RateLimits, Registry, Source};
use chatbox_protocol::{ErrorCode, ServerMessage};
use chatbox_rooms::{Member, Options, Permission, Rooms};
use chatbox_store::{Append, Appended, BoxFuture, Cutoff, MemoryStore, Page, Span, Store, StoreError};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// A frame of these tests: the text and a newline.
fn line(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    out.push(b'\n');
}

/// Rooms over a store, and a registry of connections.
pub(crate) struct World {
    pub(crate) rooms: Rooms,
    registry: Registry,
    /// The epoch of the store at the beginning.
    pub(crate) epoch: Arc<str>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()), Options::default())
    }

    pub(crate) fn over(store: Arc<dyn Store>, options: Options) -> Self {
        let many = NonZeroU32::new(1_000_000).expect("more than 0");
        Self::limited(store, options, RateLimits::new(many, many))
    }

    pub(crate) fn limited(store: Arc<dyn Store>, options: Options, rates: RateLimits) -> Self {
        let limits = chatbox_core::Limits::default().with_max_per_user(1_000.try_into().expect("not 0"));
        let epoch = store.epoch();
        Self { rooms: Rooms::new(store, "server-1", rates, options, line), epoch, registry: Registry::new(limits, ()) }
    }

    /// Messages accepted, acked and rejected.
    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        let totals = self.rooms.totals();
        (totals.accepted, totals.acked, totals.rejected)
    }

    pub(crate) fn connect(&self, user: &str) -> Client {
        self.connect_with(user, None)
    }

    pub(crate) fn connect_with(&self, user: &str, permission: Option<Permission>) -> Client {
        let lease = self.registry.admit(user).expect("the gate is open");
        let member = Member::new(&self.rooms, lease.connection(), permission);
        Client { member, lease, seen: VecDeque::new(), frames: 64 }
    }
}

/// One connection. It is pulled only when the test asks for something.
pub(crate) struct Client {
    pub(crate) member: Member,
    pub(crate) lease: Lease,
    seen: VecDeque<String>,
    /// How many frames one pull may take.
    pub(crate) frames: usize,
}

impl Client {
    /// Sends once the member takes messages.
    pub(crate) async fn say(&mut self, text: &str) {
        poll_fn(|cx| self.member.poll_ready(self.lease.connection(), cx)).await;
        self.member.on_text(self.lease.connection(), text);
    }

    pub(crate) async fn join(&mut self, room: &str, from: &str) {
        self.say(&format!(r#"{{"type":"join","room":"{room}"{from}}}"#)).await;
    }

    /// Joins and waits until it has.
    pub(crate) async fn enter(&mut self, room: &str) {
        self.join(room, "").await;
        self.until(r#""type":"joined""#).await;
    }

    pub(crate) async fn send(&mut self, room: &str, id: &str, body: &str) {
        self.say(&format!(r#"{{"type":"send","room":"{room}","id":"{id}","body":"{body}"}}"#)).await;
    }

    /// Pulls once, as a session that can write does.
    pub(crate) fn poll_pull(&mut self, cx: &mut Context<'_>) {
        let connection = Arc::clone(self.lease.connection());
        self.lease.register(cx.waker());
        let _ = self.member.poll_ready(&connection, cx);
        self.lease.rearm();
        let mut batch = Batch::new(self.frames, 64 * 1024);
        let mut bytes = Vec::new();
        if let Some(queued) = self.lease.take_outbox() {
            self.lease.written(queued.len());
            bytes.extend(queued);
        }
        self.member.pull(cx, &mut batch);
        batch.drain().for_each(|frame| bytes.extend_from_slice(&frame));
        let text = String::from_utf8(bytes).expect("frames are text");
        self.seen.extend(text.lines().map(str::to_owned));
    }

    /// The next line for the client.
    pub(crate) async fn line(&mut self) -> String {
        // Not polled by the end of the timeout: what comes only then was not notified.
        let deadline = Instant::now() + Duration::from_secs(60);
        let next = poll_fn(|cx| {
            if self.seen.is_empty() && Instant::now() < deadline {
                self.poll_pull(cx);
            }
            self.seen.pop_front().map_or(Poll::Pending, Poll::Ready)
        });
        tokio::time::timeout_at(deadline, next).await.expect("a line within a minute")
    }

    /// The lines up to and including the first that contains `mark`.
    pub(crate) async fn until(&mut self, mark: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            let found = line.contains(mark);
            lines.push(line);
            if found {
                return lines;
            }
        }
    }

    /// The `seq` of the next `count` messages, passing over everything else.
    pub(crate) async fn seqs(&mut self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            let line = self.line().await;
            if let Ok(ServerMessage::Message { seq, .. }) = ServerMessage::parse(&line) {
                seqs.push(seq);
            }
        }
        seqs
    }

    /// The `seq` of the next ack, or the code of the next error.
    pub(crate) async fn answer(&mut self) -> Result<u64, ErrorCode> {
        loop {
            let line = self.line().await;
            match ServerMessage::parse(&line).expect("the server speaks the protocol") {
                ServerMessage::Ack { seq, .. } => return Ok(seq),
                ServerMessage::Error { code, .. } => return Err(code),
                _ => {}
            }
        }
    }

    /// Everything that can be pulled now.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let mut before = usize::MAX;
        while self.seen.len() != before {
            before = self.seen.len();
            self.poll_pull(&mut Context::from_waker(Waker::noop()));
        }
        self.seen.drain(..).collect()
    }

    /// Pulls like a session that is told to close, until the connection is owed nothing and has no more to send. Returns the lines.
    pub(crate) async fn finish(&mut self) -> Vec<String> {
        let mut lines = self.rest();
        while self.lease.connection().owed() > 0 {
            poll_fn(|cx| {
                self.poll_pull(cx);
                if self.seen.is_empty() && self.lease.connection().owed() > 0 { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            lines.append(&mut self.rest());
        }
        lines
    }

    /// Closes the connection like a drain.
    pub(crate) fn close(&mut self) -> Closing {
        self.member.on_closing(self.lease.connection());
        let reason = CloseReason::new(CloseCode::GOING_AWAY, "server shutting down");
        Closing::new(reason).with_reconnect_after(Duration::from_millis(1_500))
    }
}

/// How a store behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Normal,
    /// Every call fails.
    Fail,
    /// Appends are stored, then fail.
    StoreAndFail,
    /// Calls are not answered until the mode changes.
    Hang,
}

/// A memory store with faults on demand.
pub(crate) struct FlakyStore {
    pub(crate) inner: MemoryStore,
    mode: watch::Sender<Mode>,
    pub(crate) appends: AtomicUsize,
    /// So many of the next reads find nothing, whatever is stored.
    pub(crate) blind: AtomicUsize,
    /// Number of reads.
    pub(crate) reads: AtomicUsize,
    /// One read at a time, and each takes a moment.
    reader: Semaphore,
}

impl FlakyStore {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::new(),
            mode: watch::Sender::new(Mode::Normal),
            appends: AtomicUsize::new(0),
            blind: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            reader: Semaphore::new(1),
        })
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    async fn answers(&self) -> Result<Mode, StoreError> {
        let mode = *self.mode.subscribe().wait_for(|mode| *mode != Mode::Hang).await.expect("the store lives");
        if mode == Mode::Fail { Err(unavailable()) } else { Ok(mode) }
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable { store: "flaky", source: Arc::new(io::Error::other("not now")) }
}

impl Store for FlakyStore {
    fn name(&self) -> &'static str {
        "flaky"
    }

    fn epoch(&self) -> Arc<str> {
        self.inner.epoch()
    }

    fn append(&self, batch: Arc<[Append]>) -> BoxFuture<'_, Result<Vec<Appended>, StoreError>> {
        self.appends.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let mode = self.answers().await?;
            let appended = self.inner.append(batch).await?;
            if mode == Mode::StoreAndFail { Err(unavailable()) } else { Ok(appended) }
        })
    }

    fn span(&self, room: &str) -> BoxFuture<'_, Result<Span, StoreError>> {
        let room = room.to_owned();
        Box::pin(async move {
            self.answers().await?;
            self.inner.span(&room).await
        })
    }

    fn read(&self, room: &str, after: u64, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        let room = room.to_owned();
        Box::pin(async move {
            self.answers().await?;
            self.reads.fetch_add(1, Ordering::Relaxed);
            let _turn = self.reader.acquire().await.expect("it is never closed");
            tokio::time::sleep(Duration::from_millis(1)).await;
            let blind = self.blind.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if blind.is_ok() { Ok(Page::new(after, Vec::new())) } else { self.inner.read(&room, after, limit).await }
        })
    }

    fn expire(&self, cutoff: Cutoff) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.inner.expire(cutoff)
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.ping()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.close()
    }
}
