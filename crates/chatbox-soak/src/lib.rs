//! A fleet of chat clients that checks from outside what a chatbox service promises.
//!
#![doc = include_str!("../README.md")]

mod error;
mod fleet;
mod history;
mod ledger;
mod observations;
mod plan;
mod progress;
mod report;
mod samples;
mod soak;
mod stubborn;

pub use error::SoakError;
pub use progress::Progress;
pub use report::SoakReport;
pub use samples::Quantiles;
pub use soak::Soak;
