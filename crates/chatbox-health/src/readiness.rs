//! The answer of a readiness probe as a value and as an HTTP response.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::CheckError;

/// Whether the service is ready for traffic, and which check is the reason if it is not.
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
    /// The latest result of each check, by name.
    pub checks: BTreeMap<Cow<'static, str>, CheckReport>,
}

impl Readiness {
    /// Whether the service is ready for traffic.
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

/// The status of the service or of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
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

/// The latest result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckReport {
    /// Ready if the latest run passed, or if too few runs have failed in a row
    /// ([`Hysteresis`](crate::Hysteresis)).
    pub status: Status,
    /// The duration of the latest run in whole milliseconds; absent before the first has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Why the latest run did not pass; absent if it did. A check that is still ready can have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<CheckError>,
}
