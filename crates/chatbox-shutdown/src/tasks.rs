//! The tasks of a shutdown: those that run from the start, and the participants of each stage.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use crate::budget::Cut;
use crate::participant::Participant;
use crate::{BoxError, Budget, Ending, Fault, Phase, Stage};

/// How long to wait for tasks that were aborted. They end at once, unless they block their thread.
pub(crate) const ABORT: Duration = Duration::from_millis(50);

/// How a task ended, as the `JoinSet` reports it.
pub(crate) type Ended = Result<(Id, Result<Ending, BoxError>), JoinError>;

/// The running tasks, and what is recorded about those that have ended.
#[derive(Debug)]
pub(crate) struct Tasks {
    set: JoinSet<Result<Ending, BoxError>>,
    running: Vec<Running>,
    /// Expires the budgets of the current stage.
    cut: watch::Sender<Cut>,
    entered: Instant,
    faults: Vec<Fault>,
    cut_short: bool,
}

/// A task that has not ended.
#[derive(Debug)]
struct Running {
    handle: AbortHandle,
    name: String,
    /// The stage that waits for it.
    stage: Stage,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self {
            set: JoinSet::new(),
            running: Vec::new(),
            cut: watch::Sender::new(Cut::No),
            entered: Instant::now(),
            faults: Vec::new(),
            cut_short: false,
        }
    }

    /// Spawns a task that its stage waits for.
    pub(crate) fn spawn<F>(&mut self, stage: Stage, name: String, future: F)
    where
        F: Future<Output = Result<Ending, BoxError>> + Send + 'static,
    {
        let handle = self.set.spawn(future);
        self.running.push(Running { handle, name, stage });
    }

    /// Starts the participants of a stage, which all have until `deadline`.
    pub(crate) fn start(&mut self, phase: Phase, participants: &mut Vec<Participant>, deadline: Instant) {
        self.entered = Instant::now();
        self.cut = watch::Sender::new(Cut::No);
        for participant in participants.extract_if(.., |participant| participant.stage.phase() == phase) {
            let Participant { stage, name, start } = participant;
            self.spawn(stage, name, start(Budget::until(deadline, self.cut.subscribe())));
        }
    }

    /// Expires the budgets of the current stage.
    pub(crate) fn cut(&self, forced: bool) {
        let cut = if forced { Cut::Forced } else { Cut::Over };
        self.cut.send_if_modified(|current| {
            let stronger = cut > *current;
            *current = cut.max(*current);
            stronger
        });
    }

    /// The next task that ends; never resolves while there is none. Cancel-safe.
    pub(crate) async fn next_ended(&mut self) -> Ended {
        match self.set.join_next_with_id().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Whether every task that `phase` waits for has ended.
    pub(crate) fn is_complete(&self, phase: Phase) -> bool {
        !self.running.iter().any(|running| running.stage.phase() <= phase)
    }

    /// Records how a task ended.
    pub(crate) fn record(&mut self, ended: Ended, phase: Phase) {
        let id = id_of(&ended);
        if ended.as_ref().is_err_and(JoinError::is_cancelled) {
            // It stays among the running, where `drop_until` finds it.
            return;
        }
        let Some(index) = self.running.iter().position(|running| running.handle.id() == id) else {
            // It had blocked its thread and was given up before.
            return;
        };
        let Running { name, .. } = self.running.remove(index);
        match ended {
            Ok((_, Ok(_))) if phase == Phase::Running => self.faults.push(Fault::ended(name, phase)),
            Ok((_, Ok(Ending::Complete))) => {}
            Ok((_, Ok(Ending::CutShort))) => self.cut_short = true,
            Ok((_, Err(error))) => self.faults.push(Fault::error(name, phase, error)),
            Err(error) => self.faults.push(Fault::panic(name, phase, error)),
        }
    }

    /// Aborts every task that `until` waits for and that has not ended. Each is an overrun unless `forced`.
    pub(crate) async fn drop_until(&mut self, until: Phase, forced: bool) {
        let due = |running: &Running| running.stage.phase() <= until;
        let mut aborted: Vec<Id> = Vec::new();
        for running in self.running.iter().filter(|running| due(running)) {
            running.handle.abort();
            aborted.push(running.handle.id());
        }
        let after = self.entered.elapsed();
        let ended = async {
            while !aborted.is_empty() {
                let ended = self.next_ended().await;
                aborted.retain(|id| *id != id_of(&ended));
                self.record(ended, until);
            }
        };
        // After that, it is a thread that blocks.
        let _ = timeout(ABORT, ended).await;
        for running in self.running.extract_if(.., |running| due(running)) {
            if !forced {
                self.faults.push(Fault::overrun(running.name, until, after));
            }
        }
    }

    /// What was recorded: the faults, and whether something was cut short.
    pub(crate) fn into_record(self) -> (Vec<Fault>, bool) {
        (self.faults, self.cut_short)
    }
}

fn id_of(ended: &Ended) -> Id {
    ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id)
}
