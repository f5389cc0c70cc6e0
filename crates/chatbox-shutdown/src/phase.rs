//! The phases of a program's life, and the three stages of its shutdown.

use std::fmt;

use serde::Serialize;

/// A phase of the program's life. Phases only go forward, in this order; some may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The program serves; no shutdown was requested.
    Running,
    /// The program serves and is not ready, so that load balancers stop sending new clients.
    LameDuck,
    /// Open work is completed.
    Draining,
    /// Accepted work is made durable, and buffers are written out.
    Flushing,
    /// The shutdown is complete; the process should exit.
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

    /// The position in [`Phase::ALL`], from 0 for running to 4 for stopped: the value of a gauge.
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

/// A phase that has participants: the three between running and stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// [`Phase::LameDuck`].
    LameDuck,
    /// [`Phase::Draining`].
    Draining,
    /// [`Phase::Flushing`].
    Flushing,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 3] = [Self::LameDuck, Self::Draining, Self::Flushing];

    /// The phase of that name.
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self {
            Self::LameDuck => Phase::LameDuck,
            Self::Draining => Phase::Draining,
            Self::Flushing => Phase::Flushing,
        }
    }
}

impl From<Stage> for Phase {
    fn from(stage: Stage) -> Self {
        stage.phase()
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.phase().fmt(f)
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

    #[test]
    fn stages_are_the_phases_between_running_and_stopped() {
        assert_eq!(Stage::ALL.map(Stage::phase), Phase::ALL[1..4]);
        for stage in Stage::ALL {
            assert_eq!(serde_json::json!(stage), stage.to_string());
        }
    }
}
