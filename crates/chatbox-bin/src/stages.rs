//! The stages of the service's shutdown: lame duck, drain, flush.

use crate::disconnect::close_reason;
use crate::state::ServiceState;
use crate::telemetry;
use chatbox_core::{Drain, Tally};
use chatbox_protocol::Disconnect;
use chatbox_shutdown::{BoxError, Budget, Ending, Phase, Phases};
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl ServiceState {
    /// Makes the service not ready, and refuses connections from now on. Repeating it shows the later phase.
    pub(crate) fn leave_running(&self, phase: Phase) {
        self.gate.close(phase.as_str());
        self.registry.refuse_newcomers();
        telemetry::on_phase(phase);
        telemetry::on_readiness(false);
    }

    /// Closes every connection in its paced turn, and cuts what is left at the end of the budget.
    pub(crate) async fn drain(self: Arc<Self>, budget: Budget) -> Result<Ending, BoxError> {
        // In a task of its own: when a second signal drops this participant, the flush waits for the rest of the drain.
        let closing = tokio::spawn(async move { self.close_connections(budget.remaining(), budget.expired()).await });
        let tally = closing.await?;
        Ok(if tally.timed_out + tally.aborted > 0 { Ending::CutShort } else { Ending::Complete })
    }

    /// Ends the drain: cuts what is open.
    pub(crate) async fn force(&self) {
        self.forced.send_replace(true);
        self.close_connections(Duration::ZERO, ready(())).await;
    }

    /// Stores what was accepted, then closes the store.
    pub(crate) async fn flush(&self) -> Result<(), BoxError> {
        // A second signal during the lame duck skips the drain: cut what is open.
        self.close_connections(Duration::ZERO, ready(())).await;
        self.rooms.close().await;
        self.store.close().await?;
        let totals = self.rooms.totals();
        if totals.accepted != totals.acked + totals.rejected {
            return Err(format!("accepted messages that were neither stored nor rejected: {totals:?}").into());
        }
        Ok(())
    }

    /// Shows each phase of a shutdown in the probes and the metrics, until its last.
    pub(crate) async fn follow(self: Arc<Self>, mut phases: Phases) {
        let (mut entered, mut before) = (Instant::now(), phases.current());
        let mut begun = None;
        while let Some(phase) = phases.changed().await {
            self.leave_running(phase);
            if before != Phase::Running {
                telemetry::on_phase_ended(before, entered.elapsed());
            }
            telemetry::on_shutdown(begun.get_or_insert_with(Instant::now).elapsed());
            (entered, before) = (Instant::now(), phase);
        }
    }

    /// Closes every connection, and cuts those that are left when `expired` resolves. Done once: later calls wait for the first,
    /// and return its outcome.
    async fn close_connections(&self, budget: Duration, expired: impl Future<Output = ()>) -> Tally {
        let close = async {
            let shutdown = &self.config.shutdown;
            let drain = Drain::new(close_reason(Disconnect::Shutdown), budget)
                .with_rate(shutdown.close_rate)
                .with_close_handshake(shutdown.close_handshake);
            let mut forced = self.forced.subscribe();
            let expired = async {
                tokio::select! {
                    () = expired => {}
                    // The sender lives as long as the state.
                    _ = forced.wait_for(|forced| *forced) => {}
                }
            };
            let tally = self.registry.drain(drain, expired).await;
            telemetry::on_drained(&tally);
            tally
        };
        *self.drained.get_or_init(|| close).await
    }
}
