//! A program with a shutdown of its own, a queue of jobs, and a chat whose users have session cookies.
//!
//! `cargo run -p chatbox-bin --example own_shutdown`, then stop it with SIGTERM or Ctrl-C: the chat serves on for a moment, closes its
//! connections and stores what was accepted; then the server ends, and with it the queue.

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::routing::post;
use chatbox::{AuthenticationError, Config, Identity, Secret, Service};
use chatbox_shutdown::{BoxError, Plan, Shutdown, Stage};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Before anything slow: from here on, a signal ends the program in order.
    let plan = Plan::default().with_lame_duck(Duration::from_millis(200));
    let mut shutdown = Shutdown::on_signals(plan)?;
    let listener = TcpListener::bind(std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned())).await?;
    let at = listener.local_addr()?;

    let mut config = Config::default();
    config.store.url = Secret::new("memory:");
    config.shutdown.close_handshake = Duration::from_secs(10);
    let chat = Service::builder(config).authenticate(|request: &Parts| user_of(session(request))).start().await?;
    chat.register(&mut shutdown);

    // The queue ends with its last sender, which the server holds.
    let (jobs, mut queue) = mpsc::channel::<String>(100);
    shutdown.task(Stage::Flushing, "jobs", async move {
        while let Some(job) = queue.recv().await {
            println!("done: {job}");
        }
    });
    let enqueue = async move |job: String| match jobs.send(job).await {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let app: Router = Router::new().route("/jobs", post(enqueue)).nest_service("/chat", chat.router::<()>());
    // Until the connections are closed, probes and newcomers are answered.
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.reached(Stage::Flushing));
    shutdown.task(Stage::Flushing, "http", server);

    println!("listening on {at}");
    let report = chat.report(shutdown.run().await);
    println!("{}", report.to_json());
    report.shutdown.exit()
}

/// The session of a request: the value of its cookie `session`.
fn session(request: &Parts) -> Option<String> {
    let cookies = request.headers.get(COOKIE)?.to_str().ok()?;
    cookies.split("; ").find_map(|cookie| cookie.strip_prefix("session=")).map(str::to_owned)
}

/// The user of a session. A real program asks its session store here.
async fn user_of(session: Option<String>) -> Result<Identity, AuthenticationError> {
    session.map(Identity::new).ok_or(AuthenticationError::Unauthenticated("log in first".into()))
}
