//! The HTTP routes of the service (contract section 3).

mod history;
mod page;
#[cfg(test)]
mod tests;
mod websocket;

use crate::refusal::HttpRefusal;
use crate::state::ServiceState;
use axum::Router;
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use std::sync::Arc;

/// The routes below the path prefix.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(state: &Arc<ServiceState>) -> Router<S> {
    let routes = Router::new()
        .route("/", get(page::page))
        .route("/ws", any(websocket::websocket))
        .route("/rooms/{room}/messages", get(history::history))
        .with_state(Arc::clone(state))
        .merge(state.health.router());
    with_security_headers(routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed))
}

/// Adds the headers by which browsers and caches keep addresses, which may hold a token, to themselves, and take nothing for what it is
/// not.
pub(crate) fn with_security_headers<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    const HEADERS: [(HeaderName, HeaderValue); 4] = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                 frame-ancestors 'none'",
            ),
        ),
    ];
    router.layer(map_response(async |mut response: Response| {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            for (name, value) in HEADERS {
                response.headers_mut().entry(name).or_insert(value);
            }
        }
        response
    }))
}

/// The answer to a path that has no route.
pub(crate) async fn not_found() -> Response {
    HttpRefusal::new(StatusCode::NOT_FOUND, "not_found", "no such path").into_response()
}

/// The answer to a route that does not have the method.
async fn method_not_allowed() -> Response {
    HttpRefusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path is read with GET").into_response()
}
