//! SIGTERM with many idle connections, closed all at once: what it costs, how long it takes, and how each connection ends.

use crate::suite::Bench;
use crate::suite::fleet::{Fleet, FleetEvent, Member, PATIENCE, What};
use crate::suite::peer::Peer;
use crate::suite::report::Measure;
use crate::suite::server::PATH;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let connections = bench.pick(10_000, 200);
    let (case, times) = (format!("{connections} at once"), bench.pick(15, 1));
    bench.compare("drain", &case, times, |bench, peer| measure(bench, peer, connections));
    Ok(())
}

fn measure(bench: &Bench, peer: Peer, connections: usize) -> Result<Vec<Measure>> {
    let mut started = bench.programs.start(peer, false)?;
    let server = &mut started.server;
    let mut fleet = Fleet::new()?;
    fleet.join(server.address(), PATH, (0..connections).map(|user| Member::of(user, "room")))?;
    fleet.rest(bench.pick(Duration::from_secs(2), Duration::from_millis(100)))?;

    let (cpu, signal) = (server.cpu()?, Instant::now());
    server.terminate()?;
    let (mut gone, mut resets, mut going_away, mut other_codes) = (0, 0, 0, 0);
    let (mut last, mut news) = (signal, Vec::new());
    while gone < connections {
        ensure!(signal.elapsed() < PATIENCE, "{gone} of {connections} clients are gone after {PATIENCE:?}");
        fleet.turn(Duration::from_secs(1), &mut news)?;
        for FleetEvent { at, what, .. } in news.drain(..) {
            match what {
                What::Close { code: 1001 } => going_away += 1,
                What::Close { .. } => other_codes += 1,
                What::Gone { reset } => {
                    gone += 1;
                    resets += usize::from(reset);
                    last = at;
                }
                _ => {}
            }
        }
    }
    while !server.has_ended()? {
        ensure!(signal.elapsed() < PATIENCE, "the server has not ended after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    let (cpu, ended) = (server.cpu()? - cpu, signal.elapsed());
    let status = server.wait()?;
    let millis = |duration: Duration| duration.as_secs_f64() * 1_000.0;
    Ok(vec![
        Measure::compared("CPU from signal to exit", millis(cpu), "ms"),
        Measure::compared("last client gone", millis(last - signal), "ms"),
        Measure::plain("exit", millis(ended), "ms"),
        Measure::plain("closed with 1001", going_away as f64, ""),
        Measure::plain("other codes", other_codes as f64, ""),
        Measure::plain("no Close", (connections - going_away - other_codes) as f64, ""),
        Measure::plain("resets", resets as f64, ""),
        Measure::plain("exit code", status.code().map_or(-1.0, f64::from), ""),
    ])
}
