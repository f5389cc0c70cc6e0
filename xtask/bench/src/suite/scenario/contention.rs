//! Replicas that append to one room: what competing for each place costs, beside the database's own inserts.

use crate::suite::Bench;
use crate::suite::fleet::{Fleet, Member};
use crate::suite::latency::Latencies;
use crate::suite::peer::Peer;
use crate::suite::report::{Measure, Row};
use crate::suite::senders::{self, Acknowledged};
use crate::suite::server::PATH;
use anyhow::Result;
use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, WriteConcern};
use mongodb::{Client, Collection};
use std::time::{Duration, Instant};

/// What a document beside the messages holds, as much as one of them.
const BODY: usize = 128;
const REPLICAS: usize = 3;

/// Where the server is that is measured with.
const URI: &str = "CHATBOX_TEST_MONGODB_URI";

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let Ok(uri) = std::env::var(URI) else {
        bench.report.notes.push(format!("contention: not run, {URI} names no server"));
        return Ok(());
    };
    if !bench.peers.contains(&Peer::Chatbox) {
        bench.report.notes.push("contention: only chatbox has replicas".to_owned());
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // One replica with all the writers beside three that share them: the difference is what competing costs.
    for replicas in [1, REPLICAS] {
        for writers in bench.pick(vec![3, 12, 48, 192], vec![3]) {
            let case = format!("{writers} writers on {replicas} replica{}", if replicas == 1 { "" } else { "s" });
            eprintln!("  {case}");
            let database = format!("chatbox-bench-{}-{replicas}-{writers}", std::process::id());
            let measured = measure(bench, &runtime, &uri, &database, replicas, writers);
            let dropped =
                runtime.block_on(async { Client::with_uri_str(&uri).await?.database(&database).drop().await });
            bench.report.rows.push(Row { scenario: "contention", case, peer: Peer::Chatbox, measures: measured? });
            dropped?;
        }
    }
    Ok(())
}

fn measure(
    bench: &Bench,
    runtime: &tokio::runtime::Runtime,
    uri: &str,
    database: &str,
    replicas: usize,
    writers: usize,
) -> Result<Vec<Measure>> {
    let (bare, time) = bench.pick((1_000, 5_000), (100, 500));
    let (bare, time) = (Duration::from_millis(bare), Duration::from_millis(time));
    let mut inserts = Latencies::default();
    runtime.block_on(insert(uri, database, bare, &mut inserts))?;
    let mut acks = acknowledged(bench, &with_database(uri, database), replicas, writers, time)?;
    runtime.block_on(insert(uri, database, bare, &mut inserts))?;

    let acks_a_second = acks.a_second();
    let inserts_a_second = inserts.len() as f64 / (2.0 * bare.as_secs_f64());
    Ok(vec![
        Measure::plain("acks a second", acks_a_second, ""),
        Measure::plain("ack p50", acks.latencies.percentile(0.5), "ms"),
        Measure::plain("ack p99", acks.latencies.percentile(0.99), "ms"),
        Measure::plain("insert_one p50", inserts.percentile(0.5), "ms"),
        Measure::plain("insert_one p99", inserts.percentile(0.99), "ms"),
        Measure::plain("acks ÷ single inserts", acks_a_second / inserts_a_second, ""),
        Measure::plain("ack p50 ÷ insert p50", acks.latencies.percentile(0.5) / inserts.percentile(0.5), ""),
    ])
}

/// Each writer has one message on its way, always, all to the same room.
fn acknowledged(bench: &Bench, store: &str, replicas: usize, writers: usize, time: Duration) -> Result<Acknowledged> {
    let servers = (0..replicas).map(|_| bench.programs.start_over(store)).collect::<Result<Vec<_>>>()?;
    let mut fleet = Fleet::new()?;
    for (index, started) in servers.iter().enumerate() {
        let own = (0..writers).filter(|writer| writer % replicas == index).map(Member::alone);
        fleet.join(started.server.address(), PATH, own)?;
    }
    senders::acknowledged(&mut fleet, |_| "room".to_owned(), 1, time)
}

/// Inserts one document after the other, as durably as messages are.
async fn insert(uri: &str, database: &str, time: Duration, latencies: &mut Latencies) -> Result<()> {
    let mut options = ClientOptions::parse(uri).await?;
    options.write_concern =
        Some(WriteConcern::builder().w(mongodb::options::Acknowledgment::Majority).journal(true).build());
    let bare: Collection<Document> = Client::with_options(options)?.database(database).collection("bare");
    let began = Instant::now();
    while began.elapsed() < time {
        let start = Instant::now();
        bare.insert_one(doc! { "user": "sender", "body": "x".repeat(BODY) }).await?;
        latencies.record(start.elapsed());
    }
    Ok(())
}

/// The connection string with that database.
fn with_database(uri: &str, database: &str) -> String {
    let (server, options) = uri.split_once('?').map_or((uri, None), |(server, options)| (server, Some(options)));
    let server = server.trim_end_matches('/');
    options.map_or_else(|| format!("{server}/{database}"), |options| format!("{server}/{database}?{options}"))
}
