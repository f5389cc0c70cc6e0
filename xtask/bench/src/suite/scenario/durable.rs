//! Messages acknowledged from disk, by number of senders, beside what the disk itself does: appends of 4 KiB with an fsync each.

use crate::suite::Bench;
use crate::suite::fleet::{Fleet, Member, News, What};
use crate::suite::latency::Latencies;
use crate::suite::peer::Peer;
use crate::suite::report::{Measure, Row};
use crate::suite::server::PATH;
use anyhow::{Result, bail};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

const BODY: usize = 128;
const ROOMS: usize = 8;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    if !bench.peers.contains(&Peer::Chatbox) {
        bench.report.notes.push("durable: only chatbox stores messages".to_owned());
        return Ok(());
    }
    for senders in bench.pick(vec![1, 10, 100, 1_000], vec![10]) {
        let case = format!("{senders} senders");
        eprintln!("  {case}");
        let measures = measure(bench, senders)?;
        bench.report.rows.push(Row { scenario: "durable", case, peer: Peer::Chatbox, measures });
    }
    Ok(())
}

fn measure(bench: &Bench, senders: usize) -> Result<Vec<Measure>> {
    let (bare, time) = bench.pick((1_000, 5_000), (100, 500));
    let (bare, time) = (Duration::from_millis(bare), Duration::from_millis(time));
    // Before and after, since disks have moods.
    let mut fsyncs = Latencies::default();
    fsync(&bench.programs.scratch, bare, &mut fsyncs)?;
    let (acks, elapsed) = acknowledged(bench, senders, time)?;
    fsync(&bench.programs.scratch, bare, &mut fsyncs)?;

    let mut acks = acks;
    let acks_a_second = acks.len() as f64 / elapsed.as_secs_f64();
    let fsyncs_a_second = fsyncs.len() as f64 / (2.0 * bare.as_secs_f64());
    Ok(vec![
        Measure::plain("acks a second", acks_a_second, ""),
        Measure::plain("ack p50", acks.percentile(0.5), "ms"),
        Measure::plain("ack p99", acks.percentile(0.99), "ms"),
        Measure::plain("fsyncs a second", fsyncs_a_second, ""),
        Measure::plain("fsync p50", fsyncs.percentile(0.5), "ms"),
        Measure::plain("fsync p99", fsyncs.percentile(0.99), "ms"),
        Measure::plain("acks ÷ fsyncs", acks_a_second / fsyncs_a_second, ""),
    ])
}

/// Each sender has one message on its way, always.
fn acknowledged(bench: &Bench, senders: usize, time: Duration) -> Result<(Latencies, Duration)> {
    let started = bench.programs.start(Peer::Chatbox, true)?;
    let mut fleet = Fleet::new()?;
    fleet.join(started.server.address(), PATH, (0..senders).map(Member::alone))?;
    let body = "x".repeat(BODY);
    let mut sent: Vec<Instant> = Vec::new();
    let send = |fleet: &mut Fleet, sender: usize, sent: &mut Vec<Instant>| {
        sent.push(Instant::now());
        fleet.send(sender, &format!("room-{}", sender % ROOMS), sent.len() as u64 - 1, &body);
    };
    for sender in 0..senders {
        send(&mut fleet, sender, &mut sent);
    }
    let warm_up = time / 5;
    let (began, mut news, mut acks) = (Instant::now(), Vec::new(), Latencies::default());
    while began.elapsed() < warm_up + time {
        fleet.turn(Duration::from_millis(100), &mut news)?;
        for News { client, at, what } in news.drain(..) {
            match what {
                What::Ack { number } => {
                    if at - began > warm_up {
                        acks.record(at - sent[usize::try_from(number)?]);
                    }
                    send(&mut fleet, client, &mut sent);
                }
                What::Gone { .. } | What::Close { .. } => bail!("a sender was thrown out"),
                What::Ready | What::Message { .. } => {}
            }
        }
    }
    Ok((acks, began.elapsed() - warm_up))
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
