//! What a program holds: first a [`Shutdown`] being put together, then an [`Armed`] one that runs.

use crate::driver;
use crate::participant::{Participant, Participants};
use crate::phase::PhaseSetter;
use crate::requests::ShutdownRequests;
use crate::{BoxError, Budget, Cause, Ending, Error, Phase, Phases, Plan, Report, Trigger};

/// A shutdown that is being put together.
///
/// Made by [`Shutdown::plan`], turned into an [`Armed`] one by [`Shutdown::on_signals`] or
/// [`Shutdown::without_signals`]. Participants may be registered before and after that.
#[derive(Debug)]
#[must_use = "a shutdown does nothing unless it is armed and run"]
pub struct Shutdown {
    pub(crate) plan: Plan,
    pub(crate) roster: Participants,
    pub(crate) setter: PhaseSetter,
    pub(crate) inbox: ShutdownRequests,
}

/// A shutdown that hears when it should begin.
///
/// Dropped without having been [run](Armed::run), it shows [`Phase::Stopped`] to everybody.
#[derive(Debug)]
#[must_use = "a shutdown does nothing unless it is run"]
pub struct Armed(Shutdown);

impl Shutdown {
    /// A shutdown with these time limits.
    ///
    /// # Errors
    ///
    /// [`Error::DoesNotFit`], which names all four values, unless `lame_duck + drain + flush < grace`.
    pub fn plan(plan: Plan) -> Result<Self, Error> {
        plan.validate()?;
        Ok(Self { plan, roster: Participants::default(), setter: PhaseSetter::new(), inbox: ShutdownRequests::new() })
    }

    /// Registers a participant: work that belongs to a phase, and whose name stands in the report
    /// if it fails.
    ///
    /// All participants of a phase start together when it begins, each as a task of its own. Draining
    /// and flushing are over when all of theirs have ended; the lame duck lasts its time in any case,
    /// unless [`Shutdown::lame_duck_until`] ends it. One that panics, returns an error or takes longer
    /// than its phase is recorded as a [`Fault`](crate::Fault), and the next phase begins.
    ///
    /// Participants of a phase that is left out (the lame duck after SIGINT, draining after a second
    /// signal during the lame duck) are not started: what must always be done belongs to
    /// [`Phase::Flushing`].
    ///
    /// # Panics
    ///
    /// If `phase` is [`Phase::Running`] or [`Phase::Stopped`], in which nothing is left to be done.
    pub fn during<F, W, T>(&mut self, phase: Phase, name: impl Into<String>, participant: F)
    where
        F: FnOnce(Budget) -> W + Send + 'static,
        W: Future<Output = Result<T, BoxError>> + Send + 'static,
        T: Into<Ending>,
    {
        assert!(!matches!(phase, Phase::Running | Phase::Stopped), "phase {phase} has no participants");
        self.roster.participants.push(Participant {
            phase,
            name: name.into(),
            start: Box::new(|budget| {
                // Called within the task, so that a panic before the first await is caught as well.
                Box::pin(async { participant(budget).await.map(Into::into) })
            }),
        });
    }

    /// Ends the lame duck before its time: when `condition` has resolved, typically because nobody
    /// is connected any more, and the phase's participants have ended (their budget expires then).
    ///
    /// Called more than once, all conditions have to resolve.
    pub fn lame_duck_until<F, W>(&mut self, condition: F)
    where
        F: FnOnce() -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        self.roster.conditions.push(Box::new(|| Box::pin(async { condition().await })));
    }

    /// A handle that begins the shutdown from the program's own code.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        self.inbox.trigger()
    }

    /// A handle that shows the phase.
    #[must_use]
    pub fn phases(&self) -> Phases {
        self.setter.phases()
    }

    /// Listens for SIGTERM and SIGINT from now on: call this first thing, before anything slow and
    /// before a listener is bound, so that no signal ends the program half-started.
    ///
    /// From here on these signals do not end the process by themselves any more, not even after the
    /// shutdown: the program has to exit when [`Armed::run`] has returned.
    ///
    /// # Errors
    ///
    /// [`Error::Signals`] if the operating system refuses.
    ///
    /// # Panics
    ///
    /// If it is not called within a tokio runtime with I/O enabled.
    pub fn on_signals(mut self) -> Result<Armed, Error> {
        self.inbox.listen_for_signals()?;
        Ok(Armed(self))
    }

    /// Leaves the signals to the embedding program: the shutdown begins only by a [`Trigger`], or
    /// when the server ends by itself.
    pub fn without_signals(self) -> Armed {
        Armed(self)
    }
}

impl Armed {
    /// Registers a participant, as [`Shutdown::during`] does.
    ///
    /// # Panics
    ///
    /// If `phase` is [`Phase::Running`] or [`Phase::Stopped`].
    pub fn during<F, W, T>(&mut self, phase: Phase, name: impl Into<String>, participant: F)
    where
        F: FnOnce(Budget) -> W + Send + 'static,
        W: Future<Output = Result<T, BoxError>> + Send + 'static,
        T: Into<Ending>,
    {
        self.0.during(phase, name, participant);
    }

    /// Ends the lame duck before its time, as [`Shutdown::lame_duck_until`] does.
    pub fn lame_duck_until<F, W>(&mut self, condition: F)
    where
        F: FnOnce() -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        self.0.lame_duck_until(condition);
    }

    /// A handle that begins the shutdown from the program's own code.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        self.0.trigger()
    }

    /// A handle that shows the phase.
    #[must_use]
    pub fn phases(&self) -> Phases {
        self.0.phases()
    }

    /// Resolves when a signal or a request has come, and leaves it there for [`Armed::run`]: for
    /// giving up a slow start.
    ///
    /// Cancel-safe.
    pub async fn requested(&mut self) -> Cause {
        self.0.inbox.peek().await.cause()
    }

    /// Serves until the end is asked for, goes through the phases, and says how it went.
    ///
    /// `server` runs as a task of its own from now on and through all phases; it is dropped when
    /// [`Phase::Stopped`] is reached. If it ends by itself, the shutdown begins; if it fails, at any
    /// time, this stands in the report as a fault of the participant `server`.
    ///
    /// Not cancel-safe: dropping the future drops the server and the participants where they are.
    pub async fn run<S>(self, server: S) -> Report
    where
        S: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        driver::run(self.0, server).await
    }
}
