//! The time that a participant has.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The time that a participant of a phase has, and whether the phase was cut.
///
/// All participants of a phase share one budget. Its deadline lies a little before the end of the
/// phase (a tenth of the phase's length, at most 250 ms), so that a participant can cut what is left
/// by itself and return [`Ending::CutShort`](crate::Ending::CutShort). A participant that has not
/// returned at the end of the phase is dropped and recorded as an overrun.
///
/// If the process was suspended over the deadline, the participants get 250 ms from the moment at
/// which it continues.
#[derive(Clone, Debug)]
pub struct Budget {
    deadline: Instant,
    cut: watch::Receiver<Cut>,
}

impl Budget {
    /// A budget of this length from now on that is never cut, for calling or testing a participant
    /// outside a shutdown. Its deadline is the end of that time.
    #[must_use]
    pub fn lasting(length: Duration) -> Self {
        let deadline = after(Instant::now(), length);
        Self { deadline, cut: watch::Sender::new(Cut::No).subscribe() }
    }

    pub(crate) fn until(deadline: Instant, cut: watch::Receiver<Cut>) -> Self {
        Self { deadline, cut }
    }

    /// When the participant should have returned.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The time until the deadline: zero after it, and zero once the phase was cut.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        match *self.cut.borrow() {
            Cut::No => self.deadline.saturating_duration_since(Instant::now()),
            Cut::Over | Cut::Forced => Duration::ZERO,
        }
    }

    /// Resolves at the deadline, or at once when the phase is cut: by a second signal, by
    /// [`Trigger::force`](crate::Trigger::force), or by SIGINT during the lame duck.
    ///
    /// A participant should then cut what is left and return. After a signal it has 250 ms for that
    /// (less if the phase has less left), then it is dropped.
    ///
    /// Cancel-safe. The future does not borrow from `self`.
    pub fn expired(&self) -> impl Future<Output = ()> + Send + use<> {
        let Self { deadline, mut cut } = self.clone();
        async move {
            let cut = async {
                if cut.wait_for(|cut| *cut != Cut::No).await.is_err() {
                    // The sender was dropped, so this budget is never cut: only its deadline counts.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => {}
                () = cut => {}
            }
        }
    }

    /// Whether a second signal or [`Trigger::force`](crate::Trigger::force) has cut this phase.
    ///
    /// Never true in [`Stage::Flushing`](crate::Stage::Flushing): a flush keeps its time.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        *self.cut.borrow() == Cut::Forced
    }
}

/// Whether a phase was cut, from the mildest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    No,
    /// Its time has passed, or SIGINT has ended the lame duck.
    Over,
    /// By a second signal.
    Forced,
}

/// The time reserved at the end of a span for ending in an orderly way.
pub(crate) fn margin(length: Duration) -> Duration {
    (length / 10).min(Duration::from_millis(250))
}

/// `start + length`, or some decades later if that cannot be represented.
pub(crate) fn after(start: Instant, length: Duration) -> Instant {
    const DECADES: Duration = Duration::from_hours(24 * 365 * 30);
    start.checked_add(length).unwrap_or_else(|| start + DECADES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(length: Duration) -> (watch::Sender<Cut>, Budget) {
        let cut = watch::Sender::new(Cut::No);
        let budget = Budget::until(Instant::now() + length, cut.subscribe());
        (cut, budget)
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_expires_at_its_deadline() {
        let (_cut, budget) = of(Duration::from_secs(10));
        budget.expired().await;
        assert_eq!(Instant::now(), budget.deadline());
        assert_eq!(budget.remaining(), Duration::ZERO);
        assert!(!budget.is_forced());
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_that_is_cut_expires_at_once() {
        let (cut, budget) = of(Duration::from_secs(10));
        let start = Instant::now();
        let waiting = tokio::spawn(budget.expired());
        cut.send_replace(Cut::Forced);
        waiting.await.expect("no panic");
        assert_eq!(Instant::now(), start);
        assert_eq!(budget.remaining(), Duration::ZERO);
        assert!(budget.is_forced());
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_outside_a_shutdown_lasts_exactly_its_length() {
        let start = Instant::now();
        Budget::lasting(Duration::from_secs(3)).expired().await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        assert!(Budget::lasting(Duration::MAX).remaining() > Duration::from_hours(24));
    }
}
