//! Many rooms of ten, in each of which one member speaks as soon as all have heard it.

use crate::suite::Bench;
use crate::suite::fleet::{Fleet, Member};
use crate::suite::load::{Load, Pace, Room};
use crate::suite::peer::Peer;
use crate::suite::report::Measure;
use crate::suite::server::PATH;
use anyhow::Result;
use std::time::Duration;

const MEMBERS: usize = 10;
const BODY: usize = 128;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let rooms = bench.pick(1_000, 20);
    let (case, times) = (format!("{rooms} × {MEMBERS}, 1 in flight in each"), bench.pick(5, 1));
    bench.compare("rooms", &case, times, |bench, peer| measure(bench, peer, rooms));
    Ok(())
}

fn measure(bench: &Bench, peer: Peer, rooms: usize) -> Result<Vec<Measure>> {
    let (started, apart) = bench.programs.start_apart(peer)?;
    let mut fleet = Fleet::beside(apart.as_ref())?;
    let name = |room: usize| format!("room-{room}");
    let everyone = (0..rooms * MEMBERS).map(|user| Member::of(user, name(user / MEMBERS)));
    fleet.join(started.server.address(), PATH, everyone)?;
    let rooms: Vec<Room> =
        (0..rooms).map(|room| Room { name: name(room), sender: room * MEMBERS, members: MEMBERS }).collect();
    let (warm_up, time) = bench.pick((2_000, 5_000), (100, 500));
    let millis = Duration::from_millis;
    let load = Load::new(&rooms, Pace::InFlight(1), BODY);
    let outcome = load.run(&mut fleet, &started.server, millis(warm_up), millis(time))?;
    Ok(outcome.measures())
}
