//! The five phases, and the handle that shows which one it is.

use std::fmt;

use serde::Serialize;
use tokio::sync::watch;

/// A phase of the program's life. Phases only go forward, in this order; some may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nobody has asked for the end yet.
    Running,
    /// Not ready any more, but still serving, so that load balancers can notice.
    LameDuck,
    /// What is open is brought to its end.
    Draining,
    /// What was accepted is made durable, and buffers are written out.
    Flushing,
    /// Nothing is left to do but to exit.
    Stopped,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 5] = [Self::Running, Self::LameDuck, Self::Draining, Self::Flushing, Self::Stopped];

    /// The name in reports, logs and metrics: `running`, `lame_duck`, `draining`, `flushing` or `stopped`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::LameDuck => "lame_duck",
            Self::Draining => "draining",
            Self::Flushing => "flushing",
            Self::Stopped => "stopped",
        }
    }

    /// The position in [`Phase::ALL`], 0 for running up to 4 for stopped: the value of a gauge.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Shows which phase the program is in, to whoever needs to know. Cheap to clone.
///
/// A phase is shown before the participants of that phase start. [`Phase::Stopped`] is shown at the
/// end, and also when the shutdown was dropped without having run to its end, so that nobody waits
/// for ever.
#[derive(Clone, Debug)]
pub struct Phases(watch::Receiver<Phase>);

impl Phases {
    /// The phase at this moment.
    #[must_use]
    pub fn current(&self) -> Phase {
        *self.0.borrow()
    }

    /// Resolves when `phase` or a later one is reached: at once, if that is already so.
    ///
    /// Cancel-safe. The future does not borrow from `self`.
    pub fn reached(&self, phase: Phase) -> impl Future<Output = ()> + Send + use<> {
        let mut shown = self.0.clone();
        async move {
            // The sender shows `Stopped` before it goes away, so there is no error to tell apart.
            let _ = shown.wait_for(|current| *current >= phase).await;
        }
    }

    /// Waits for the next phase that this handle has not seen, and returns it; `None` after the last.
    ///
    /// A phase that lasted less than it took the caller to come back may be left out. Cancel-safe.
    pub async fn changed(&mut self) -> Option<Phase> {
        self.0.changed().await.ok()?;
        Some(*self.0.borrow_and_update())
    }
}

/// The side that sets the phase.
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

    #[test]
    fn names_and_indexes_follow_the_order() {
        for (index, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(phase.index(), index);
            assert_eq!(serde_json::json!(phase), phase.as_str());
        }
        assert!(Phase::ALL.is_sorted());
    }

    #[tokio::test]
    async fn waiting_for_a_phase_ends_with_that_phase_or_a_later_one() {
        let setter = PhaseSetter::new();
        let phases = setter.phases();
        setter.set(Phase::Draining);
        phases.reached(Phase::LameDuck).await;
        phases.reached(Phase::Draining).await;
        assert_eq!(phases.current(), Phase::Draining);
    }

    #[tokio::test]
    async fn a_shutdown_that_never_ran_leaves_nobody_waiting() {
        let setter = PhaseSetter::new();
        let mut phases = setter.phases();
        drop(setter);
        phases.reached(Phase::LameDuck).await;
        assert_eq!(phases.changed().await, Some(Phase::Stopped));
        assert_eq!(phases.changed().await, None);
    }
}
