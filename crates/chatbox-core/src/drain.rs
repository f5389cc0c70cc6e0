//! The drain: closes every connection in its paced turn.

use crate::close::CloseReason;
use crate::command::Closing;
use crate::connection::Connection;
use crate::pace::Pace;
use crate::registry::Registry;
use crate::tally::Tally;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Parameters of a drain.
///
/// ```
/// use chatbox_core::{CloseCode, CloseReason, Drain};
/// use std::time::Duration;
///
/// let reason = CloseReason::new(CloseCode::GOING_AWAY, "server shutting down");
/// let drain = Drain::new(reason, Duration::from_secs(15)).with_rate(500);
/// ```
#[derive(Clone, Debug)]
pub struct Drain {
    reason: CloseReason,
    budget: Duration,
    rate: u32,
    close_handshake: Duration,
}

impl Drain {
    /// A drain that closes every connection with `reason`. All turns are scheduled to fit in `budget`.
    #[must_use]
    pub fn new(reason: CloseReason, budget: Duration) -> Self {
        Self { reason, budget, rate: 2_000, close_handshake: Duration::from_secs(3) }
    }

    /// Connections closed per second; 0 closes all at once. Default: 2,000.
    ///
    /// Raised where not all connections would fit in the budget. A lower rate spreads the reconnects of the clients over a longer time.
    #[must_use]
    pub fn with_rate(mut self, rate: u32) -> Self {
        self.rate = rate;
        self
    }

    /// The time that the last connection keeps for its close handshake. Default: 3 s, as in `chatbox-ws`.
    ///
    /// It should be the transport's own bound: with less, the last peers are cut before their time; with more, turns come faster than needed.
    #[must_use]
    pub fn with_close_handshake(mut self, time: Duration) -> Self {
        self.close_handshake = time;
        self
    }
}

impl Registry {
    /// Closes every connection, each in its paced turn, and waits until the last one has ended or `expired` resolves; then cuts the rest.
    /// Connections whose turn has not come by then are closed first, and have 100 ms to answer.
    /// Returns the final tally.
    ///
    /// Cancel safe in that connections whose turn has come go on closing; the tally is then not final.
    pub async fn drain(&self, drain: Drain, expired: impl Future<Output = ()>) -> Tally {
        let mut expired = pin!(expired);
        let connections = self.begin_drain();
        self.inner.observer.on_drain(connections.len());
        let mut waiting = connections.iter();
        let closing = async {
            self.close_paced(&mut waiting, &drain).await;
            self.empty().await;
        };
        let in_time = tokio::select! {
            biased;
            () = &mut expired => false,
            () = closing => true,
        };
        if !in_time {
            self.close_now(waiting, drain.reason).await;
            self.cut_all().await;
        }
        self.inner.finish_tally()
    }

    async fn close_paced(&self, connections: &mut std::slice::Iter<'_, Arc<Connection>>, drain: &Drain) {
        /// Turns closer together than this share a timer: one for each would cost more than it smooths.
        const STEP: Duration = Duration::from_millis(10);
        let pace = Pace::new(connections.len(), drain.rate, drain.budget, drain.close_handshake);
        let start = Instant::now();
        for index in 0..connections.len() {
            let turn = start + pace.turn(index);
            if turn > Instant::now() + STEP {
                tokio::time::sleep_until(turn).await;
            }
            let Some(connection) = connections.next() else { return };
            let closing = Closing::new(drain.reason.clone()).with_reconnect_after(pace.reconnect_after(index));
            self.inner.observer.on_closing(connection, &closing);
            connection.close(closing);
            // The first sessions finish while the others are still being closed, also at an unlimited rate.
            if index % 64 == 63 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Closes the connections whose turn did not come, and gives them a moment to write their Close and to receive the answer.
    async fn close_now(&self, connections: std::slice::Iter<'_, Arc<Connection>>, reason: CloseReason) {
        /// Together with the notice of a cut it fits in the 250 ms that a shutdown allows for cutting.
        const CLOSE: Duration = Duration::from_millis(100);
        if connections.len() == 0 {
            return;
        }
        let closing = Closing::new(reason);
        for connection in connections {
            self.inner.observer.on_closing(connection, &closing);
            connection.close(closing.clone());
        }
        // Those that have not answered by then are cut.
        let _ = tokio::time::timeout(CLOSE, self.empty()).await;
    }

    /// Cuts every connection, and gives the sessions a moment to end.
    async fn cut_all(&self) {
        const NOTICE: Duration = Duration::from_millis(100);
        for connection in self.inner.admitted() {
            connection.cut();
        }
        // A session that has not ended by then is counted as aborted all the same.
        let _ = tokio::time::timeout(NOTICE, self.empty()).await;
    }
}
