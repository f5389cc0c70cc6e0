//! The readiness gate: a switch with which the service makes itself not ready.

use tokio::sync::watch;

/// A shared switch for readiness, with the name of the service's phase.
///
/// Clones share one state. While the gate is closed, the service is not ready, whatever its checks
/// report; probes that are waiting for a check when it closes are answered at once.
///
/// ```
/// use chatbox_health::Gate;
///
/// let gate = Gate::new("starting");
/// assert!(!gate.is_open());
/// gate.open("running");
/// assert_eq!((gate.is_open(), gate.phase()), (true, "running"));
/// gate.close("lame_duck");
/// assert_eq!((gate.is_open(), gate.phase()), (false, "lame_duck"));
/// ```
#[derive(Clone, Debug)]
pub struct Gate {
    position: watch::Sender<Position>,
}

impl Gate {
    /// A closed gate in the given phase.
    pub fn new(phase: &'static str) -> Self {
        let closed = Position { open: false, phase };
        Self { position: watch::Sender::new(closed) }
    }

    /// Opens the gate: from now on readiness depends on the checks.
    pub fn open(&self, phase: &'static str) {
        self.position.send_replace(Position { open: true, phase });
    }

    /// Closes the gate: the service is not ready. On a closed gate, changes only the phase.
    pub fn close(&self, phase: &'static str) {
        self.position.send_replace(Position { open: false, phase });
    }

    /// Whether the gate is open.
    pub fn is_open(&self) -> bool {
        self.position().open
    }

    /// The phase named by the latest [`open`](Self::open), [`close`](Self::close) or
    /// [`new`](Self::new).
    pub fn phase(&self) -> &'static str {
        self.position().phase
    }

    /// The state at one instant.
    pub(crate) fn position(&self) -> Position {
        *self.position.borrow()
    }

    /// Resolves when the gate is closed, at once if it is. Cancel-safe.
    pub(crate) async fn closed(&self) -> Position {
        let mut position = self.position.subscribe();
        *position.wait_for(|position| !position.open).await.expect("`self` keeps the sender alive")
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub(crate) open: bool,
    pub(crate) phase: &'static str,
}
