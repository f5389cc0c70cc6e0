//! What was acknowledged survives `kill -9`, exactly once.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use chatbox_store::{AppendResult, SqliteStore, Store};

use chatbox_store::conformance::support::{draft, everything, insist};

const PATH: &str = "CHATBOX_STORE_CRASH_PATH";
const ROUND: &str = "CHATBOX_STORE_CRASH_ROUND";
const ROOMS: usize = 3;

/// How often the process is killed: a fault that shows once in twenty times is missed with a probability of 4 %.
const ROUNDS: usize = 64;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill_exactly_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chatbox.db");
    let mut acknowledged = HashMap::new();
    for (round, enough) in (0..ROUNDS).map(|round| (round, 1 + round * round * 17 % 151)) {
        kill_after(&path, round, enough, &mut acknowledged);

        let store = SqliteStore::open(&path).await.unwrap();
        let mut stored = HashMap::new();
        for room in (0..ROOMS).map(|n| format!("r{n}")) {
            for (n, message) in everything(&store, &room).await.into_iter().enumerate() {
                assert_eq!(message.seq, n as u64 + 1, "a gap in {room}");
                let twice = stored.insert((room.clone(), message.id.to_string()), message.seq);
                assert_eq!(twice, None, "{} is in {room} twice", message.id);
            }
        }
        for (message, seq) in &acknowledged {
            assert_eq!(stored.get(message), Some(seq), "{message:?} was acknowledged");
        }
        store.close().await.unwrap();
    }
    assert!(acknowledged.len() >= 40 * ROUNDS);
}

/// Lets another process append until that many were acknowledged, kills it while it goes on, and
/// notes everything that it has acknowledged by then.
fn kill_after(path: &Path, round: usize, enough: usize, acknowledged: &mut HashMap<(String, String), u64>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "sqlite::crash::appends_until_killed"])
        .env(PATH, path)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = 0;
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.map(Result::unwrap) {
        // The test harness writes to the same stream, and the last line may be torn.
        let Some(fields) = line.strip_prefix("ack ").and_then(|line| line.strip_suffix(" .")) else {
            continue;
        };
        let [room, id, seq] = fields.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        acknowledged.insert((room.to_owned(), id.to_owned()), seq.parse().unwrap());
        seen += 1;
        if seen == enough {
            child.kill().unwrap();
        }
    }
    assert!(seen >= enough, "the other process ended by itself: {:?}", child.wait());
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "is started by the test above, and killed"]
async fn appends_until_killed() {
    let (Ok(path), Ok(round)) = (env::var(PATH), env::var(ROUND)) else { return };
    let store = Arc::new(SqliteStore::open(path).await.unwrap());
    let writers = (0..4 * ROOMS).map(|writer| {
        let (store, round) = (store.clone(), round.clone());
        tokio::spawn(async move {
            let room = format!("r{}", writer % ROOMS);
            for n in 0.. {
                let id = format!("{round}-{writer}-{n}");
                let AppendResult::New(seq) = insist(&*store, &room, draft("alice", &id)).await else {
                    panic!("{id} was stored before")
                };
                std::io::stdout().write_all(format!("\nack {room} {id} {seq} .\n").as_bytes()).unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
}
