//! The answer of a readiness probe, as a value and as an HTTP response.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::CheckError;

/// Whether the service wants traffic, and why not.
///
/// As an HTTP response: 200 when ready, else 503, with this value as JSON and
/// `Cache-Control: no-store`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Readiness {
    /// [`Status::Ready`] when the gate is open and every check passes.
    pub status: Status,
    /// The phase that the gate is in.
    pub phase: &'static str,
    /// What is known of each check, by name.
    pub checks: BTreeMap<Cow<'static, str>, CheckReport>,
}

impl Readiness {
    /// Whether the service wants traffic.
    pub fn is_ready(&self) -> bool {
        self.status == Status::Ready
    }
}

impl IntoResponse for Readiness {
    fn into_response(self) -> Response {
        let code = match self.status {
            Status::Ready => StatusCode::OK,
            Status::NotReady => StatusCode::SERVICE_UNAVAILABLE,
        };
        (code, [(header::CACHE_CONTROL, "no-store")], Json(self)).into_response()
    }
}

/// The verdict on the service or on one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Status {
    /// Serializes as `"ready"`.
    #[serde(rename = "ready")]
    Ready,
    /// Serializes as `"not ready"`.
    #[serde(rename = "not ready")]
    NotReady,
}

impl Status {
    pub(crate) fn ready_if(ready: bool) -> Self {
        if ready { Self::Ready } else { Self::NotReady }
    }
}

/// What is known of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Whether the check counts as passing: by its latest run, or because too few have failed in a
    /// row ([`Hysteresis`](crate::Hysteresis)).
    pub status: Status,
    /// How long its latest run took, in whole milliseconds; absent before its first run has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Why its latest run did not pass; absent when it did. A check that is still ready can have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<CheckError>,
}
