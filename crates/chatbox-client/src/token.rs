//! Where tokens come from: one for good, or a new one before each connect.

use http::HeaderValue;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Who the client is.
#[derive(Clone)]
pub(crate) enum Token {
    /// Nobody says so: the server may believe `?user=`.
    None,
    Fixed(String),
    Provided(Arc<dyn Fn() -> Providing + Send + Sync>),
}

/// What a token provider may fail with.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

type Providing = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

impl Token {
    pub(crate) fn provided<F, Fut, E>(provider: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self::Provided(Arc::new(move || {
            let providing = provider();
            Box::pin(async move { providing.await.map_err(Into::into) })
        }))
    }

    /// Whether a header can carry it, as far as that is known.
    pub(crate) fn is_valid(&self) -> bool {
        !matches!(self, Self::Fixed(token) if bearer(token).is_err())
    }

    /// Whether the next connect may have another token.
    pub(crate) fn is_renewed(&self) -> bool {
        matches!(self, Self::Provided(_))
    }

    /// The value of the `Authorization` header for the next connect.
    pub(crate) async fn authorization(&self) -> Result<Option<HeaderValue>, BoxError> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(token) => Ok(Some(bearer(token)?)),
            Self::Provided(provider) => Ok(Some(bearer(&provider().await?)?)),
        }
    }
}

/// `Bearer TOKEN`, marked so that it is not shown.
fn bearer(token: &str) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))?;
    header.set_sensitive(true);
    Ok(header)
}
