//! Some members of a room read at a tenth of its rate: what they cost the server, what they cost the others, and whether they
//! catch up. The service reads what its ring no longer has from the store, so it runs on SQLite here.

use crate::suite::Bench;
use crate::suite::fleet::{Fleet, Member};
use crate::suite::load::{Load, Pace, Room};
use crate::suite::peer::Peer;
use crate::suite::report::Measure;
use crate::suite::server::PATH;
use anyhow::Result;
use std::time::{Duration, Instant};

const MEMBERS: usize = 200;
const BODY: usize = 1024;
const PER_SECOND: u32 = 200;

/// How often a slow reader takes a sip.
const SIP: Duration = Duration::from_millis(100);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    for slow in [0, 20] {
        let case = format!("{slow} of {MEMBERS} slow");
        bench.compare("slow-readers", &case, 1, |bench, peer| measure(bench, peer, slow));
    }
    Ok(())
}

fn measure(bench: &Bench, peer: Peer, slow: usize) -> Result<Vec<Measure>> {
    let started = bench.programs.start(peer, true)?;
    let server = &started.server;
    let mut fleet = Fleet::new()?;
    let everyone = (0..MEMBERS).map(|user| Member::of(user, "room")).chain([Member::alone("publisher")]);
    fleet.join(server.address(), PATH, everyone)?;
    for client in 0..slow {
        fleet.pause(client)?;
    }
    let room = [Room { name: "room".to_owned(), sender: MEMBERS, members: MEMBERS }];
    let time = bench.pick(Duration::from_secs(60), Duration::from_secs(2));
    // The first of the members are the slow ones; with none of them, the same others are timed.
    let mut load = Load::new(&room, Pace::PerSecond(PER_SECOND), BODY).counting(|client| client >= 20);

    let before = server.memory()?;
    let (mut memory, mut next) = (before, Instant::now());
    // A tenth of what the room says in the time between two sips, with what stands around each body.
    let sip = (f64::from(PER_SECOND) * SIP.as_secs_f64() / 10.0 * (BODY + 130) as f64) as usize;
    let cpu = server.cpu()?;
    load.run_for(&mut fleet, time, &mut |fleet, news| {
        if Instant::now() >= next {
            next += SIP;
            memory = memory.max(server.memory()?);
            for client in 0..slow {
                fleet.sip(client, sip, news)?;
            }
        }
        Ok(())
    })?;
    let (cpu, behind, caught_up) = (server.cpu()? - cpu, load.missing(), Instant::now());
    for client in 0..slow {
        fleet.resume(client)?;
    }
    load.settle(&mut fleet)?;
    let caught_up = caught_up.elapsed();
    let mut measures = vec![
        Measure::plain("memory grew by", (memory - before) as f64 / 1024.0, "KiB"),
        Measure::compared("CPU", cpu.as_secs_f64() / time.as_secs_f64() * 100.0, "%"),
        Measure::plain("messages behind, each", behind as f64 / slow.max(1) as f64, ""),
        Measure::plain("caught up in", caught_up.as_secs_f64() * 1_000.0, "ms"),
        Measure::plain("gaps", load.gaps() as f64, ""),
        Measure::plain("lost", load.missing() as f64, ""),
    ];
    measures.extend(load.latencies().measures());
    Ok(measures)
}
