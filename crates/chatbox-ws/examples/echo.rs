//! An echo server for conformance suites: returns every message, text or binary, up to 16 MiB.
//!
//! `cargo run -p chatbox-ws --example echo -- --listen 127.0.0.1:9001`. SIGTERM closes every connection and ends it.

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chatbox_core::{CloseCode, CloseReason, Connection, Drain, Limits, Registry};
use chatbox_ws::{ConnectionExt, Handler, Message, Settings, Transport, Upgrade};
use std::net::SocketAddr;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        match message {
            Message::Text(text) => connection.send_text(text),
            Message::Binary(payload) => connection.send_binary(payload),
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(SocketAddr::from(([127, 0, 0, 1], 9001))),
        ["--listen", address] => {
            address.parse().map_err(|_| format!("{address:?} is not an address such as 127.0.0.1:9001"))
        }
        _ => Err("usage: echo [--listen ADDRESS]".to_owned()),
    };
    match address {
        Ok(address) => match serve(address) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("echo: {address}: {error}");
                ExitCode::FAILURE
            }
        },
        Err(message) => {
            eprintln!("echo: {message}");
            ExitCode::from(2)
        }
    }
}

#[tokio::main]
async fn serve(address: SocketAddr) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let registry = Registry::new(Limits::default().with_max_per_user(NonZero::<u32>::MAX), ());
    let transport = Transport::new(Settings::default().with_max_message(16 << 20).with_binary(true));

    let newcomers = registry.clone();
    let router = Router::new().fallback(async move |upgrade: Upgrade| accept(&newcomers, &transport, upgrade));
    let listener = TcpListener::bind(address).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, router).into_future());

    terminate.recv().await;
    let reason = CloseReason::new(CloseCode::GOING_AWAY, "server shutting down");
    let drain = Drain::new(reason, Duration::from_secs(10)).with_rate(0);
    let tally = registry.drain(drain, tokio::time::sleep(Duration::from_secs(10))).await;
    println!("{tally:?}");
    Ok(())
}

fn accept(registry: &Registry, transport: &Transport, upgrade: Upgrade) -> Response {
    match registry.admit("anonymous") {
        Ok(lease) => upgrade.serve(transport, lease, |_| Echo),
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, refusal.to_string()).into_response(),
    }
}
