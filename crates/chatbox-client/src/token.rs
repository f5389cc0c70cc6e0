//! The source of tokens: one for all connections, or a new one for each.

use http::HeaderValue;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The source of the `Authorization` header.
#[derive(Clone)]
pub(crate) enum Token {
    /// No token: the server may accept `?user=`.
    None,
    Fixed(String),
    Provided(Arc<dyn Fn() -> Providing + Send + Sync>),
}

/// The error of a provider.
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

    /// Whether a header can carry the token; a provider's tokens are checked when they are used.
    pub(crate) fn is_valid(&self) -> bool {
        !matches!(self, Self::Fixed(token) if bearer(token).is_err())
    }

    /// Whether the next connection may have another token.
    pub(crate) fn is_renewed(&self) -> bool {
        matches!(self, Self::Provided(_))
    }

    /// The value of the `Authorization` header for the next connection.
    pub(crate) async fn authorization(&self) -> Result<Option<HeaderValue>, BoxError> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(token) => Ok(Some(bearer(token)?)),
            Self::Provided(provider) => Ok(Some(bearer(&provider().await?)?)),
        }
    }
}

/// `Bearer TOKEN`, marked as sensitive so that `Debug` does not print it.
fn bearer(token: &str) -> Result<HeaderValue, http::header::InvalidHeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))?;
    header.set_sensitive(true);
    Ok(header)
}
