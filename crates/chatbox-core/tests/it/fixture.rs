//! Sessions without sockets, and an observer that records its callbacks.

use chatbox_core::{
    CloseCode, CloseError, CloseReason, CloseSummary, ClosedBy, Closing, Command, Connection, Drain, Lease, Limits,
    Observer, Outcome, Refused, Registry, Tally,
};
use std::future::poll_fn;
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// One callback of an [`Observer`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Opened,
    Refused(Refused),
    Drain(usize),
    Closing {
        at: Duration,
        reconnect_after: Option<Duration>,
    },
    /// The identifier of the connection.
    Displaced(u64),
    Ended(CloseSummary),
}

/// An observer that records its callbacks, with the time since it was made.
#[derive(Clone)]
pub(crate) struct Recorder {
    start: Instant,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
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

impl Observer for Recorder {
    fn on_opened(&self, _: &Connection) {
        self.write(Seen::Opened);
    }

    fn on_refused(&self, refused: Refused) {
        self.write(Seen::Refused(refused));
    }

    fn on_drain(&self, connections: usize) {
        self.write(Seen::Drain(connections));
    }

    fn on_closing(&self, _: &Connection, closing: &Closing) {
        self.write(Seen::Closing { at: self.start.elapsed(), reconnect_after: closing.reconnect_after });
    }

    fn on_displaced(&self, connection: &Connection) {
        self.write(Seen::Displaced(connection.id().to_string().parse().unwrap()));
    }

    fn on_ended(&self, _: &Connection, summary: &CloseSummary, _: Duration) {
        self.write(Seen::Ended(*summary));
    }
}

/// The behaviour of a simulated peer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// Answers a Close after this long.
    Answers(Duration),
    /// Never answers a Close; its session ends when it is cut.
    Silent,
    /// Disconnects by itself after this long.
    Leaves(Duration),
    /// Never answers, and its session does not react to being cut.
    Stuck,
}

/// Serves a leased connection to its end, as a transport would.
pub(crate) fn serve(mut lease: Lease, peer: Peer) -> JoinHandle<()> {
    lease.begin();
    tokio::spawn(async move {
        let patience = if let Peer::Leaves(after) = peer { after } else { Duration::MAX };
        let command = commanded(&mut lease, |command| *command != Command::Serve);
        let summary = match (timeout(patience, command).await, peer) {
            (Err(_), _) => CloseSummary::peer_gone(CloseError::Eof),
            (Ok(Command::Close(closing)), Peer::Answers(after)) => {
                sleep(after).await;
                CloseSummary::closed(closing.reason.code(), ClosedBy::Server)
            }
            (Ok(_), Peer::Stuck) => std::future::pending().await,
            (Ok(_), Peer::Leaves(_)) => {
                let gone = timeout(patience, commanded(&mut lease, |command| *command == Command::Cut)).await.is_err();
                if gone { CloseSummary::peer_gone(CloseError::Eof) } else { CloseSummary::aborted(CloseError::Cut) }
            }
            (Ok(_), _) => {
                commanded(&mut lease, |command| *command == Command::Cut).await;
                CloseSummary::aborted(CloseError::Cut)
            }
        };
        lease.end(summary);
    })
}

async fn commanded(lease: &mut Lease, until: impl Fn(&Command) -> bool) -> Command {
    poll_fn(|cx| {
        lease.register(cx.waker());
        let command = lease.command();
        if until(&command) { Poll::Ready(command) } else { Poll::Pending }
    })
    .await
}

pub(crate) fn registry(max_connections: usize, max_per_user: u32) -> (Registry, Recorder) {
    let recorder = Recorder::new();
    let limits = Limits::default()
        .with_max_connections(NonZero::new(max_connections).unwrap())
        .with_max_per_user(NonZero::new(max_per_user).unwrap());
    (Registry::new(limits, recorder.clone()), recorder)
}

/// A drain of 15 s that closes all connections at once.
pub(crate) fn plan() -> Drain {
    let reason = CloseReason::new(CloseCode::GOING_AWAY, "server shutting down");
    Drain::new(reason, Duration::from_secs(15)).with_rate(0)
}

pub(crate) fn ended(outcome: Outcome) -> CloseSummary {
    let mut summary = CloseSummary::closed(CloseCode::NORMAL, ClosedBy::Client);
    summary.outcome = outcome;
    summary
}

/// A [`Tally`] with these counts, the others zero.
macro_rules! tally {
    ($($count:ident: $value:expr),*) => {{
        let mut tally = chatbox_core::Tally::default();
        $(tally.$count = $value;)*
        tally
    }};
}
pub(crate) use tally;

/// The promise of [`Tally`].
pub(crate) fn adds_up(tally: &Tally) -> bool {
    tally.at_signal == tally.closed + tally.peer_gone + tally.timed_out + tally.aborted
}
