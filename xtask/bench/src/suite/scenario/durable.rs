//! Messages acknowledged from disk, by number of senders, beside what the disk itself does: appends of 4 KiB with an fsync each.

use crate::suite::Bench;
use crate::suite::fleet::{Fleet, Member};
use crate::suite::latency::Latencies;
use crate::suite::peer::Peer;
use crate::suite::report::{Measure, Row};
use crate::suite::senders::{self, Acknowledged};
use crate::suite::server::PATH;
use anyhow::Result;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const ROOMS: usize = 8;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    if !bench.peers.contains(&Peer::Chatbox) {
        bench.report.notes.push("durable: only chatbox stores messages".to_owned());
        return Ok(());
    }
    for (senders, in_flight) in bench.pick(vec![(1, 1), (10, 1), (100, 1), (1_000, 1), (1_000, 16)], vec![(10, 2)]) {
        let case = format!("{senders} senders, {in_flight} in flight each");
        eprintln!("  {case}");
        let measures = measure(bench, senders, in_flight)?;
        bench.report.rows.push(Row { scenario: "durable", case, peer: Peer::Chatbox, measures });
    }
    Ok(())
}

fn measure(bench: &Bench, senders: usize, in_flight: usize) -> Result<Vec<Measure>> {
    let (bare, time) = bench.pick((1_000, 5_000), (100, 500));
    let (bare, time) = (Duration::from_millis(bare), Duration::from_millis(time));
    // Before and after, since disks have moods.
    let mut fsyncs = Latencies::default();
    fsync(&bench.programs.scratch, bare, &mut fsyncs)?;
    let (mut acks, cpu) = acknowledged(bench, senders, in_flight, time)?;
    fsync(&bench.programs.scratch, bare, &mut fsyncs)?;

    let acks_a_second = acks.a_second();
    let fsyncs_a_second = fsyncs.len() as f64 / (2.0 * bare.as_secs_f64());
    Ok(vec![
        Measure::plain("acks a second", acks_a_second, ""),
        Measure::plain("ack p50", acks.latencies.percentile(0.5), "ms"),
        Measure::plain("ack p99", acks.latencies.percentile(0.99), "ms"),
        Measure::plain("CPU per ack", cpu.as_secs_f64() * 1e6 / acks.all as f64, "µs"),
        Measure::plain("fsyncs a second", fsyncs_a_second, ""),
        Measure::plain("fsync p50", fsyncs.percentile(0.5), "ms"),
        Measure::plain("fsync p99", fsyncs.percentile(0.99), "ms"),
        Measure::plain("acks ÷ fsyncs", acks_a_second / fsyncs_a_second, ""),
    ])
}

/// What was acknowledged, and the processor time that the server took for it.
fn acknowledged(bench: &Bench, senders: usize, in_flight: usize, time: Duration) -> Result<(Acknowledged, Duration)> {
    let started = bench.programs.start(Peer::Chatbox, true)?;
    let mut fleet = Fleet::new()?;
    fleet.join(started.server.address(), PATH, (0..senders).map(Member::alone))?;
    let cpu = started.server.cpu()?;
    let acks = senders::acknowledged(&mut fleet, |sender| format!("room-{}", sender % ROOMS), in_flight, time)?;
    Ok((acks, started.server.cpu()? - cpu))
}

/// Appends 4 KiB to a file and has it written to the disk, again and again.
fn fsync(folder: &Path, time: Duration, latencies: &mut Latencies) -> Result<()> {
    let path = folder.join("fsync");
    let mut file = File::create(&path)?;
    let began = Instant::now();
    while began.elapsed() < time {
        let start = Instant::now();
        file.write_all(&[0x55; 4096])?;
        file.sync_all()?;
        latencies.record(start.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(())
}
