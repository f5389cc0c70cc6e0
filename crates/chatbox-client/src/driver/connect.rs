//! One attempt to connect: credentials, byte stream, opening handshake, `welcome`.

use super::socket::{Received, Socket};
use crate::Reason;
use crate::credentials::{Credentials, CredentialsError};
use crate::dial::Dialer;
use crate::expiry::expires_at;
use crate::server::Server;
use chatbox_protocol::{ErrorBody, SUBPROTOCOL};
use http::header::{AUTHORIZATION, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, Response};
use std::time::{Duration, SystemTime};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};

/// The size of read and write buffers in bytes: small, because a process may hold thousands of clients.
const BUFFER: usize = 4 << 10;

/// The longest message that is read, in bytes.
const MAX_MESSAGE: usize = 16 << 20;

/// A connection that is established.
pub(super) struct Opened {
    pub(super) socket: Socket,
    /// The first text.
    pub(super) welcome: Utf8Bytes,
    /// The expiry of its token, if there is one that can be read.
    pub(super) expires_at: Option<SystemTime>,
}

/// Opens a connection and reads its first text.
///
/// # Errors
///
/// The reason why there is no connection.
pub(super) async fn open(server: &Server, credentials: &Credentials, dialer: &Dialer) -> Result<Opened, Reason> {
    let headers = credentials.headers().await.map_err(no_credentials)?;
    let expires_at = headers.get(AUTHORIZATION).and_then(expires_at);
    let stream = dialer.dial(server.target.clone()).await.map_err(|error| Reason::Network(error.to_string()))?;
    let mut request = server.uri.clone().into_client_request().map_err(reason)?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    request.headers_mut().extend(headers);
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_frame_size(Some(MAX_MESSAGE))
        .max_message_size(Some(MAX_MESSAGE));
    let (stream, _) = client_async_with_config(request, stream, Some(config)).await.map_err(reason)?;
    let mut socket = Socket::new(stream);
    loop {
        match socket.exchange(true, || None).await {
            Received::Text(welcome) => return Ok(Opened { socket, welcome, expires_at }),
            Received::Control => {}
            Received::Close(reason) => {
                socket.finish(|_| {}).await;
                return Err(reason);
            }
            Received::End(reason) => return Err(reason),
        }
    }
}

fn no_credentials(error: CredentialsError) -> Reason {
    let text = error.to_string();
    match error {
        CredentialsError::Token(_) | CredentialsError::TokenText(_) => Reason::Token(text),
        CredentialsError::Headers(_) | CredentialsError::Reserved(_) => Reason::Headers(text),
    }
}

fn reason(error: Error) -> Reason {
    match error {
        Error::Http(response) => refused(&response),
        Error::Io(error) => Reason::Network(error.to_string()),
        // Also a connection that ended within the response.
        error => Reason::Network(format!("opening handshake: {error}")),
    }
}

fn refused(response: &Response<Option<Vec<u8>>>) -> Reason {
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    // As much of the body as came with the head: it is for people, so the rest is not awaited.
    let body = response.body().as_deref().and_then(|body| serde_json::from_slice::<ErrorBody<'_>>(body).ok());
    let (error, message) = body.map_or_else(Default::default, |body| (body.error.into(), body.message.into()));
    Reason::Refused {
        status: response.status().as_u16(),
        error,
        message,
        retry_after: retry_after.map(Duration::from_secs),
    }
}
