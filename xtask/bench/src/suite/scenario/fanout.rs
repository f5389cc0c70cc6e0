//! One publisher and one room of many members: in a closed loop, as fast as it goes, and at a fixed rate.

use crate::suite::Bench;
use crate::suite::fleet::{Fleet, Member};
use crate::suite::load::{Load, Pace, Room};
use crate::suite::peer::Peer;
use crate::suite::report::Measure;
use crate::suite::server::PATH;
use anyhow::Result;
use std::time::Duration;

const BODY: usize = 128;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let members = bench.pick(1_000, 50);
    for (name, pace) in [("16 in flight", Pace::InFlight(16)), ("50 a second", Pace::PerSecond(50))] {
        let case = format!("1 × {members}, {name}");
        let times = bench.pick(9, 1);
        bench.compare("fanout", &case, times, |bench, peer| measure(bench, peer, members, pace));
    }
    Ok(())
}

fn measure(bench: &Bench, peer: Peer, members: usize, pace: Pace) -> Result<Vec<Measure>> {
    let (started, apart) = bench.programs.start_apart(peer)?;
    let mut fleet = Fleet::beside(apart.as_ref())?;
    let everyone = (0..members).map(|user| Member::of(user, "room")).chain([Member::alone("publisher")]);
    fleet.join(started.server.address(), PATH, everyone)?;
    let room = [Room { name: "room".to_owned(), sender: members, members }];
    let (warm_up, time) = bench.pick((500, 2_500), (100, 500));
    let millis = Duration::from_millis;
    let load = Load::new(&room, pace, BODY);
    let outcome = load.run(&mut fleet, &started.server, millis(warm_up), millis(time))?;
    Ok(outcome.measures())
}
