//! A service whose end nobody need fear: each client is told how many messages it has sent, and goodbye.
//!
//! `cargo run -p chatbox-ws --example graceful`, connect to the address it prints, and send it SIGTERM.

use axum::response::{IntoResponse, Response};
use axum::{Router, http::StatusCode, routing::any};
use chatbox_core::{CloseCode, CloseReason, Connection, Drain, Limits, Registry, Source};
use chatbox_shutdown::{BoxError, Ending, Phase, Plan, Shutdown};
use chatbox_ws::{Handler, Message, Settings, Transport, Upgrade, frame};
use std::process::ExitCode;
use std::sync::Arc;

/// How many messages a client has sent.
struct Counter(u64);

impl Source for Counter {}

impl Handler for Counter {
    fn on_message(&mut self, connection: &Arc<Connection>, _: Message<'_>) -> Result<(), CloseReason> {
        self.0 += 1;
        connection.push(|out| frame::text(&self.0.to_string(), out));
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let mut shutdown = Shutdown::plan(Plan::default())?.on_signals()?;
    let registry = Registry::new(Limits { max_per_user: u32::MAX, ..Limits::default() }, ());
    let transport = Transport::new(Settings::default());

    // For some seconds, load balancers may notice: newcomers are refused, clients are served on.
    let (gate, clients, open) = (registry.clone(), registry.clone(), registry.clone());
    shutdown.during(Phase::LameDuck, "gate", |_| async move {
        gate.refuse_newcomers();
        Ok(())
    });
    shutdown.lame_duck_until(|| async move { clients.empty().await });
    // Then everybody gets what is queued for them, a Close, and the time to answer it.
    shutdown.during(Phase::Draining, "clients", |budget| async move {
        let reason = CloseReason::new(CloseCode::GOING_AWAY, "server shutting down");
        let close_handshake = Settings::default().close_handshake;
        let drain = Drain { reason, rate: 2_000, budget: budget.remaining(), close_handshake };
        let tally = open.drain(drain, budget.expired()).await;
        Ok(if tally.timed_out + tally.aborted == 0 { Ending::Complete } else { Ending::CutShort })
    });

    let accept = async move |upgrade: Upgrade| -> Response {
        match registry.admit("anybody") {
            Ok(lease) => upgrade.serve(&transport, lease, |_| Counter(0)),
            Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, refusal.to_string()).into_response(),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on ws://{}", listener.local_addr()?);
    let server = axum::serve(listener, Router::new().route("/", any(accept)));
    let report = shutdown.run(async { Ok(server.await?) }).await;
    println!("{report:?}");
    Ok(ExitCode::from(report.exit_code()))
}
