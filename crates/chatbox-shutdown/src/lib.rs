//! Graceful shutdown in phases, for any tokio program.
#![doc = include_str!("../README.md")]

#[cfg(not(unix))]
compile_error!("chatbox-shutdown listens for SIGTERM and SIGINT: it is for Unix only");

mod budget;
mod crew;
mod driver;
mod error;
pub mod escalation;
mod inbox;
pub mod machine;
mod participant;
mod phase;
mod plan;
mod report;
mod shutdown;

pub use budget::Budget;
pub use error::Error;
pub use escalation::Signal;
pub use inbox::Trigger;
pub use machine::Cause;
pub use participant::{BoxError, Ending};
pub use phase::{Phase, Phases};
pub use plan::Plan;
pub use report::{Fault, FaultKind, Outcome, PhaseDuration, Report};
pub use shutdown::{Armed, Shutdown};
