//! The health of a service, asked as a library and over HTTP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hysteresis;
mod model;
#[cfg(feature = "mongodb")]
mod mongo;
mod readiness;
mod router;
mod support;
