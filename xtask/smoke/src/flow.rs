//! The steps of a run, the same for every runtime: deploy, connect clients, end pods, check what was observed.

use crate::assertions::{Expected, misses};
use crate::observations::{Ended, Fleet};
use crate::report::{Row, Table};
use crate::scenario::{Clients, Scenario};
use anyhow::{Context, Result};
use std::time::{Duration, Instant};

/// Something that runs pods. Dropping one of its futures half-way leaves things that only [`Runtime::clean_up`] removes.
pub(crate) trait Runtime {
    /// Makes the image known and applies the manifests; returns when every replica is ready, with the number of replicas.
    async fn deploy(&mut self) -> Result<usize>;

    /// What the manifests allow between SIGTERM and SIGKILL.
    fn grace(&self) -> Duration;

    /// Starts clients outside the pods; returns when all are connected.
    async fn connect(&mut self, clients: Clients) -> Result<()>;

    /// Ends pods; returns when they have ended and as many replicas as before are ready.
    async fn carry_out(&mut self, scenario: Scenario) -> Result<Ended>;

    /// Ends the clients, and returns their result.
    async fn disconnect(&mut self) -> Result<Fleet>;

    /// The state of the pods and what the platform reports about them, for a run that failed.
    async fn describe(&mut self) -> String;

    /// Removes everything that was made, whatever state it is in.
    async fn clean_up(&mut self) -> Result<()>;
}

/// Time for clients to reconnect and to send messages, before and after pods end.
const CHAT: Duration = Duration::from_secs(2);

/// Runs the scenarios one by one; the table has what was missed.
pub(crate) async fn run(runtime: &mut impl Runtime, scenarios: &[Scenario], clients: Clients) -> Result<Table> {
    let mut table = Table::default();
    step("deploying");
    let replicas = runtime.deploy().await.context("cannot deploy")?;
    for &scenario in scenarios {
        step(&format!("{}: {} clients on {replicas} replicas", scenario.name(), clients.count));
        let clients = clients.of(scenario, replicas);
        runtime.connect(clients).await.context("the clients cannot connect")?;
        tokio::time::sleep(CHAT).await;
        let begun = Instant::now();
        let ended = runtime.carry_out(scenario).await.with_context(|| scenario.name())?;
        let took = begun.elapsed();
        tokio::time::sleep(CHAT).await;
        let fleet = runtime.disconnect().await.context("the clients gave no result")?;
        let expected = Expected {
            scenario,
            clients: clients.count.into(),
            stubborn: clients.stubborn.into(),
            grace: runtime.grace(),
        };
        let misses = misses(&expected, &ended, &fleet);
        let row = Row::new(scenario, took, &ended.pods, &fleet, expected.grace, misses);
        step(&row.to_string());
        table.rows.push(row);
    }
    Ok(table)
}

/// Prints a line of progress, on stderr like all of them.
pub(crate) fn step(text: &str) {
    eprintln!("==> {text}");
}
