//! The shutdown of a program: what is registered, and how it is run.

use std::future::IntoFuture;
use std::time::Duration;

use tokio::time::Instant;

use crate::listener::SignalListener;
use crate::participant::{Participant, Probe};
use crate::phases::PhaseSetter;
use crate::requests::ShutdownRequests;
use crate::tasks::Tasks;
use crate::{
    BoxError, Budget, Cause, EarlySignals, Ending, Error, Phase, Phases, Plan, Report, Stage, TaskOutput, Trigger,
    driver,
};

/// The shutdown of a program: its time limits, its participants and what requests it.
///
/// Create it first, register tasks and participants, then [`run`](Self::run) it as the last thing that
/// `main` does. If it is dropped without having been run, its tasks are aborted and [`Phases`] shows
/// [`Phase::Stopped`].
#[derive(Debug)]
#[must_use = "a shutdown does nothing unless it is run"]
pub struct Shutdown {
    pub(crate) plan: Plan,
    pub(crate) created: Instant,
    pub(crate) participants: Vec<Participant>,
    pub(crate) tasks: Tasks,
    pub(crate) probes: Vec<Probe>,
    pub(crate) setter: PhaseSetter,
    pub(crate) requests: ShutdownRequests,
}

impl Shutdown {
    /// A shutdown that begins with SIGTERM, SIGQUIT, SIGINT or SIGHUP, or by a [`Trigger`].
    ///
    /// Call this before anything slow and before a listener is bound, so that no signal ends the program
    /// half-started. From here on these signals do not end the process by themselves, not even after the
    /// shutdown: the program has to exit when [`run`](Self::run) has returned. Where even the first
    /// milliseconds matter, use [`on_early_signals`](Self::on_early_signals).
    ///
    /// # Errors
    ///
    /// [`Error::DoesNotFit`] for a plan that is not [valid](Plan::validate), and [`Error::Signal`] if the
    /// operating system refuses a handler.
    ///
    /// # Panics
    ///
    /// If it is not called within a tokio runtime with I/O and time enabled.
    pub fn on_signals(plan: Plan) -> Result<Self, Error> {
        plan.validate()?;
        Self::on_early_signals(plan, EarlySignals::register()?)
    }

    /// A shutdown that begins with one of these signals, or by a [`Trigger`].
    ///
    /// Signals that came since [`EarlySignals::register`] request the shutdown now.
    ///
    /// # Errors
    ///
    /// As for [`on_signals`](Self::on_signals).
    ///
    /// # Panics
    ///
    /// As for [`on_signals`](Self::on_signals).
    pub fn on_early_signals(plan: Plan, signals: EarlySignals) -> Result<Self, Error> {
        let mut shutdown = Self::without_signals(plan)?;
        shutdown.requests.listen(SignalListener::take_over(&signals)?);
        Ok(shutdown)
    }

    /// A shutdown that begins by a [`Trigger`], or when a task ends. Signals are left to the program.
    ///
    /// # Errors
    ///
    /// [`Error::DoesNotFit`] for a plan that is not [valid](Plan::validate).
    pub fn without_signals(plan: Plan) -> Result<Self, Error> {
        plan.validate()?;
        Ok(Self {
            plan,
            created: Instant::now(),
            participants: Vec::new(),
            tasks: Tasks::new(),
            probes: Vec::new(),
            setter: PhaseSetter::new(),
            requests: ShutdownRequests::new(),
        })
    }

    /// Registers a participant: work that begins with a stage.
    ///
    /// All participants of a stage start together, each as a task of its own. Draining and flushing are
    /// over when all of theirs have returned; the lame duck lasts its time. A participant that panics,
    /// returns an error or takes longer than its stage is recorded as a [`Fault`](crate::Fault) under
    /// `name`, and the next stage begins.
    ///
    /// Participants of a stage that is left out (the lame duck after SIGINT, draining after a second
    /// signal during the lame duck) are not started: what must always be done belongs to
    /// [`Stage::Flushing`].
    ///
    /// The error is a [`BoxError`], so that `?` in an async block needs no annotation; a typed result `r`
    /// is returned as `Ok(r?)`.
    pub fn during<F, W, T>(&mut self, stage: Stage, name: impl Into<String>, participant: F)
    where
        F: FnOnce(Budget) -> W + Send + 'static,
        W: Future<Output = Result<T, BoxError>> + Send + 'static,
        T: Into<Ending>,
    {
        self.participants.push(Participant {
            stage,
            name: name.into(),
            start: Box::new(|budget| {
                // Called within the task, so that a panic before the first await is caught as well.
                Box::pin(async { participant(budget).await.map(Into::into) })
            }),
        });
    }

    /// Spawns a task that runs from now on and that `stage` waits for: a server, a worker, a consumer.
    ///
    /// The task should end by itself when its stage is [reached](Self::reached). If it ends before a
    /// shutdown was requested, or panics, the shutdown begins and the [`Fault`](crate::Fault) has its
    /// name. If it has not ended when its stage is over, it is dropped and recorded as an overrun. Where
    /// its stage is left out, the next one waits for it; after a second signal it has 250 ms.
    ///
    /// Takes anything that can be awaited; see [`TaskOutput`] for what it may return.
    ///
    /// ```no_run
    /// # async fn example(app: axum::Router) -> Result<(), chatbox_shutdown::BoxError> {
    /// use chatbox_shutdown::{Plan, Shutdown, Stage};
    ///
    /// let mut shutdown = Shutdown::on_signals(Plan::default())?;
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.reached(Stage::Draining));
    /// shutdown.task(Stage::Draining, "http", server);
    /// shutdown.run().await.exit()
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If it is not called within a tokio runtime.
    pub fn task<F>(&mut self, stage: Stage, name: impl Into<String>, task: F)
    where
        F: IntoFuture<Output: TaskOutput, IntoFuture: Send + 'static>,
    {
        let task = task.into_future();
        self.tasks.spawn(stage, name.into(), async move { task.await.into_result() });
    }

    /// Registers a check that nothing is left open at the end, for example connections or jobs.
    ///
    /// `left` is called once, after all stages. If it returns more than zero, the outcome is failed and
    /// the [`Fault`](crate::Fault) has this name; so a participant that was forgotten is noticed. After a
    /// second signal it is not called: what is left was cut on purpose.
    pub fn expect_none(&mut self, name: impl Into<String>, left: impl Fn() -> usize + Send + 'static) {
        self.probes.push(Probe { name: name.into(), left: Box::new(left) });
    }

    /// A handle that requests the shutdown from the program's own code.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        self.requests.trigger()
    }

    /// A handle that shows the current phase.
    #[must_use]
    pub fn phases(&self) -> Phases {
        self.setter.phases()
    }

    /// Resolves when this phase or stage, or a later one, is reached: see [`Phases::reached`].
    pub fn reached<P: Into<Phase>>(&self, phase: P) -> impl Future<Output = ()> + Send + use<P> {
        self.phases().reached(phase)
    }

    /// Resolves when a shutdown is requested, and leaves the request for [`run`](Self::run): for
    /// giving up a slow start.
    ///
    /// Does not notice tasks that end. Cancel-safe.
    pub async fn requested(&mut self) -> Cause {
        self.requests.requested().await
    }

    /// Leaves the lame duck out, as a [plan](Plan::with_lame_duck) without it does: for a start that was given
    /// up, where no load balancer has sent a client yet.
    pub fn skip_lame_duck(&mut self) {
        self.plan = self.plan.with_lame_duck(Duration::ZERO);
    }

    /// Waits until a shutdown is requested or a task ends, runs the stages, and reports how it went.
    ///
    /// The time of the first stage counts from the request, even if that was before this call.
    ///
    /// Not cancel-safe: dropping the future aborts the tasks and participants.
    pub async fn run(self) -> Report {
        driver::run(self).await
    }
}
