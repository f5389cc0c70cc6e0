//! A program with routes and signals of its own that offers a chat beside them.
//!
//! `cargo run -p chatbox-bin --example embed`, then open <http://127.0.0.1:8080/support/chat/>. Stop it with SIGTERM or Ctrl-C.

use axum::Router;
use axum::routing::get;
use chatbox::{Config, Secret, Service};
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// What the platform allows this program between SIGTERM and SIGKILL, less what it needs for itself.
const DEADLINE: Duration = Duration::from_secs(25);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    // Before anything slow: from here on, a signal ends the program in order.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(at).await?;

    let mut config = Config::default();
    config.store.url = Secret::new("memory:");
    config.shutdown.lame_duck = Duration::from_secs(1);
    config.shutdown.close_handshake = Duration::from_secs(10);
    let service = Service::start(config).await?;

    let app = Router::new()
        .route("/", get(async || "everything but the chat"))
        .nest_service("/support/chat", service.router::<()>());
    println!("listening on {}", listener.local_addr()?);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    // Without a key for tokens, names are accepted only from peers with a loopback address, which the service has to know.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async { _ = stopped.await });
    let server = tokio::spawn(server.into_future());

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // The routes are served meanwhile: probes, upgrade requests and all others get their answers.
    let report = service.shutdown(DEADLINE).await;
    drop(stop);
    // What is still asked is answered; a connection that asks nothing does not hold up the end.
    _ = tokio::time::timeout(Duration::from_secs(1), server).await;
    println!("{}", report.to_json());
    Ok(ExitCode::from(report.exit_code()))
}
