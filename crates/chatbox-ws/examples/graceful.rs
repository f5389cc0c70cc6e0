//! A service that shuts down in phases on SIGTERM. Each client is sent the number of its messages, and a Close at the end.
//!
//! `cargo run -p chatbox-ws --example graceful`, connect to the address it prints, and send it SIGTERM.

use axum::response::{IntoResponse, Response};
use axum::{Router, http::StatusCode, routing::any};
use chatbox_core::{CloseCode, CloseReason, Connection, Drain, Limits, Registry};
use chatbox_shutdown::{BoxError, Ending, Phase, Plan, Shutdown};
use chatbox_ws::{ConnectionExt, Handler, Message, Settings, Transport, Upgrade};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;

/// The number of messages that a client has sent.
struct Counter(u64);

impl Handler for Counter {
    fn on_message(&mut self, connection: &Arc<Connection>, _: Message<'_>) -> Result<(), CloseReason> {
        self.0 += 1;
        connection.send_text(&self.0.to_string());
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let mut shutdown = Shutdown::plan(Plan::default())?.on_signals()?;
    let registry = Registry::new(Limits::default().with_max_per_user(NonZero::<u32>::MAX), ());
    let transport = Transport::new(Settings::default());

    // Lame duck: load balancers notice, new connections are refused, and open ones served.
    let (gate, clients, open) = (registry.clone(), registry.clone(), registry.clone());
    shutdown.during(Phase::LameDuck, "gate", |_| async move {
        gate.refuse_newcomers();
        Ok(())
    });
    shutdown.lame_duck_until(|| async move { clients.empty().await });
    // Drain: every client gets what is queued for it, a Close, and the time to answer.
    shutdown.during(Phase::Draining, "clients", |budget| async move {
        let reason = CloseReason::new(CloseCode::GOING_AWAY, "server shutting down");
        let drain = Drain::new(reason, budget.remaining());
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
