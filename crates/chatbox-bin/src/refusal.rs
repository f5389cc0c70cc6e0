//! Refused HTTP requests: a status, and the JSON body `{"error":CODE,"message":TEXT}`.

use crate::telemetry;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use chatbox_core::{Refused, Registry};
use chatbox_protocol::ErrorBody;
use http::StatusCode;
use http::header::{CONNECTION, HeaderName, HeaderValue, RETRY_AFTER};

/// The `Retry-After` of refusals that pass, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// A refused request. Becomes a response; counted in the metrics by the functions that make it, unless they say otherwise.
pub(crate) struct HttpRefusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl HttpRefusal {
    /// A refusal that is not counted.
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    /// 400: a parameter that cannot be used, which `message` names.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        telemetry::on_refused("bad_request");
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// 403: a room that the client's token does not name.
    pub(crate) fn room_not_allowed() -> Self {
        telemetry::on_refused("not_allowed");
        Self::new(StatusCode::FORBIDDEN, "not_allowed", "you may not enter this room")
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds `Retry-After`.
    pub(crate) fn retry_later(self) -> Self {
        self.with(RETRY_AFTER, RETRY_AFTER_SECONDS)
    }
}

impl IntoResponse for HttpRefusal {
    fn into_response(self) -> Response {
        let body = ErrorBody::new(self.code, self.message);
        let mut response = (self.status, axum::Json(body)).into_response();
        response.headers_mut().extend(self.headers.into_iter().map(|(name, value)| (Some(name), value)));
        response
    }
}

impl From<QueryRejection> for HttpRefusal {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

impl From<PathRejection> for HttpRefusal {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(rejection.body_text())
    }
}

/// Counted by the registry's observer.
impl From<Refused> for HttpRefusal {
    fn from(refusal: Refused) -> Self {
        let status = match refusal {
            Refused::TooManyConnections => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let refused = Self::new(status, refusal.as_str(), refusal.to_string());
        let refused = match refusal {
            // By then the connections whose probes were pending have answered or given way.
            Refused::TooManyConnections => {
                refused.with(RETRY_AFTER, Registry::VACANCY_TIMEOUT.as_secs().saturating_add(1).into())
            }
            _ => refused.retry_later(),
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // The next try should reach another instance, which it cannot through this connection.
            refused.with(CONNECTION, HeaderValue::from_static("close"))
        } else {
            refused
        }
    }
}
