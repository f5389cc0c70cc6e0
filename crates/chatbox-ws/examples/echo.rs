//! Says back every message, text or binary, up to 16 MiB: the server that conformance suites talk to.
//!
//! `cargo run -p chatbox-ws --example echo -- --listen 127.0.0.1:9001`. SIGTERM closes every connection and ends it.

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chatbox_core::{CloseCode, CloseReason, Connection, Drain, Limits, Registry, Source};
use chatbox_ws::{DecodeLimits, Handler, Message, Settings, Transport, Upgrade, frame};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

struct Echo;

impl Source for Echo {}

impl Handler for Echo {
    fn on_message(&mut self, connection: &Arc<Connection>, message: Message<'_>) -> Result<(), CloseReason> {
        connection.push(|out| match message {
            Message::Text(text) => frame::text(text, out),
            Message::Binary(payload) => frame::binary(payload, out),
        });
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
    let registry = Registry::new(Limits { max_per_user: u32::MAX, ..Limits::default() }, ());
    let transport = Transport::new(Settings {
        accept: DecodeLimits { max_message: 16 * 1024 * 1024, binary: true },
        ..Settings::default()
    });

    let newcomers = registry.clone();
    let router = Router::new().fallback(async move |upgrade: Upgrade| accept(&newcomers, &transport, upgrade));
    let listener = TcpListener::bind(address).await?;
    println!("listening on ws://{}", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, router).into_future());

    terminate.recv().await;
    let drain = Drain {
        reason: CloseReason::new(CloseCode::GOING_AWAY, "server shutting down"),
        rate: 0,
        budget: Duration::from_secs(10),
        close_handshake: Duration::from_secs(3),
    };
    let tally = registry.drain(drain, tokio::time::sleep(Duration::from_secs(10))).await;
    println!("{tally:?}");
    Ok(())
}

fn accept(registry: &Registry, transport: &Transport, upgrade: Upgrade) -> Response {
    match registry.admit("anybody") {
        Ok(lease) => upgrade.serve(transport, lease, |_| Echo),
        Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, refusal.to_string()).into_response(),
    }
}
