//! The ways in which pods are ended, and the clients that are connected meanwhile.

use std::time::Duration;

/// How pods are ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// One pod is deleted
    Delete,
    /// Every pod is replaced, one after the other
    Rollout,
    /// One pod is deleted while some of its clients never answer a Close
    Stubborn,
    /// The deployment is scaled to zero and back
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
    /// Messages per second and client.
    pub(crate) rate: f64,
    /// Connections beside those, which never answer a Close.
    pub(crate) stubborn: u32,
}

impl Clients {
    /// How long the clients run when they are not ended: longer than any scenario, so that one whose run was killed still ends.
    const LASTING: Duration = Duration::from_secs(3600);

    /// The clients of one scenario on that many replicas. Stubborn ones connect to a replica of the load balancer's choice, so there are
    /// enough of them on each: 10 on each of 3 all miss the replica that is deleted once in 200,000 runs.
    pub(crate) fn of(self, scenario: Scenario, replicas: usize) -> Self {
        let replicas = u32::try_from(replicas).unwrap_or(u32::MAX);
        let stubborn = if scenario == Scenario::Stubborn { self.stubborn.saturating_mul(replicas) } else { 0 };
        Self { stubborn, ..self }
    }

    /// The arguments of `chatbox` that run these clients.
    pub(crate) fn arguments(self, url: &str) -> Vec<String> {
        let Self { count, rooms, rate, stubborn } = self;
        vec![
            "soak".to_owned(),
            format!("--url={url}"),
            format!("--clients={count}"),
            format!("--rooms={rooms}"),
            format!("--rate={rate}"),
            format!("--stubborn={stubborn}"),
            format!("--for={}s", Self::LASTING.as_secs()),
            "--json".to_owned(),
        ]
    }
}
