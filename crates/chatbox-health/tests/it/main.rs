//! The health of a service, asked as a library and over HTTP.

mod model;
#[cfg(feature = "mongodb")]
mod mongo;
mod readiness;
mod router;
mod support;
