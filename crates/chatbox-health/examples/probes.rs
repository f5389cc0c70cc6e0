//! An axum service with both probes under a prefix, and a dependency that comes and goes.
//!
//! Run it, and watch `curl -i http://127.0.0.1:8080/demo/readyz` for half a minute.

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use chatbox_health::{Gate, Health};
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let gate = Gate::new("starting");
    let started = Instant::now();
    let health = Health::builder()
        .gate(gate.clone())
        .check("tide", async move || {
            match started.elapsed().as_secs() % 20 {
                0..10 => Ok(()),
                10..15 => Err("the tide is out"),
                // Slower than the timeout allows.
                _ => std::future::pending().await,
            }
        })
        .timeout(Duration::from_secs(1))
        .build();

    let app = Router::new().route("/demo/", get(async || "hello\n")).nest("/demo", health.router());
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    gate.open("running");
    println!("http://{}/demo/readyz", listener.local_addr()?);
    axum::serve(listener, app).await
}
