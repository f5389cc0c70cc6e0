//! The checks of the opening handshake (RFC 6455 section 4.2.1): a pure function of the request's head.

use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::{Method, StatusCode, Version};

/// Why a request is not upgraded. The response has a status and the JSON body `{"error":CODE,"message":TEXT}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// Not a GET (section 4.1, item 2).
    #[error("the method must be GET")]
    Method,
    /// Not HTTP/1.1.
    #[error("the HTTP version must be 1.1")]
    HttpVersion,
    /// Not exactly one `Host` (item 4).
    #[error("exactly one Host header is needed")]
    Host,
    /// No `websocket` in `Upgrade` (item 5).
    #[error("the Upgrade header must name websocket")]
    Upgrade,
    /// No `upgrade` in `Connection` (item 6).
    #[error("the Connection header must name upgrade")]
    Connection,
    /// Not exactly one `Sec-WebSocket-Key` of 16 bytes in base64 (item 7).
    #[error("exactly one Sec-WebSocket-Key of 16 bytes in base64 is needed")]
    Key,
    /// Not version 13 (item 9): answered with 426 and the supported version (section 4.4).
    #[error("the WebSocket version must be 13")]
    WebSocketVersion,
    /// The request announces a body.
    #[error("an upgrade request has no body")]
    Body,
    /// The HTTP server does not support upgrades of this connection.
    #[error("this connection cannot be upgraded")]
    NotUpgradable,
    /// The origin of the request is not allowed; returned by applications that check an [`OriginPolicy`](crate::OriginPolicy).
    #[error("this origin is not allowed")]
    Origin,
}

impl Rejection {
    /// The HTTP status: 400, 403 or 426.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Origin => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The code in the response body and in metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::WebSocketVersion => "unsupported_version",
            Self::Origin => "origin_not_allowed",
            _ => "bad_upgrade",
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        // Both texts are fixed and free of characters that JSON would escape.
        let body = format!(r#"{{"error":"{}","message":"{self}"}}"#, self.code());
        let mut response = (self.status(), [(header::CONTENT_TYPE, "application/json")], body).into_response();
        if self == Self::WebSocketVersion {
            // RFC 9110 section 15.5.22 requires the first two in any 426.
            for (name, value) in
                [(header::UPGRADE, "websocket"), (header::CONNECTION, "upgrade"), (header::SEC_WEBSOCKET_VERSION, "13")]
            {
                response.headers_mut().insert(name, header::HeaderValue::from_static(value));
            }
        }
        response
    }
}

/// Checks every requirement of section 4.2.1 on the request's head.
pub(crate) fn check(request: &Parts) -> Result<(), Rejection> {
    let headers = &request.headers;
    if request.method != Method::GET {
        return Err(Rejection::Method);
    }
    if request.version != Version::HTTP_11 {
        return Err(Rejection::HttpVersion);
    }
    if sole(headers, &header::HOST).is_none_or(|host| host.is_empty()) {
        return Err(Rejection::Host);
    }
    if !names(headers, &header::UPGRADE, "websocket") {
        return Err(Rejection::Upgrade);
    }
    if !names(headers, &header::CONNECTION, "upgrade") {
        return Err(Rejection::Connection);
    }
    if sole(headers, &header::SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(Rejection::WebSocketVersion);
    }
    if !sole(headers, &header::SEC_WEBSOCKET_KEY).is_some_and(is_key) {
        return Err(Rejection::Key);
    }
    let has_length = headers.get_all(header::CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0");
    if has_length || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(Rejection::Body);
    }
    Ok(())
}

/// The subprotocols that the client offers, in its order of preference (section 4.1, item 10).
pub(crate) fn offered(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL)
}

/// The value of a header that occurs exactly once.
fn sole<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.as_bytes();
    values.next().is_none().then_some(value)
}

fn names(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|found| found.eq_ignore_ascii_case(token))
}

fn tokens<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Whether this is the base64 of 16 bytes: 22 characters of its alphabet and two of padding.
fn is_key(key: &[u8]) -> bool {
    let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    matches!(key, [digits @ .., b'=', b'='] if digits.len() == 22 && digits.iter().all(alphabet))
}
