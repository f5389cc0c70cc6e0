//! The scenarios: each names its parameters, runs them on every server, and reports rows of measures.

mod bystander;
mod contention;
mod drain;
mod durable;
mod fanout;
mod idle;
mod rooms;
mod slow_readers;

use crate::suite::Bench;
use anyhow::Result;
use clap::builder::{PossibleValue, PossibleValuesParser};

/// One scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&mut Bench) -> Result<()>,
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "idle", about: "memory and processor time of connections that do nothing", run: idle::run },
    Scenario { name: "fanout", about: "one publisher, one room, many members", run: fanout::run },
    Scenario { name: "rooms", about: "many rooms of ten", run: rooms::run },
    Scenario { name: "drain", about: "SIGTERM with many connections, all closed at once", run: drain::run },
    Scenario { name: "durable", about: "messages acknowledged from disk, beside bare fsyncs", run: durable::run },
    Scenario {
        name: "contention",
        about: "replicas that append to one room, beside the database's own inserts",
        run: contention::run,
    },
    Scenario {
        name: "slow-readers",
        about: "some members read at a tenth of their room's rate",
        run: slow_readers::run,
    },
    Scenario { name: "bystander", about: "normal clients without an attack and under it", run: bystander::run },
];

/// What `--only` takes, with the explanations for `--help`.
pub(crate) fn names() -> PossibleValuesParser {
    SCENARIOS.iter().map(|scenario| PossibleValue::new(scenario.name).help(scenario.about)).into()
}
