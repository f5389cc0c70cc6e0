//! The end of a service: in the shutdown of an embedding program, in one of its own, or stage by stage.

use crate::report::ServiceReport;
use crate::service::Service;
use crate::telemetry;
use chatbox_shutdown::{BoxError, Budget, Ending, Phase, Report, Shutdown, Stage, Trigger};
use std::sync::Arc;
use std::time::Duration;

impl Service {
    /// Registers the service in the shutdown of the embedding program: its lame duck, its drain of the connections, and the flush of its
    /// store.
    ///
    /// The plan of that shutdown governs; `config.shutdown` gives only `close_rate` and `close_handshake`. Serve the
    /// [`router`](Self::router) until the last phase, so that probes and newcomers are answered. [`report`](Self::report) adds what the
    /// service counted to the shutdown's report. Must be called within a tokio runtime.
    pub fn register(&self, shutdown: &mut Shutdown) {
        tokio::spawn(Arc::clone(&self.state).follow(shutdown.phases()));
        let state = Arc::clone(&self.state);
        shutdown.during(Stage::LameDuck, "admission", move |_| async move {
            state.leave_running(Phase::LameDuck);
            Ok(())
        });
        let state = Arc::clone(&self.state);
        shutdown.during(Stage::Draining, "websockets", move |budget| state.drain(budget));
        let state = Arc::clone(&self.state);
        shutdown.during(Stage::Flushing, "store", move |_| async move { state.flush().await });
        let state = Arc::clone(&self.state);
        // After a drain, the tally has every connection, also those that did not end when they were cut.
        shutdown.expect_none("connections", move || if state.drained.initialized() { 0 } else { state.registry.len() });
    }

    /// The report of a shutdown in which the service was [registered](Self::register), with the connections and messages that the
    /// service counted.
    #[must_use]
    pub fn report(&self, shutdown: Report) -> ServiceReport {
        let report = ServiceReport::new(shutdown, self.state.registry.tally(), self.state.rooms.totals());
        telemetry::on_shutdown(Duration::from_millis(report.shutdown.duration_ms));
        report
    }

    /// Shuts the service down within `deadline`, for programs that have no shutdown to [`register`](Self::register) it in: refuses
    /// newcomers, serves on while load balancers take notice, closes every connection in its paced turn, stores what was accepted.
    ///
    /// The configured budgets are shortened as needed: the lame duck first, and the flush only to a quarter of `deadline`. Serve the
    /// router meanwhile, so that probes and newcomers are answered. Dropping the future forces the rest: connections are cut, and a task
    /// flushes the store as long as the runtime lives.
    pub async fn shutdown(&self, deadline: Duration) -> ServiceReport {
        let mut shutdown = match Shutdown::without_signals(self.state.plan) {
            Ok(shutdown) => shutdown,
            Err(error) => unreachable!("the plan was checked with the configuration: {error}"),
        };
        self.register(&mut shutdown);
        let forced_if_dropped = ForceOnDrop(shutdown.trigger());
        shutdown.trigger().begin_within(deadline);
        let report = tokio::spawn(shutdown.run()).await;
        drop(forced_if_dropped);
        match report {
            Ok(report) => self.report(report),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => unreachable!("only a runtime that ends cancels this task: {error}"),
            },
        }
    }

    /// Makes the service not ready, and refuses newcomers. Open connections are served on. The first stage, for programs that run the
    /// stages themselves: then [`drain`](Self::drain), then [`flush`](Self::flush).
    pub fn enter_lame_duck(&self) {
        self.state.leave_running(Phase::LameDuck);
    }

    /// Closes every connection in its paced turn, and cuts what is left at the end of the budget, or on [`force`](Self::force). Includes the
    /// lame duck's refusal of newcomers. Repeated, it waits for the first call.
    ///
    /// Dropping the future does not stop the drain.
    ///
    /// # Errors
    /// When a task of the drain panics.
    pub async fn drain(&self, budget: Budget) -> Result<Ending, BoxError> {
        self.state.leave_running(Phase::Draining);
        Arc::clone(&self.state).drain(budget).await
    }

    /// Cuts what is open, stores what was accepted and closes the store. The last stage, also after [`force`](Self::force).
    ///
    /// Cancel safe: it can be called again.
    ///
    /// # Errors
    /// Those of the store; accepted messages that were neither stored nor rejected; and the end of the budget.
    pub async fn flush(&self, budget: Budget) -> Result<(), BoxError> {
        self.state.leave_running(Phase::Flushing);
        tokio::select! {
            biased;
            flushed = self.state.flush() => flushed,
            () = budget.expired() => Err("the store was not flushed in time".into()),
        }
    }

    /// Ends a drain at once, or comes before one: each open connection is sent its Close if it can be written at once, and is then cut.
    pub async fn force(&self) {
        self.state.force().await;
    }
}

/// Forces a shutdown when dropped. After its end that changes nothing.
struct ForceOnDrop(Trigger);

impl Drop for ForceOnDrop {
    fn drop(&mut self) {
        self.0.force();
    }
}
