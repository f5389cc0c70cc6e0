//! The time that a participant has.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The time that a participant of a phase has, and the news that it is over sooner.
///
/// All participants of a phase share one budget. [`Budget::deadline`] lies a little before the end of
/// the phase (a tenth of its length, at most 250 ms), so that a participant can cut what is left by
/// itself and say so with [`Ending::CutShort`](crate::Ending::CutShort); at the end of the phase it
/// is dropped and recorded as an overrun.
#[derive(Clone, Debug)]
pub struct Budget {
    deadline: Instant,
    cut: watch::Receiver<Cut>,
}

impl Budget {
    /// A budget of this length from now on that nothing cuts short, for calling (and testing) a
    /// participant outside a shutdown. Its deadline is exactly there.
    #[must_use]
    pub fn lasting(length: Duration) -> Self {
        let deadline = after(Instant::now(), length);
        Self { deadline, cut: watch::Sender::new(Cut::No).subscribe() }
    }

    pub(crate) fn shared(start: Instant, end: Instant, cut: watch::Receiver<Cut>) -> Self {
        let deadline = end - margin(end.saturating_duration_since(start));
        Self { deadline, cut }
    }

    /// When the participant should have ended.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left until the deadline: zero after it, and zero once the budget was cut.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        match *self.cut.borrow() {
            Cut::No => self.deadline.saturating_duration_since(Instant::now()),
            Cut::Over | Cut::Forced => Duration::ZERO,
        }
    }

    /// Resolves at the deadline, or at once when the phase is cut: by a second signal, by SIGINT
    /// during the lame duck, or because the lame duck is over before its time.
    ///
    /// A participant that hears of it should cut what is left and end. After a signal it has 250 ms
    /// for that (less if the phase has less left), then it is dropped.
    ///
    /// Cancel-safe. The future does not borrow from `self`.
    pub fn expired(&self) -> impl Future<Output = ()> + Send + use<> {
        let Self { deadline, mut cut } = self.clone();
        async move {
            let cut = async {
                if cut.wait_for(|cut| *cut != Cut::No).await.is_err() {
                    // Nobody is left who could cut this budget: only its deadline counts.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => {}
                () = cut => {}
            }
        }
    }

    /// Whether a second signal has cut this phase.
    ///
    /// Never so in [`Phase::Flushing`](crate::Phase::Flushing): a flush keeps its time even then.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        *self.cut.borrow() == Cut::Forced
    }
}

/// Whether the phase is over before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    No,
    Over,
    Forced,
}

/// What is kept back at the end of a span of time, for ending in an orderly way.
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
        let start = Instant::now();
        let budget = Budget::shared(start, start + length, cut.subscribe());
        (cut, budget)
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_leaves_a_margin_before_the_end() {
        let start = Instant::now();
        let (_cut, long) = of(Duration::from_secs(15));
        let (_cut, short) = of(Duration::from_secs(1));
        assert_eq!(long.deadline() - start, Duration::from_millis(14_750));
        assert_eq!(short.remaining(), Duration::from_millis(900));
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
    async fn a_budget_of_ones_own_lasts_as_long_as_it_says() {
        let start = Instant::now();
        Budget::lasting(Duration::from_secs(3)).expired().await;
        assert_eq!(start.elapsed(), Duration::from_secs(3));
        assert!(Budget::lasting(Duration::MAX).remaining() > Duration::from_hours(24));
    }
}
