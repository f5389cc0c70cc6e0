//! Authentication of requests: by tokens and names, or by the hook of an embedding program.

use crate::auth::{AuthError, Credentials, Identity};
use crate::hook::AuthenticationError;
use crate::refusal::HttpRefusal;
use crate::state::ServiceState;
use crate::telemetry;
use axum::extract::{ConnectInfo, Query};
use http::StatusCode;
use http::header::{HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use std::net::{IpAddr, SocketAddr};

impl ServiceState {
    /// The user of a request.
    ///
    /// # Errors
    /// [`AuthenticationError`].
    pub(crate) async fn authenticate(&self, request: &Parts) -> Result<Identity, AuthenticationError> {
        if let Some(hook) = &self.hook {
            return hook.identify(request).await;
        }
        let credentials = Query::<Credentials>::try_from_uri(&request.uri)
            .map_err(|error| AuthenticationError::Malformed(error.body_text().into()))?;
        Ok(self.authenticator.identify(peer(request), &request.headers, credentials.0)?)
    }
}

/// The address from which the connection of a request comes, where the server provides it.
pub(crate) fn peer(request: &Parts) -> Option<IpAddr> {
    request.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}

impl From<AuthError> for AuthenticationError {
    fn from(error: AuthError) -> Self {
        Self::Unauthenticated(error.to_string().into())
    }
}

/// Counted in the metrics.
impl From<AuthenticationError> for HttpRefusal {
    fn from(error: AuthenticationError) -> Self {
        let (status, code) = match &error {
            AuthenticationError::Malformed(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            AuthenticationError::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "unauthorized"),
            AuthenticationError::Forbidden(_) => (StatusCode::FORBIDDEN, "not_allowed"),
            AuthenticationError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "authentication_unavailable"),
        };
        telemetry::on_refused(code);
        let refusal = Self::new(status, code, error.to_string());
        match error {
            AuthenticationError::Unauthenticated(_) => {
                refusal.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            AuthenticationError::Unavailable(_) => refusal.retry_later(),
            _ => refusal,
        }
    }
}
