//! Whether user names without a token are accepted: by an embedded service, which has no listener of its own.

use crate::harness::{Peer, get};
use axum::Router;
use chatbox::{Config, Secret, Service};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use tokio::net::TcpListener;

/// Serves a service without keys on every address. Returns its port.
async fn serve(connect_info: bool) -> u16 {
    let mut config = Config::default();
    config.store.url = Secret::new("memory:");
    let service = Service::start(config).await.unwrap();
    let app: Router = Router::new().nest_service("/chat", service.router::<()>());
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let served = if connect_info {
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
        } else {
            axum::serve(listener, app).await
        };
        drop(service);
        served
    });
    port
}

/// An address of this machine that is not a loopback one. Nothing is sent to find it.
fn other_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback())
}

/// What a client that claims to be `admin` gets: `None` for a connection.
async fn refusal(at: SocketAddr) -> Option<String> {
    let history = get(at, "/chat/rooms/lobby/messages?user=admin").await.unwrap();
    match Peer::handshake(at, "/chat/ws?user=admin", "").await {
        Ok(mut peer) => {
            assert_eq!(peer.message().await["user"], "admin");
            assert_eq!(history.status, 200);
            None
        }
        Err(refused) => {
            history.refusal(401, "unauthorized");
            Some(refused.refusal(401, "unauthorized"))
        }
    }
}

#[tokio::test]
async fn an_embedded_service_without_keys_accepts_names_only_from_peers_on_loopback_addresses() {
    let port = serve(true).await;
    assert_eq!(refusal(([127, 0, 0, 1], port).into()).await, None);
    let Some(other) = other_address() else {
        eprintln!("not run: this machine has only loopback addresses");
        return;
    };
    assert!(refusal((other, port).into()).await.is_some());
}

#[tokio::test]
async fn an_embedded_service_that_does_not_know_its_peers_accepts_no_names() {
    let port = serve(false).await;
    assert!(refusal(([127, 0, 0, 1], port).into()).await.is_some());
}
