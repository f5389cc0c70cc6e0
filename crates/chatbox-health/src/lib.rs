//! Liveness and readiness of a service: a gate, bounded checks, and the two probe routes.
#![doc = include_str!("../README.md")]

mod check;
mod gate;
mod health;
mod hysteresis;
#[cfg(feature = "mongodb")]
mod mongo;
mod probe;
mod readiness;

pub use check::{BoxError, Check, CheckError, State, with_state};
pub use gate::Gate;
pub use health::{Builder, Health};
pub use hysteresis::Hysteresis;
#[cfg(feature = "mongodb")]
pub use mongo::{ConnectError, MongoPing};
pub use readiness::{CheckReport, Readiness, Status};
