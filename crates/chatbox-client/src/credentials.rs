//! The headers that authenticate a connection: a token, and headers of the application.

use http::header::{AUTHORIZATION, CONNECTION, HOST, InvalidHeaderValue, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Where the headers of each connection come from.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) token: Token,
    pub(crate) headers: Option<Provider<HeaderMap>>,
}

/// The source of the `Authorization` header.
#[derive(Clone, Default)]
pub(crate) enum Token {
    /// No token: the server may accept `?user=`.
    #[default]
    None,
    Fixed(String),
    Provided(Provider<String>),
}

/// A function of the application that is called for each connection.
pub(crate) struct Provider<T>(Arc<dyn Fn() -> Providing<T> + Send + Sync>);

/// The error of a provider.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

type Providing<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// The reason why there are no headers for a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("{0}")]
    Token(#[source] BoxError),
    #[error("the token has characters that no HTTP header can carry")]
    TokenText(#[from] InvalidHeaderValue),
    #[error("{0}")]
    Headers(#[source] BoxError),
    #[error("the header provider must not set `{0}`, which belongs to the opening handshake")]
    Reserved(HeaderName),
}

impl Credentials {
    /// Whether the token can be a header; a provider's tokens are checked when they are used.
    pub(crate) fn is_valid(&self) -> bool {
        !matches!(&self.token, Token::Fixed(token) if bearer(token).is_err())
    }

    /// Whether the next connection may have other credentials.
    pub(crate) fn are_renewed(&self) -> bool {
        self.headers.is_some() || matches!(self.token, Token::Provided(_))
    }

    /// The headers of the next connection.
    pub(crate) async fn headers(&self) -> Result<HeaderMap, CredentialsError> {
        let mut headers = match &self.headers {
            Some(provider) => provider.call().await.map_err(CredentialsError::Headers)?,
            None => HeaderMap::new(),
        };
        if let Some(name) = headers.keys().find(|name| is_reserved(name)) {
            return Err(CredentialsError::Reserved(name.clone()));
        }
        let authorization = match &self.token {
            Token::None => return Ok(headers),
            Token::Fixed(token) => bearer(token)?,
            Token::Provided(provider) => bearer(&provider.call().await.map_err(CredentialsError::Token)?)?,
        };
        headers.insert(AUTHORIZATION, authorization);
        Ok(headers)
    }
}

impl<T> Provider<T> {
    pub(crate) fn new<F, Fut, E>(provider: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self(Arc::new(move || {
            let providing = provider();
            Box::pin(async move { providing.await.map_err(Into::into) })
        }))
    }

    async fn call(&self) -> Result<T, BoxError> {
        (self.0)().await
    }
}

impl<T> Clone for Provider<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// `Bearer TOKEN`, marked as sensitive so that `Debug` does not print it.
fn bearer(token: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// Headers that RFC 6455 section 4.1 fixes.
fn is_reserved(name: &HeaderName) -> bool {
    [HOST, CONNECTION, UPGRADE].contains(name) || name.as_str().starts_with("sec-websocket-")
}
