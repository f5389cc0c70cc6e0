//! Graceful shutdown in phases, for any tokio program.
#![doc = include_str!("../README.md")]

#[cfg(not(unix))]
compile_error!("chatbox-shutdown handles Unix signals: it does not build elsewhere");

mod budget;
mod cause;
mod driver;
mod early_signals;
mod error;
mod escalation;
mod fault;
mod listener;
pub mod machine;
mod participant;
mod phase;
mod phases;
mod plan;
mod report;
mod requests;
mod shutdown;
mod signal;
mod tasks;

pub use budget::Budget;
pub use cause::Cause;
pub use early_signals::EarlySignals;
pub use error::Error;
pub use fault::{Fault, FaultKind};
pub use participant::{BoxError, Ending, TaskOutput};
pub use phase::{Phase, Stage};
pub use phases::Phases;
pub use plan::Plan;
pub use report::{Outcome, PhaseDuration, Report};
pub use requests::Trigger;
pub use shutdown::Shutdown;
pub use signal::Signal;
