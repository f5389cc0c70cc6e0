//! Any bytes from a client to an echo server: request heads pass hyper and the checks of the handshake, which are compared with
//! tungstenite's, and the rest passes a session.
#![no_main]

use axum::response::{IntoResponse, Response};
use chatbox_core::{CloseReason, Connection, Limits, Registry};
use chatbox_ws::{ConnectionExt, Handler, Message, Rejection, Settings, Transport, Upgrade};
use http::{Request, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::io::Cursor;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tungstenite::error::{Error, ProtocolError};
use tungstenite::handshake::server::create_response;
use tungstenite::protocol::{Role, WebSocket};

struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        if let Message::Text(text) = message {
            connection.send_text(text);
        }
        Ok(())
    }
}

thread_local! {
    /// One transport for all inputs, with the runtime of its clock.
    static SERVER: (tokio::runtime::Runtime, Registry, Transport) = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let _guard = runtime.enter();
        let transport = Transport::new(Settings::default());
        (runtime, Registry::new(Limits::default(), ()), transport)
    };
}

fuzz_target!(|data: &[u8]| {
    SERVER.with(|(runtime, registry, transport)| {
        let accepted = RefCell::new(None);
        let answer = runtime.block_on(answer(data, async |request| {
            let theirs = create_response(&head(&request));
            let (mut parts, _) = request.into_parts();
            let ours = Upgrade::from_parts(&mut parts);
            compare(ours.as_ref().err().copied(), &theirs);
            match ours {
                Ok(upgrade) => {
                    *accepted.borrow_mut() =
                        theirs.ok().map(|response| response.headers()[header::SEC_WEBSOCKET_ACCEPT].clone());
                    let lease = registry.admit("anonymous").expect("there is room");
                    upgrade.with_protocol("chatbox.v1").serve(transport, lease, |_| Echo)
                }
                Err(rejection) => rejection.into_response(),
            }
        }));
        assert!(registry.is_empty(), "a connection has outlived its client");
        check(&answer, accepted.into_inner().as_ref());
    });
});

/// The answer of a server to a client that sends `data` and then shuts its side.
async fn answer(data: &[u8], serve: impl AsyncFn(Request<Incoming>) -> Response) -> Vec<u8> {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let service = service_fn(async |request| Ok::<_, std::convert::Infallible>(serve(request).await));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service).with_upgrades();
    let client = async move {
        let mut answer = Vec::new();
        client.write_all(data).await.expect("the pipe is large enough");
        client.shutdown().await.expect("a pipe can be shut");
        client.read_to_end(&mut answer).await.expect("a pipe can be read");
        answer
    };
    // That hyper finds the input bad, and says so, is not our concern.
    tokio::join!(connection, client).1
}

fn head(request: &Request<Incoming>) -> Request<()> {
    let mut head = Request::new(());
    head.method_mut().clone_from(request.method());
    *head.version_mut() = request.version();
    head.headers_mut().clone_from(request.headers());
    head
}

/// Tungstenite looks at the first header of a name and at no body; it takes one protocol in `Upgrade`, splits `Connection`
/// at spaces, too, and wants the bits that pad a key to be zero.
fn compare<T>(ours: Option<Rejection>, theirs: &Result<T, Error>) {
    match (ours, theirs) {
        (None, Ok(_)) => {}
        (None, Err(Error::Protocol(error))) => assert!(
            matches!(
                error,
                ProtocolError::MissingConnectionUpgradeHeader
                    | ProtocolError::MissingUpgradeWebSocketHeader
                    | ProtocolError::InvalidSecWebSocketKey
            ),
            "we take what they refuse: {error}"
        ),
        (Some(rejection), Ok(_)) => assert!(
            matches!(
                rejection,
                Rejection::Host
                    | Rejection::Connection
                    | Rejection::WebSocketVersion
                    | Rejection::Key
                    | Rejection::Body
            ),
            "they take what we refuse: {rejection}"
        ),
        (Some(_), Err(_)) => {}
        (None, Err(error)) => panic!("{error}"),
    }
}

/// The answer of the server: responses, and behind a 101 nothing but frames.
fn check(answer: &[u8], accept: Option<&http::HeaderValue>) {
    const SWITCHING: &[u8] = b"HTTP/1.1 101 ";
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let Some(at) = find(answer, SWITCHING) else {
        assert!(accept.is_none(), "accepted without a 101");
        return;
    };
    let answer = &answer[at..];
    let end = find(answer, b"\r\n\r\n").expect("a whole head") + 4;
    let head = std::str::from_utf8(&answer[..end]).expect("a head is text");
    if let Some(accept) = accept {
        let accept = accept.to_str().expect("base64");
        assert!(head.contains(&format!("sec-websocket-accept: {accept}\r\n")), "{head}");
    }
    let mut socket = WebSocket::from_raw_socket(Cursor::new(answer[end..].to_vec()), Role::Client, None);
    loop {
        match socket.read() {
            Ok(_) => {}
            Err(Error::ConnectionClosed | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return,
            Err(error) => panic!("{error} in what the server sent"),
        }
    }
}
