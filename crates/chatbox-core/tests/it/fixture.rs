//! Sessions without sockets, and an observer that keeps what it was told.

use chatbox_core::{
    CloseCode, CloseReason, CloseSummary, ClosedBy, Closing, Command, Connection, Drain, Lease, Limits, Observer,
    Outcome, Refused, Registry, Tally,
};
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// What an [`Observer`] can be told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Opened,
    Refused(Refused),
    Drain(usize),
    Closing { at: Duration, reconnect_after: Option<Duration> },
    CloseSummary(CloseSummary),
}

/// Keeps everything it is told, with the time since it was made.
#[derive(Clone)]
pub(crate) struct Diary {
    start: Instant,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Diary {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), seen: Arc::default() }
    }

    pub(crate) fn read(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn write(&self, seen: Seen) {
        self.seen.lock().unwrap().push(seen);
    }
}

impl Observer for Diary {
    fn on_opened(&self, _: &Connection) {
        self.write(Seen::Opened);
    }

    fn on_refused(&self, refusal: Refused) {
        self.write(Seen::Refused(refusal));
    }

    fn on_drain(&self, connections: usize) {
        self.write(Seen::Drain(connections));
    }

    fn on_closing(&self, _: &Connection, closing: &Closing) {
        self.write(Seen::Closing { at: self.start.elapsed(), reconnect_after: closing.reconnect_after });
    }

    fn on_ended(&self, _: &Connection, ended: &CloseSummary, _: Duration) {
        self.write(Seen::CloseSummary(*ended));
    }
}

/// What the peer of a session does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// Answers a Close after this long.
    Answers(Duration),
    /// Never answers; the session ends when it is cut.
    Silent,
    /// Goes away by itself after this long.
    Leaves(Duration),
    /// Never answers, and its session does not even notice that it is cut.
    Stuck,
}

/// Serves a leased connection to its end, as a transport would.
pub(crate) fn serve(mut lease: Lease, peer: Peer) -> JoinHandle<()> {
    lease.begin();
    tokio::spawn(async move {
        let patience = if let Peer::Leaves(after) = peer { after } else { Duration::MAX };
        let told = commanded(&lease, |command| *command != Command::Serve);
        let ended = match (timeout(patience, told).await, peer) {
            (Err(_), _) => CloseSummary::peer_gone("eof"),
            (Ok(Command::Close(closing)), Peer::Answers(after)) => {
                sleep(after).await;
                CloseSummary::closed(closing.reason.code, ClosedBy::Server)
            }
            (Ok(_), Peer::Stuck) => std::future::pending().await,
            (Ok(_), Peer::Leaves(_)) => {
                let gone = timeout(patience, commanded(&lease, |command| *command == Command::Cut)).await.is_err();
                if gone { CloseSummary::peer_gone("eof") } else { CloseSummary::aborted("cut") }
            }
            (Ok(_), _) => {
                commanded(&lease, |command| *command == Command::Cut).await;
                CloseSummary::aborted("cut")
            }
        };
        lease.end(ended);
    })
}

async fn commanded(lease: &Lease, until: impl Fn(&Command) -> bool) -> Command {
    poll_fn(|cx| {
        lease.connection().register(cx.waker());
        let command = lease.connection().command();
        if until(&command) { Poll::Ready(command) } else { Poll::Pending }
    })
    .await
}

pub(crate) fn registry(max_connections: usize, max_per_user: u32) -> (Registry, Diary) {
    let diary = Diary::new();
    let limits = Limits { max_connections, max_per_user, ..Limits::default() };
    (Registry::new(limits, diary.clone()), diary)
}

/// All at once, with the default times.
pub(crate) fn plan() -> Drain {
    Drain {
        reason: CloseReason::new(CloseCode::GOING_AWAY, "server shutting down"),
        rate: 0,
        budget: Duration::from_secs(15),
        close_handshake: Duration::from_secs(3),
    }
}

pub(crate) fn ended(outcome: Outcome) -> CloseSummary {
    CloseSummary { outcome, code: CloseCode::NORMAL, by: ClosedBy::Client, error: None }
}

/// The promise of [`Tally`].
pub(crate) fn adds_up(tally: &Tally) -> bool {
    tally.at_signal == tally.closed + tally.peer_gone + tally.timed_out + tally.aborted
}
