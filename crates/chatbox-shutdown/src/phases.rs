//! The current phase as a shared value: one setter, any number of readers.

use tokio::sync::watch;

use crate::Phase;

/// Shows the current phase. Cheap to clone.
///
/// The phase changes before the participants of that phase start. If the shutdown is dropped before
/// it has ended, the phase becomes [`Phase::Stopped`], so that no task waits forever.
#[derive(Clone, Debug)]
pub struct Phases(watch::Receiver<Phase>);

impl Phases {
    /// The phase at this moment.
    #[must_use]
    pub fn current(&self) -> Phase {
        *self.0.borrow()
    }

    /// Resolves when this phase or stage, or a later one, is reached; at once if it has been.
    ///
    /// Cancel-safe. The future does not borrow from `self`.
    pub fn reached<P: Into<Phase>>(&self, phase: P) -> impl Future<Output = ()> + Send + use<P> {
        let (mut shown, phase) = (self.0.clone(), phase.into());
        async move {
            // The setter sends `Stopped` before it is dropped, so an error needs no handling.
            let _ = shown.wait_for(|current| *current >= phase).await;
        }
    }

    /// Waits for the next phase that this handle has not returned; `None` after the last.
    ///
    /// A phase that ended before the next call may be left out. Cancel-safe.
    pub async fn changed(&mut self) -> Option<Phase> {
        self.0.changed().await.ok()?;
        Some(*self.0.borrow_and_update())
    }
}

/// Sets the phase that [`Phases`] shows.
#[derive(Debug)]
pub(crate) struct PhaseSetter(watch::Sender<Phase>);

impl PhaseSetter {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Phase::Running))
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.0.send_replace(phase);
    }

    pub(crate) fn phases(&self) -> Phases {
        Phases(self.0.subscribe())
    }
}

impl Drop for PhaseSetter {
    fn drop(&mut self) {
        self.0.send_if_modified(|phase| std::mem::replace(phase, Phase::Stopped) != Phase::Stopped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stage;

    #[tokio::test]
    async fn waiting_for_a_phase_ends_with_that_phase_or_a_later_one() {
        let setter = PhaseSetter::new();
        let phases = setter.phases();
        setter.set(Phase::Draining);
        phases.reached(Stage::LameDuck).await;
        phases.reached(Phase::Draining).await;
        assert_eq!(phases.current(), Phase::Draining);
    }

    #[tokio::test]
    async fn a_shutdown_that_is_dropped_shows_stopped() {
        let setter = PhaseSetter::new();
        let mut phases = setter.phases();
        drop(setter);
        phases.reached(Stage::LameDuck).await;
        assert_eq!(phases.changed().await, Some(Phase::Stopped));
        assert_eq!(phases.changed().await, None);
    }
}
