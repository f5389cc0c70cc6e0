//! The health of a service through the library and over HTTP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod blocked;
mod closures;
mod hysteresis;
mod model;
#[cfg(feature = "mongodb")]
mod mongo;
mod readiness;
mod router;
mod support;
