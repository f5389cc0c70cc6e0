//! The one flow that every runtime goes through: deploy, connect clients, end pods in every way a cluster does.

use crate::assertions::{Expected, misses};
use crate::observations::{Fleet, PodEnd};
use crate::report::{Row, Table};
use anyhow::{Context, Result};
use std::time::{Duration, Instant};

/// How pods are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// One pod is deleted
    Delete,
    /// Every pod is replaced, one after the other
    Rollout,
    /// One pod is deleted while some of its clients never answer a Close
    Stubborn,
    /// All pods are taken away at once, and come back
    ScaleToZero,
}

impl Scenario {
    pub(crate) const ALL: [Self; 4] = [Self::Delete, Self::Rollout, Self::Stubborn, Self::ScaleToZero];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete a pod",
            Self::Rollout => "roll the deployment",
            Self::Stubborn => "stubborn clients",
            Self::ScaleToZero => "scale to zero",
        }
    }

    /// Whether no client can keep its connection.
    pub(crate) fn ends_every_pod(self) -> bool {
        matches!(self, Self::Rollout | Self::ScaleToZero)
    }
}

/// The clients of a scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clients {
    pub(crate) count: u32,
    pub(crate) rooms: u32,
    /// Messages a second from each.
    pub(crate) rate: f64,
    /// Connections beside those, which never answer a Close.
    pub(crate) stubborn: u32,
}

/// Something that runs pods. Dropping one of its futures half-way leaves things that only [`Runtime::clean_up`] removes.
pub(crate) trait Runtime {
    /// Makes the image known and applies the manifests; returns when every replica is ready, with how many that are.
    async fn deploy(&mut self) -> Result<usize>;

    /// What the manifests allow between SIGTERM and SIGKILL.
    fn grace(&self) -> Duration;

    /// Starts clients from outside the pods; returns when all are connected.
    async fn connect(&mut self, clients: Clients, expected: Duration) -> Result<()>;

    /// Ends pods; returns when they have ended and as many replicas as before are ready.
    async fn carry_out(&mut self, scenario: Scenario) -> Result<Vec<PodEnd>>;

    /// Lets the clients come to their end, and returns what they found.
    async fn disconnect(&mut self) -> Result<Fleet>;

    /// Removes everything that was made, whatever state it is in.
    async fn clean_up(&mut self) -> Result<()>;
}

/// Time for clients to come back and to go on talking, before and after pods end.
const CHAT: Duration = Duration::from_secs(2);

/// Runs the scenarios one by one; what was missed is in the table.
pub(crate) async fn run(runtime: &mut impl Runtime, scenarios: &[Scenario], clients: Clients) -> Result<Table> {
    let mut table = Table::default();
    step("deploying");
    let replicas = runtime.deploy().await.context("cannot deploy")?;
    for &scenario in scenarios {
        step(&format!("{}: {} clients on {replicas} replicas", scenario.name(), clients.count));
        let stubborn = if scenario == Scenario::Stubborn { clients.stubborn } else { 0 };
        // At most: a start, a grace period and some time to be believed, for every pod that is replaced.
        let expected = (runtime.grace() + Duration::from_secs(30)) * (replicas as u32).max(1);
        runtime.connect(Clients { stubborn, ..clients }, expected).await.context("the clients cannot connect")?;
        tokio::time::sleep(CHAT).await;
        let begun = Instant::now();
        let ends = runtime.carry_out(scenario).await.with_context(|| scenario.name())?;
        let took = begun.elapsed();
        tokio::time::sleep(CHAT).await;
        let fleet = runtime.disconnect().await.context("the clients gave no result")?;
        let expected =
            Expected { scenario, clients: clients.count.into(), stubborn: stubborn.into(), grace: runtime.grace() };
        let row = Row::new(scenario, took, &ends, &fleet, expected.grace, misses(&expected, &ends, &fleet));
        step(&row.to_string());
        table.rows.push(row);
    }
    Ok(table)
}

/// A line of progress, on stderr like all of them.
pub(crate) fn step(text: &str) {
    eprintln!("==> {text}");
}
