//! Normal clients beside an attack: how long their messages take to be acknowledged, just before it and while it lasts, in turns. The
//! service runs as it is started without configuration: with SQLite, and with its limits.

mod attack;

use crate::suite::Bench;
use crate::suite::fleet::{Fleet, FleetEvent, Member, What};
use crate::suite::latency::Latencies;
use crate::suite::peer::Peer;
use crate::suite::report::{Measure, Row};
use crate::suite::server::PATH;
use anyhow::{Result, bail};
use attack::{ATTACKS, Attack, Attackers};
use std::time::{Duration, Instant};

const CLIENTS: usize = 50;
const ROOMS: usize = 5;

/// What each client sends in a second: a tenth of what it may.
const PER_SECOND: u32 = 5;
const BODY: usize = 128;

/// How many times quiet and attack follow each other: what else the machine does in one moment must not be taken for the attack.
const ROUNDS: u32 = 4;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    if !bench.peers.contains(&Peer::Chatbox) {
        bench.report.notes.push("bystander: only chatbox acknowledges messages".to_owned());
        return Ok(());
    }
    for attack in ATTACKS {
        eprintln!("  {}", attack.name);
        let measures = measure(bench, attack)?;
        bench.report.rows.push(Row {
            scenario: "bystander",
            case: attack.name.to_owned(),
            peer: Peer::Chatbox,
            measures,
        });
    }
    Ok(())
}

fn measure(bench: &Bench, attack: &'static Attack) -> Result<Vec<Measure>> {
    let started = bench.programs.start_as_delivered()?;
    let server = &started.server;
    let mut fleet = Fleet::new()?;
    fleet.join(server.address(), PATH, (0..CLIENTS).map(|user| Member::of(user, room(user))))?;
    let mut talk = Talk { fleet, sent: Vec::new(), body: "x".repeat(BODY) };
    let (warm_up, time) = bench.pick((1_000, 4_000), (100, 300));
    let (warm_up, time) = (Duration::from_millis(warm_up), Duration::from_millis(time));

    let (mut quiet, mut attacked) = (Latencies::default(), Latencies::default());
    let (mut cpu, mut memory, mut blows) = (Duration::ZERO, 0, 0.0);
    for _ in 0..ROUNDS {
        talk.for_a_while(warm_up, &mut Latencies::default())?;
        talk.for_a_while(time, &mut quiet)?;
        let attackers = Attackers::start(attack, server.address());
        talk.for_a_while(warm_up, &mut Latencies::default())?;
        let before = server.cpu()?;
        talk.for_a_while(time, &mut attacked)?;
        cpu += server.cpu()? - before;
        memory = memory.max(server.memory()?);
        blows += attackers.stop() / f64::from(ROUNDS);
    }
    let (before, during) = (quiet.percentile(0.99), attacked.percentile(0.99));
    Ok(vec![
        Measure::plain("p50 before", quiet.percentile(0.5), "ms"),
        Measure::plain("p50 during", attacked.percentile(0.5), "ms"),
        Measure::plain("p99 before", before, "ms"),
        Measure::plain("p99 during", during, "ms"),
        Measure::plain("p99 ratio", during / before, ""),
        Measure::plain("blows a second", blows, ""),
        Measure::plain("server CPU during", (cpu / ROUNDS).as_secs_f64() / time.as_secs_f64() * 100.0, "%"),
        Measure::plain("memory", memory as f64 / (1024.0 * 1024.0), "MiB"),
    ])
}

fn room(user: usize) -> String {
    format!("room-{}", user % ROOMS)
}

/// The normal clients, and the messages that they have sent so far.
struct Talk {
    fleet: Fleet,
    sent: Vec<Instant>,
    body: String,
}

impl Talk {
    /// Clients send at their rate for so long, in turns; adds how long acknowledgements took, all of them.
    fn for_a_while(&mut self, time: Duration, latencies: &mut Latencies) -> Result<()> {
        let gap = Duration::from_secs(1) / (PER_SECOND * CLIENTS as u32);
        let (began, first) = (Instant::now(), self.sent.len());
        let (mut missing, mut news) = (0, Vec::new());
        let wanted = (time.as_secs_f64() / gap.as_secs_f64()) as usize;
        while missing > 0 || self.sent.len() < first + wanted {
            // Timed from when it was due: a client that is late must not hide that the server was.
            let due = |index: usize| began + gap * (index - first) as u32;
            while self.sent.len() < first + wanted && due(self.sent.len()) <= Instant::now() {
                let (number, client) = (self.sent.len(), self.sent.len() % CLIENTS);
                self.sent.push(due(number));
                missing += 1;
                self.fleet.send(client, &room(client), number as u64, &self.body);
            }
            let wait = due(self.sent.len()).saturating_duration_since(Instant::now()).min(Duration::from_millis(20));
            self.fleet.turn(wait, &mut news)?;
            for FleetEvent { client, at, what } in news.drain(..) {
                match what {
                    What::Ack { number } => {
                        let sent = self.sent[usize::try_from(number)?];
                        latencies.record(at.saturating_duration_since(sent));
                        missing -= 1;
                    }
                    What::Gone { .. } | What::Close { .. } => bail!("client {client} was thrown out: {what:?}"),
                    What::Ready | What::Message { .. } => {}
                }
            }
        }
        Ok(())
    }
}
