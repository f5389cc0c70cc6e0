//! The authentication hook of an embedding program.

use crate::auth::Identity;
use http::request::Parts;
use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// How long the hook may take.
const HOOK_TIME: Duration = Duration::from_secs(10);

/// Why a request is not authenticated. The texts are sent to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// The request cannot be read: 400 `bad_request`.
    #[error("{0}")]
    Malformed(Cow<'static, str>),
    /// The request identifies no user: 401 `unauthorized`.
    #[error("{0}")]
    Unauthenticated(Cow<'static, str>),
    /// The user may not use the chat: 403 `not_allowed`.
    #[error("{0}")]
    Forbidden(Cow<'static, str>),
    /// Authentication is not possible now, for example because a session database does not answer: 503 `authentication_unavailable`, with
    /// `Retry-After`.
    #[error("{0}")]
    Unavailable(Cow<'static, str>),
}

type Outcome = Pin<Box<dyn Future<Output = Result<Identity, AuthenticationError>> + Send>>;

/// The authentication hook of an embedding program.
#[derive(Clone)]
pub(crate) struct Hook(Arc<dyn Fn(&Parts) -> Outcome + Send + Sync>);

impl Hook {
    /// A hook that calls a function.
    pub(crate) fn new<F, W>(hook: F) -> Self
    where
        F: Fn(&Parts) -> W + Send + Sync + 'static,
        W: Future<Output = Result<Identity, AuthenticationError>> + Send + 'static,
    {
        Self(Arc::new(move |parts| Box::pin(hook(parts))))
    }

    /// The user of a request.
    ///
    /// # Errors
    /// That of the hook; or that it took too long, or returned an identity that cannot be used.
    pub(crate) async fn identify(&self, parts: &Parts) -> Result<Identity, AuthenticationError> {
        let identified = timeout(HOOK_TIME, (self.0)(parts)).await;
        let identity =
            identified.map_err(|_| AuthenticationError::Unavailable("authentication took too long".into()))??;
        if identity.expires.is_some_and(|at| at <= SystemTime::now()) {
            return Err(AuthenticationError::Unauthenticated("the session has expired".into()));
        }
        identity.checked().map_err(|error| AuthenticationError::Forbidden(error.to_string().into()))
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}
