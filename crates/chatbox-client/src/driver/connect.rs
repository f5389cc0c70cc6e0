//! One try to get a connection: token, byte stream, opening handshake.

use super::socket::Socket;
use crate::Reason;
use crate::dial::Dialer;
use crate::server::Server;
use crate::token::Token;
use chatbox_protocol::{ErrorBody, SUBPROTOCOL};
use http::header::{AUTHORIZATION, RETRY_AFTER, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderValue, Response};
use std::time::Duration;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// Read and write buffers: small, because a process may hold thousands of clients.
const BUFFER: usize = 4 << 10;

/// The longest message that a server can make a client hold.
const MAX_MESSAGE: usize = 16 << 20;

/// Opens a connection.
///
/// # Errors
///
/// Why there is none.
pub(super) async fn open(server: &Server, token: &Token, dialer: &Dialer) -> Result<Socket, Reason> {
    let authorization = token.authorization().await.map_err(|error| Reason::Token(error.to_string()))?;
    let stream = dialer.dial(server.target.clone()).await.map_err(|error| Reason::Network(error.to_string()))?;
    let mut request = server.uri.clone().into_client_request().map_err(reason)?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    request.headers_mut().extend(authorization.map(|authorization| (AUTHORIZATION, authorization)));
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_frame_size(Some(MAX_MESSAGE))
        .max_message_size(Some(MAX_MESSAGE));
    let (stream, _) = client_async_with_config(request, stream, Some(config)).await.map_err(reason)?;
    Ok(Socket::new(stream))
}

fn reason(error: Error) -> Reason {
    match error {
        Error::Http(response) => refused(&response),
        Error::Io(error) => Reason::Network(error.to_string()),
        // Also a connection that ended before the response did.
        error => Reason::Network(format!("opening handshake: {error}")),
    }
}

fn refused(response: &Response<Option<Vec<u8>>>) -> Reason {
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    // As much of the body as came along with the head: for people only, so no more is waited for.
    let body = response.body().as_deref().and_then(|body| serde_json::from_slice::<ErrorBody<'_>>(body).ok());
    let (error, message) = body.map_or_else(Default::default, |body| (body.error.into(), body.message.into()));
    Reason::Refused {
        status: response.status().as_u16(),
        error,
        message,
        retry_after: retry_after.map(Duration::from_secs),
    }
}
