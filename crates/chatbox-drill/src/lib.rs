//! A black-box grader of graceful shutdown, for any WebSocket server.
#![doc = include_str!("../README.md")]

mod act;
pub mod cli;
mod client;
mod drill;
mod frame;
mod judge;
mod process;
mod profile;
mod record;
mod report;
mod rule;
mod target;
mod wire;

pub use drill::{DrillError, Options, Server, Stop, run};
pub use judge::Verdict;
pub use profile::{BUILTIN, Level, Pattern, Profile, ProfileError};
pub use report::{Grade, Judged, Report};
pub use rule::Rule;
pub use target::{Target, TargetError};
