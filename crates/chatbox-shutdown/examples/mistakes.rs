//! What the report says about a program that makes a mistake: `cargo run --example mistakes -- NAME`.
//!
//! `blocked`: a participant blocks its thread. `panic`: a worker panics while the program serves.
//! `forgotten`: nothing closes the open connections. `server`: the server is never asked to stop.
//! Each but `panic` waits for a signal. Prints `serving`, then the report.

use std::time::Duration;

use chatbox_shutdown::{BoxError, Plan, Shutdown, Stage};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let plan = Plan::default().with_drain(Duration::from_secs(1)).with_grace(Duration::from_secs(12));
    let mut shutdown = Shutdown::on_signals(plan)?;
    match std::env::args().nth(1).as_deref() {
        Some("blocked") => shutdown.during(Stage::Draining, "reporter", |_budget| async {
            std::thread::sleep(Duration::from_secs(3_600));
            Ok(())
        }),
        Some("panic") => shutdown.task(Stage::Draining, "worker", async {
            let mut jobs = std::collections::VecDeque::<u32>::new();
            jobs.pop_front().expect("no job to take");
        }),
        Some("forgotten") => shutdown.expect_none("connections", || 2),
        Some("server") => {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
            shutdown.task(Stage::Draining, "http", axum::serve(listener, axum::Router::new()));
        }
        _ => return Err("name a mistake: blocked, panic, forgotten or server".into()),
    }
    println!("serving");
    let report = shutdown.run().await;
    println!("{}", serde_json::to_string(&report)?);
    report.exit()
}
