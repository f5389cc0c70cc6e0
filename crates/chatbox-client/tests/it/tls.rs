//! TLS connections: trusted and untrusted certificates, and configuration errors.
//!
//! `tls/` has a certificate authority (its key was thrown away) and a certificate of it for `localhost` and 127.0.0.1, both
//! valid for a hundred years.

use crate::server::event;
use chatbox_client::{Client, Dialer, Event, Reason, Target, Tls, TlsError};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/it/tls", name].iter().collect()
}

/// A TLS server that greets each WebSocket connection.
async fn server() -> SocketAddr {
    let chain = CertificateDer::pem_file_iter(fixture("server.pem")).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let Ok(mut socket) = accept_hdr_async(stream, chatbox).await else { continue };
            let welcome = r#"{"type":"welcome","user":"u","connection":"7","server":"s","heartbeat_ms":1000}"#;
            socket.send(Message::text(welcome)).await.unwrap();
            tokio::spawn(async move { while let Some(Ok(_)) = socket.next().await {} });
        }
    });
    address
}

#[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
fn chatbox(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    response.headers_mut().insert("sec-websocket-protocol", "chatbox.v1".parse().unwrap());
    Ok(response)
}

#[tokio::test]
async fn a_server_with_a_trusted_certificate_is_reached_by_wss() {
    let address = server().await;
    for host in ["localhost", "127.0.0.1"] {
        let dialer = Dialer::tls(Tls::with_ca_file(fixture("ca.pem")).unwrap());
        let builder = Client::builder().server(format!("wss://{host}:{}/chat", address.port())).user("u");
        let (client, mut events) = builder.dialer(dialer).connect().unwrap();
        let first = events.next().await;
        assert!(matches!(first, Some(Event::Connected { .. })), "{first:?}");
        client.close().await;
    }
}

#[tokio::test]
async fn a_server_with_an_untrusted_certificate_is_not_talked_to() {
    let address = server().await;
    // The server's own certificate is not an authority.
    let dialer = Dialer::tls(Tls::with_ca_file(fixture("server.pem")).unwrap());
    let builder = Client::builder().server(format!("wss://localhost:{}/chat", address.port())).user("u");
    let (_client, mut events) = builder.dialer(dialer).connect().unwrap();
    let reason = event(&mut events, |event| match event {
        Event::Disconnected { reason, .. } => Some(reason),
        other => panic!("{other:?}"),
    });
    let Reason::Network(text) = reason.await else { panic!() };
    assert!(text.contains("certificate"), "{text}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let address = server().await;
    let dialer = Dialer::tls(Tls::with_ca_file(fixture("ca.pem")).unwrap());
    let mut target = Target::from_uri(&format!("https://localhost:{}", address.port()).parse().unwrap()).unwrap();
    dialer.dial(target.clone()).await.unwrap();
    target.host = "127.0.0.2".to_owned();
    let error = dialer.dial(target).await.unwrap_err().to_string();
    assert!(error.contains("not valid for name"), "{error}");
}

#[tokio::test]
async fn plain_addresses_are_dialled_without_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("ws://{}", listener.local_addr().unwrap()).parse().unwrap();
    let dialer = Dialer::tls(Tls::with_ca_file(fixture("ca.pem")).unwrap());
    dialer.dial(Target::from_uri(&uri).unwrap()).await.unwrap();
    let tls = Target::from_uri(&"wss://127.0.0.1:9".parse().unwrap()).unwrap();
    assert_eq!(Dialer::tcp().dial(tls).await.unwrap_err().kind(), std::io::ErrorKind::Unsupported);
}

#[test]
fn a_file_without_authorities_is_named() {
    let error = |name: &str| Tls::with_ca_file(fixture(name)).unwrap_err();
    assert!(matches!(error("missing.pem"), TlsError::File { path, .. } if path.ends_with("missing.pem")));
    assert!(matches!(error("server.key"), TlsError::Empty { path, .. } if path.ends_with("server.key")));
}
