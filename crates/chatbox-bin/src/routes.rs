//! The HTTP side of the service (contract section 3).

#[cfg(test)]
mod tests;

use crate::auth::{AuthError, Credentials, Identity};
use crate::chat::ChatHandler;
use crate::client_addr;
use crate::disconnect::close_reason;
use crate::history::history;
use crate::service::{Inner, Service};
use crate::telemetry;
use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{ConnectInfo, OriginalUri, Query, State};
use axum::middleware::map_response;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use chatbox_core::Refused;
use chatbox_protocol::{Disconnect, ErrorBody, SUBPROTOCOL};
use chatbox_ws::{Expiry, Rejection, Upgrade};
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, REFERRER_POLICY, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use std::net::SocketAddr;
use std::sync::Arc;

/// When somebody who was turned away should try again, in seconds.
pub(crate) const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

pub(crate) fn router<S: Clone + Send + Sync + 'static>(service: &Service) -> Router<S> {
    let routes = Router::new()
        .route("/", get(page))
        .route("/ws", any(websocket))
        .route("/rooms/{room}/messages", get(history))
        .with_state(Arc::clone(&service.inner));
    let routes = routes.merge(service.inner.health.router());
    guarded(routes.fallback(not_found).method_not_allowed_fallback(method_not_allowed))
}

/// What every answer tells browsers, and what lies between: an address with a token in it is neither kept nor passed on, and nothing is
/// taken for what it is not.
pub(crate) fn guarded<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
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

/// A refusal as clients see it: a status, and `{"error":CODE,"message":TEXT}`.
pub(crate) struct HttpRefusal {
    status: StatusCode,
    code: &'static str,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl HttpRefusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        telemetry::on_refused("bad_request");
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
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

impl From<AuthError> for HttpRefusal {
    fn from(error: AuthError) -> Self {
        telemetry::on_refused("unauthorized");
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", error.to_string())
            .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
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

impl From<Refused> for HttpRefusal {
    fn from(refusal: Refused) -> Self {
        let (status, code) = match refusal {
            Refused::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
            Refused::Full => (StatusCode::SERVICE_UNAVAILABLE, "full"),
            Refused::TooManyOfUser => (StatusCode::TOO_MANY_REQUESTS, "too_many_connections"),
        };
        let refused = Self::new(status, code, refusal.to_string()).with(RETRY_AFTER, RETRY_AFTER_SECONDS);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // The next try should go to another instance, not through this connection.
            refused.with(CONNECTION, HeaderValue::from_static("close"))
        } else {
            refused
        }
    }
}

/// The upgrade. A connection is registered before it is answered: a drain that begins meanwhile knows of it.
async fn websocket(State(inner): State<Arc<Inner>>, request: axum::extract::Request) -> Response {
    let (mut parts, _body) = request.into_parts();
    match upgrade(&inner, &mut parts) {
        Ok(response) => response,
        Err(refused) => *refused,
    }
}

fn upgrade(inner: &Arc<Inner>, parts: &mut Parts) -> Result<Response, Box<Response>> {
    let refuse = |refused: HttpRefusal| Box::new(refused.into_response());
    let credentials = Query::<Credentials>::try_from_uri(&parts.uri).map_err(|error| refuse(error.into()))?.0;
    let upgrade = Upgrade::from_parts(parts).map_err(|rejection| {
        telemetry::on_refused(rejection.code());
        Box::new(rejection.into_response())
    })?;
    if !inner.origins.allows(&parts.headers) {
        telemetry::on_refused(Rejection::Origin.code());
        return Err(Box::new(Rejection::Origin.into_response()));
    }
    let Identity { user, valid_for, rooms } =
        inner.doorman.identify(&parts.headers, credentials).map_err(|error| refuse(error.into()))?;
    let lease = inner.registry.admit(&user).map_err(|refusal| refuse(refusal.into()))?;
    let expiry = valid_for.map(|after| Expiry { after, reason: close_reason(Disconnect::TokenExpired) });
    if let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        let client = client_addr::client(peer.ip(), &parts.headers, &inner.config.server.trusted_proxies);
        tracing::debug!(user_id = user, connection_id = %lease.connection().id(), %client, "Client admitted");
    }
    let inner = Arc::clone(inner);
    let transport = inner.transport.clone();
    Ok(upgrade
        .with_protocol(SUBPROTOCOL)
        .expiring(expiry)
        .serve(&transport, lease, move |connection| ChatHandler::new(&inner, connection, rooms)))
}

/// Whatever has no route.
pub(crate) async fn not_found() -> Response {
    HttpRefusal::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here").into_response()
}

/// A route that has no such method.
async fn method_not_allowed() -> Response {
    HttpRefusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this is there to be read: GET")
        .into_response()
}

/// What this is, and where its endpoints are.
async fn page(headers: HeaderMap, uri: OriginalUri) -> Html<String> {
    let base = uri.path().trim_end_matches('/');
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    // Both come from the request.
    let (base, host) = (escape(base), escape(host));
    Html(include_str!("page.html").replace("{base}", &base).replace("{host}", &host))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
