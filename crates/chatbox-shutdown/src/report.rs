//! How a shutdown went.

use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::task::JoinError;

use crate::machine::Machine;
use crate::{BoxError, Cause, Phase, Signal};

/// How a shutdown went, as one value: serialised, it is the object for a log line or a file.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The whole in one word.
    pub outcome: Outcome,
    /// What asked for the shutdown first; `None` if the server ended by itself.
    pub signal: Option<Cause>,
    /// Milliseconds from the first signal to the end.
    pub duration_ms: u64,
    /// The phases that were gone through between running and stopped, in order.
    pub phases: Vec<PhaseDuration>,
    /// What went wrong, in the order in which it was noticed.
    pub participants: Vec<Fault>,
}

impl Report {
    /// The exit code for the program: 0 for clean and for deadline, 3 for failed, 130 or 143 for
    /// forced, by the kind of the second signal.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.outcome {
            Outcome::Clean | Outcome::Deadline => 0,
            Outcome::Failed => 3,
            Outcome::Forced { by } => by.exit_code(),
        }
    }

    pub(crate) fn new(machine: &Machine, participants: Vec<Fault>, cut_short: bool) -> Self {
        let phases: Vec<_> = machine.spans().filter(|(phase, _)| *phase != Phase::Running).collect();
        Self {
            outcome: match machine.forced_by() {
                Some(by) => Outcome::Forced { by },
                None if !participants.is_empty() => Outcome::Failed,
                None if cut_short => Outcome::Deadline,
                None => Outcome::Clean,
            },
            signal: machine.cause(),
            duration_ms: milliseconds(phases.iter().map(|(_, duration)| *duration).sum()),
            phases: phases
                .into_iter()
                .map(|(name, duration)| PhaseDuration { name, duration_ms: milliseconds(duration) })
                .collect(),
            participants,
        }
    }
}

/// How a shutdown went, in one word. The worst that happened wins, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done in time.
    Clean,
    /// A participant cut something short so as to end in time, and nothing was lost by it.
    Deadline,
    /// A participant or the server failed: work was left undone.
    Failed,
    /// A second signal came. What was left in the phases before flushing was cut.
    Forced {
        /// The second signal.
        by: Signal,
    },
}

impl Outcome {
    /// The name in the report: `clean`, `deadline`, `failed` or `forced`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Deadline => "deadline",
            Self::Failed => "failed",
            Self::Forced { .. } => "forced",
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How long a phase took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PhaseDuration {
    /// The phase.
    pub name: Phase,
    /// Milliseconds spent in it.
    pub duration_ms: u64,
}

/// A participant that did not do what it was there for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The name it was registered with; `server` is the server, `lame_duck_until` a condition.
    #[serde(rename = "name")]
    pub participant: String,
    /// The phase in which it was noticed.
    pub phase: Phase,
    /// What kind of fault it is.
    pub kind: FaultKind,
    /// What is known about it: the panic's message, or the error with all its sources.
    pub message: String,
}

/// In which way a participant failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It panicked.
    Panic,
    /// It returned an error.
    Error,
    /// It had not ended when its time was over, and was dropped.
    Overrun,
}

impl Fault {
    pub(crate) fn error(participant: String, phase: Phase, error: &BoxError) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            message = format!("{message}: {error}");
            source = error.source();
        }
        Self { participant, phase, kind: FaultKind::Error, message }
    }

    /// `None` if the task did not panic but was aborted.
    pub(crate) fn panic(participant: String, phase: Phase, error: JoinError) -> Option<Self> {
        let payload = error.try_into_panic().ok()?;
        let message = match payload.downcast::<String>() {
            Ok(message) => *message,
            Err(payload) => payload.downcast_ref::<&str>().unwrap_or(&"no message").to_string(),
        };
        Some(Self { participant, phase, kind: FaultKind::Panic, message })
    }

    pub(crate) fn overrun(participant: String, phase: Phase, after: Duration) -> Self {
        let message = format!("had not ended after {} ms", milliseconds(after));
        Self { participant, phase, kind: FaultKind::Overrun, message }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
