//! One HTTP GET over the streams of a dialer (feature `http`): for the history and the probes of a service.

use crate::dial::{Dialer, Target};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use tokio::task::JoinSet;

/// The largest body that [`http_get`] accepts, in bytes.
const MAX_BODY: usize = 64 << 20;

/// The error of [`http_get`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL does not begin with `http://` or `https://`, or has no host.
    #[error("`{0}` is not a URL of http:// or https:// with a host")]
    Url(Uri),
    /// There is no connection.
    #[error("no connection")]
    Dial(#[source] io::Error),
    /// The token has characters that a header cannot carry.
    #[error("the token has characters that no HTTP header can carry")]
    Token,
    /// The exchange failed.
    #[error("no answer")]
    Exchange(#[source] hyper::Error),
    /// The body broke off, or is too long.
    #[error("the answer is incomplete or longer than {MAX_BODY} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends one GET over a connection of its own and reads the whole answer. No redirects, no cookies, no time limit: the
/// caller bounds the time. Cancel safe.
///
/// # Errors
///
/// When there is no connection, or no complete answer of at most 64 MiB.
pub async fn http_get(dialer: &Dialer, uri: &Uri, token: Option<&str>) -> Result<Response<Bytes>, HttpError> {
    let target = Target::from_uri(uri).ok_or_else(|| HttpError::Url(uri.clone()))?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = uri.path_and_query().map_or_else(|| Uri::from_static("/"), |path| path.clone().into());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(host).map_err(|_| HttpError::Url(uri.clone()))?;
    request.headers_mut().insert(HOST, host);
    if let Some(token) = token {
        let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| HttpError::Token)?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    let stream = dialer.dial(target).await.map_err(HttpError::Dial)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(HttpError::Exchange)?;
    // Ends with this future.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let (head, body) = sender.send_request(request).await.map_err(HttpError::Exchange)?.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(HttpError::Body)?;
    Ok(Response::from_parts(head, body.to_bytes()))
}
