//! How a shutdown went, as a value.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::machine::Machine;
use crate::{Cause, Fault, Phase, Signal, Stage};

/// How a shutdown went. Serialised, it is the object for a log line or a file.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
#[must_use = "the exit code of the process follows from the report"]
pub struct Report {
    /// The result in one word.
    pub outcome: Outcome,
    /// What requested the shutdown first; `None` (null) if a task ended by itself.
    pub signal: Option<Cause>,
    /// Milliseconds from the first request to the end.
    pub duration_ms: u64,
    /// The phases between running and stopped that were entered, in order.
    pub phases: Vec<PhaseDuration>,
    /// What went wrong, in the order in which it was noticed.
    #[serde(rename = "participants")]
    pub faults: Vec<Fault>,
    /// The stages that a caller's deadline has shortened; left out of the JSON if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shortened: Vec<Stage>,
}

impl Report {
    /// The exit code for the program: 0 for clean and for deadline, 3 for failed, and for forced 128
    /// plus the number of the second signal (143 for SIGTERM, 130 for SIGINT).
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self.outcome {
            Outcome::Clean | Outcome::Deadline => 0,
            Outcome::Failed => 3,
            Outcome::Forced { by } => by.exit_code(),
        }
    }

    /// Ends the process with [`exit_code`](Self::exit_code), now.
    ///
    /// A thread that is blocked does not delay the exit, while returning from `#[tokio::main]` waits
    /// for every worker thread and may outlast the grace period. Destructors on the stack do not run:
    /// drop the guards of log writers before. A program that needs its destructors builds the runtime
    /// itself and ends it with `Runtime::shutdown_timeout`.
    pub fn exit(self) -> ! {
        std::process::exit(self.exit_code().into())
    }

    pub(crate) fn new(machine: &Machine, faults: Vec<Fault>, cut_short: bool) -> Self {
        let phases: Vec<_> = machine.spans().filter(|(phase, _)| *phase != Phase::Running).collect();
        Self {
            outcome: match machine.forced_by() {
                Some(by) => Outcome::Forced { by },
                None if !faults.is_empty() => Outcome::Failed,
                None if cut_short => Outcome::Deadline,
                None => Outcome::Clean,
            },
            signal: machine.cause(),
            duration_ms: milliseconds(phases.iter().map(|(_, duration)| *duration).sum()),
            phases: phases
                .into_iter()
                .map(|(name, duration)| PhaseDuration { name, duration_ms: milliseconds(duration) })
                .collect(),
            faults,
            shortened: machine.shortened(),
        }
    }
}

/// How a shutdown went, in one word. The worst result wins, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Everything was done in time.
    Clean,
    /// A participant cut something short so as to end in time, and nothing was lost by it.
    Deadline,
    /// A participant or a task failed, or something was left open: work was left undone.
    Failed,
    /// A second signal came. What was left in the phases before flushing was cut.
    Forced {
        /// The second signal; SIGTERM for [`Trigger::force`](crate::Trigger::force).
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
#[non_exhaustive]
pub struct PhaseDuration {
    /// The phase.
    pub name: Phase,
    /// Milliseconds spent in it.
    pub duration_ms: u64,
}

pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
