//! A service that shuts down in phases on SIGTERM. Each client is sent the number of its messages, and a Close at the end.
//!
//! `cargo run -p chatbox-ws --example graceful`, connect to the address it prints, and send it SIGTERM.

use axum::response::{IntoResponse, Response};
use axum::{Router, http::StatusCode, routing::any};
use chatbox_core::{CloseCode, CloseReason, Connection, Drain, Limits, Registry};
use chatbox_shutdown::{BoxError, Ending, Plan, Shutdown, Stage};
use chatbox_ws::{ConnectionExt, Handler, Message, Settings, Transport, Upgrade};
use std::num::NonZero;
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
async fn main() -> Result<(), BoxError> {
    let mut shutdown = Shutdown::on_signals(Plan::default())?;
    let registry = Registry::new(Limits::default().with_max_per_user(NonZero::<u32>::MAX), ());
    let transport = Transport::new(Settings::default());

    // Lame duck: load balancers notice, new connections are refused, and open ones served.
    let (gate, open, left) = (registry.clone(), registry.clone(), registry.clone());
    shutdown.during(Stage::LameDuck, "gate", |_| async move {
        gate.refuse_newcomers();
        Ok(())
    });
    // Drain: every client gets what is queued for it, a Close, and the time to answer.
    shutdown.during(Stage::Draining, "clients", |budget| async move {
        let reason = CloseReason::new(CloseCode::GOING_AWAY, "server shutting down");
        let drain = Drain::new(reason, budget.remaining());
        let tally = open.drain(drain, budget.expired()).await;
        Ok(if tally.timed_out + tally.aborted == 0 { Ending::Complete } else { Ending::CutShort })
    });

    let accept = async move |upgrade: Upgrade| -> Response {
        match registry.admit("anonymous") {
            Ok(lease) => upgrade.serve(&transport, lease, |_| Counter(0)),
            Err(refusal) => (StatusCode::SERVICE_UNAVAILABLE, refusal.to_string()).into_response(),
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on ws://{}", listener.local_addr()?);
    let server = axum::serve(listener, Router::new().route("/", any(accept)));
    shutdown.task(Stage::Draining, "http", server.with_graceful_shutdown(shutdown.reached(Stage::Draining)));
    shutdown.expect_none("clients", move || left.len());
    let report = shutdown.run().await;
    println!("{report:?}");
    report.exit()
}
