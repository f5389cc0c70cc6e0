//! The participants of one phase at work.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use crate::budget::Cut;
use crate::participant::Participants;
use crate::{BoxError, Budget, Ending, Fault, Phase};

/// How long to wait for tasks that were aborted. They are gone at once, unless they block their thread.
pub(crate) const ABORT: Duration = Duration::from_millis(50);

/// The tasks of a phase's participants.
pub(crate) struct PhaseTasks {
    phase: Phase,
    started: Instant,
    tasks: JoinSet<Result<Ending, BoxError>>,
    /// The names of those that have not ended, as they were registered.
    names: Vec<(Id, String)>,
    conditions: JoinSet<()>,
    /// Whether the phase lasts until it is told to end.
    open_ended: bool,
    cut: watch::Sender<Cut>,
    record: Record,
}

/// What is to be said about participants that have ended.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) faults: Vec<Fault>,
    pub(crate) cut_short: bool,
}

impl PhaseTasks {
    /// Nobody, while the program is running.
    pub(crate) fn idle() -> Self {
        Self::start(Phase::Running, &mut Participants::default(), Instant::now())
    }

    /// Starts those on the roster that belong to this phase.
    pub(crate) fn start(phase: Phase, roster: &mut Participants, end: Instant) -> Self {
        let started = Instant::now();
        let cut = watch::Sender::new(Cut::No);
        let (mut tasks, mut names) = (JoinSet::new(), Vec::new());
        for participant in roster.participants.extract_if(.., |participant| participant.phase == phase) {
            let work = (participant.start)(Budget::shared(started, end, cut.subscribe()));
            names.push((tasks.spawn(work).id(), participant.name));
        }
        let mut conditions = JoinSet::new();
        if phase == Phase::LameDuck {
            for condition in roster.conditions.drain(..) {
                conditions.spawn(async { condition().await });
            }
        }
        let open_ended = match phase {
            Phase::Running | Phase::Stopped => true,
            Phase::LameDuck => conditions.is_empty(),
            Phase::Draining | Phase::Flushing => false,
        };
        Self { phase, started, tasks, names, conditions, open_ended, cut, record: Record::default() }
    }

    /// Resolves when nothing is left to do in this phase. Cancel-safe.
    pub(crate) async fn complete(&mut self) {
        while let Some(ended) = self.conditions.join_next().await {
            if let Err(error) = ended {
                // What it waited for will never be known now: the lame duck lasts its full time.
                self.open_ended = true;
                self.record.faults.extend(Fault::panic("lame_duck_until".into(), self.phase, error));
            }
        }
        if self.open_ended {
            std::future::pending::<()>().await;
        }
        if self.phase == Phase::LameDuck {
            self.set_cut(Cut::Over);
        }
        self.join_all().await;
    }

    /// Tells everybody to come to an end now.
    pub(crate) fn cut(&mut self, forced: bool) {
        self.conditions = JoinSet::new();
        self.open_ended = false;
        self.set_cut(if forced { Cut::Forced } else { Cut::Over });
    }

    /// Drops whoever has not ended.
    pub(crate) async fn stop(&mut self) {
        // Whoever ended at the last moment has ended.
        tokio::select! {
            biased;
            () = self.join_all() => return,
            () = std::future::ready(()) => {}
        }
        let after = self.started.elapsed();
        self.tasks.abort_all();
        let _ = timeout(ABORT, self.join_all()).await;
        if *self.cut.borrow() != Cut::Forced {
            let late = self.names.drain(..);
            let faults = late.map(|(_, name)| Fault::overrun(name, self.phase, after));
            self.record.faults.extend(faults);
        }
    }

    /// What is to be said about those who have ended or were dropped.
    pub(crate) fn into_record(self) -> Record {
        self.record
    }

    /// Marks the budgets, unless a second signal has done so before.
    fn set_cut(&self, cut: Cut) {
        self.cut.send_if_modified(|current| {
            let worse = *current == Cut::No || (*current == Cut::Over && cut == Cut::Forced);
            if worse {
                *current = cut;
            }
            worse
        });
    }

    async fn join_all(&mut self) {
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.note(ended);
        }
    }

    fn note(&mut self, ended: Result<(Id, Result<Ending, BoxError>), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        if ended.as_ref().is_err_and(JoinError::is_cancelled) {
            // Its name stays among those that have not ended.
            return;
        }
        let place = self.names.iter().position(|(named, _)| *named == id);
        let (_, name) = self.names.remove(place.expect("a task has a name until it has ended"));
        match ended {
            Ok((_, Ok(Ending::Complete))) => {}
            Ok((_, Ok(Ending::CutShort))) => self.record.cut_short = true,
            Ok((_, Err(error))) => self.record.faults.push(Fault::error(name, self.phase, &error)),
            Err(error) => self.record.faults.extend(Fault::panic(name, self.phase, error)),
        }
    }
}
