//! Graceful shutdown in phases, for any tokio program.
#![doc = include_str!("../README.md")]

#[cfg(not(unix))]
compile_error!("chatbox-shutdown listens for SIGTERM and SIGINT: it is for Unix only");

mod budget;
mod driver;
mod error;
pub mod escalation;
pub mod machine;
mod participant;
mod phase;
mod phase_tasks;
mod plan;
mod report;
mod requests;
mod shutdown;

pub use budget::Budget;
pub use error::Error;
pub use escalation::Signal;
pub use machine::Cause;
pub use participant::{BoxError, Ending};
pub use phase::{Phase, Phases};
pub use plan::Plan;
pub use report::{Fault, FaultKind, Outcome, PhaseDuration, Report};
pub use requests::Trigger;
pub use shutdown::{Armed, Shutdown};
