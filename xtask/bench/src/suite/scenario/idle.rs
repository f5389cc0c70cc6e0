//! Connections that do nothing: what each of them keeps in memory, before and after a large message, and what all of them cost in
//! processor time.

use crate::suite::Bench;
use crate::suite::fleet::{Fleet, FleetEvent, Member, What};
use crate::suite::peer::Peer;
use crate::suite::report::Measure;
use crate::suite::server::{PATH, Server};
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// As much body as fits a message of 64 KiB in every server's limit.
const BODY: usize = 65_000;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let connections = bench.pick(10_000, 200);
    let case = format!("{connections} in one room");
    bench.compare("idle", &case, 1, |bench, peer| one_room(bench, peer, connections));
    let case = format!("{connections} in rooms of ten");
    bench.compare("idle", &case, 1, |bench, peer| rooms_of_ten(bench, peer, connections));
    Ok(())
}

fn one_room(bench: &Bench, peer: Peer, connections: usize) -> Result<Vec<Measure>> {
    let started = bench.programs.start(peer, false)?;
    let server = &started.server;
    let empty = warmed_up(server, bench)?;
    let each = |memory: u64| (memory as f64 - empty as f64) / connections as f64;

    let mut fleet = Fleet::new()?;
    fleet.join(server.address(), PATH, (0..connections).map(|user| Member::of(user, "everyone")))?;
    let idle = settled(server, &mut fleet, bench)?;
    everyone_receives(&mut fleet, connections)?;
    let after = settled(server, &mut fleet, bench)?;

    let (cpu, time) = (server.cpu()?, bench.pick(Duration::from_secs(30), Duration::from_secs(1)));
    fleet.rest(time)?;
    let share = (server.cpu()? - cpu).as_secs_f64() / time.as_secs_f64() * 100.0;
    Ok(vec![
        Measure::compared("memory of each", each(idle), "B"),
        Measure::compared("after 64 KiB", each(after), "B"),
        Measure::plain("processor, all", share, "%"),
        Measure::plain("empty server", empty as f64 / 1024.0, "KiB"),
    ])
}

fn rooms_of_ten(bench: &Bench, peer: Peer, connections: usize) -> Result<Vec<Measure>> {
    let started = bench.programs.start(peer, false)?;
    let empty = warmed_up(&started.server, bench)?;
    let mut fleet = Fleet::new()?;
    let members = (0..connections).map(|user| Member::of(user, format!("room-{}", user / 10)));
    fleet.join(started.server.address(), PATH, members)?;
    let idle = settled(&started.server, &mut fleet, bench)?;
    let each = (idle as f64 - empty as f64) / connections as f64;
    Ok(vec![Measure::compared("memory of each", each, "B")])
}

/// The memory of a server after its first connection: what it allocates once is not counted for the connections.
fn warmed_up(server: &Server, bench: &Bench) -> Result<u64> {
    let mut visitors = Fleet::new()?;
    visitors.join(server.address(), PATH, (0..64).map(|user| Member::of(user, "visitors")))?;
    drop(visitors);
    settled(server, &mut Fleet::new()?, bench)
}

/// The memory once it has stayed the same for three seconds: allocators give back with delay.
fn settled(server: &Server, fleet: &mut Fleet, bench: &Bench) -> Result<u64> {
    let (step, rounds) = bench.pick((Duration::from_secs(1), 20), (Duration::from_millis(100), 3));
    let (mut memory, mut same) = (server.memory()?, 0);
    for _ in 0..rounds {
        fleet.rest(step)?;
        let now = server.memory()?;
        same = if now.abs_diff(memory) < 32 * 1024 { same + 1 } else { 0 };
        memory = now;
        if same == 3 {
            break;
        }
    }
    Ok(memory)
}

/// One large message to everyone.
fn everyone_receives(fleet: &mut Fleet, members: usize) -> Result<()> {
    fleet.send(0, "everyone", 0, &"x".repeat(BODY));
    let (deadline, mut news, mut received) = (Instant::now() + Duration::from_secs(60), Vec::new(), 0);
    while received < members {
        ensure!(Instant::now() < deadline, "{received} of {members} members have the large message");
        fleet.turn(Duration::from_secs(1), &mut news)?;
        for FleetEvent { what, .. } in news.drain(..) {
            ensure!(!matches!(what, What::Gone { .. } | What::Close { .. }), "a member was thrown out");
            received += usize::from(matches!(what, What::Message { .. }));
        }
    }
    Ok(())
}
