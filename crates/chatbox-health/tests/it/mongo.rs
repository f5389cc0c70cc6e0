//! The MongoDB pinger, against sockets that misbehave and against a real server.

use std::error::Error;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use chatbox_health::{Health, Hysteresis, MongoPing, Readiness};
use mongodb::Client;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::support::{error_of, json};

/// Held by each test that uses the shared server, because one of them freezes it.
static SERVER: Mutex<()> = Mutex::const_new(());

/// Far more than a check's timeout of 2 s, far less than the driver would wait by itself.
const BOUND: Duration = Duration::from_secs(8);

fn env(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    if value.is_none() {
        // Past the test harness, which hides what a passing test prints with a macro.
        let _ = writeln!(std::io::stderr(), "not run: {name} is unset");
    }
    value
}

fn health(ping: MongoPing) -> Health {
    Health::builder().check("mongodb", ping).build()
}

async fn ask(health: &Health) -> Readiness {
    let answer = timeout(BOUND, health.readiness()).await;
    answer.expect("a check's timeout bounds the probe")
}

/// Asks until the server is found to be ready again.
async fn recovered(health: &Health) {
    let recovery = async { while !health.readiness().await.is_ready() {} };
    let waited = timeout(Duration::from_secs(60), recovery).await;
    waited.expect("the server answers again");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_the_connection_string() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let uri = format!("mongodb://alice:s3cret@{address}/admin");
    let readiness = ask(&health(MongoPing::connect(&uri).await.unwrap())).await;
    assert_eq!(error_of(&readiness, "mongodb").unwrap(), "no reachable server");
    let shown = json(&readiness);
    for private in ["alice", "s3cret", "127.0.0.1"] {
        assert!(!shown.contains(private), "{shown}");
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("mongodb://{}", listener.local_addr().unwrap());
    let readiness = ask(&health(MongoPing::connect(&uri).await.unwrap())).await;
    assert!(!readiness.is_ready());
}

#[tokio::test]
async fn a_bad_connection_string_is_refused_without_quoting_it() {
    for uri in [
        "",
        "postgres://alice:s3cret@db.internal",
        // A password with a character that had to be escaped: the driver takes it for a port.
        "mongodb://alice:s3cret/9@db.internal",
        "mongodb://alice:s3cret@db.internal/?heartbeatFrequencyMS=1",
        "mongodb://alice:s3cret@db.internal/?w=s3cret&journal=s3cret",
    ] {
        let error = MongoPing::connect(uri).await.expect_err(uri);
        assert_eq!(error.to_string(), "the MongoDB connection string is not valid");
        assert!(error.source().is_none());
        assert!(!format!("{error:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn a_live_server_is_ready() {
    let Some(uri) = env("CHATBOX_TEST_MONGODB_URI") else {
        return;
    };
    let _server = SERVER.lock().await;
    let own = MongoPing::connect(&uri).await.unwrap();
    let shared = MongoPing::new(Client::with_uri_str(&uri).await.unwrap());
    for ping in [own, shared] {
        let readiness = ask(&health(ping)).await;
        assert!(readiness.is_ready(), "{}", json(&readiness));
    }
}

#[tokio::test]
async fn a_client_that_was_shut_down_is_not_ready() {
    let Some(uri) = env("CHATBOX_TEST_MONGODB_URI") else {
        return;
    };
    let _server = SERVER.lock().await;
    let client = Client::with_uri_str(&uri).await.unwrap();
    client.clone().shutdown().await;
    let readiness = ask(&health(MongoPing::new(client))).await;
    let error = error_of(&readiness, "mongodb").unwrap();
    assert_eq!(error, "client has been shut down");
}

#[tokio::test]
async fn a_frozen_server_is_not_ready_within_the_timeout_and_ready_once_thawed() {
    let (Some(uri), Some(pid)) = (env("CHATBOX_TEST_MONGODB_URI"), env("CHATBOX_TEST_MONGODB_PID")) else {
        return;
    };
    let _server = SERVER.lock().await;
    let own = MongoPing::connect(&uri).await.unwrap();
    let shared = MongoPing::new(Client::with_uri_str(&uri).await.unwrap());
    for ping in [own, shared] {
        // Without the cache, so that each question is a ping.
        let health = Health::builder().cache(Duration::ZERO).check_with("mongodb", Hysteresis::NONE, ping).build();
        // The ping that finds the server frozen goes out on a pooled connection.
        recovered(&health).await;
        let frozen = Frozen::freeze(pid.clone());
        for _ in 0..3 {
            assert!(!ask(&health).await.is_ready());
        }
        drop(frozen);
        recovered(&health).await;
    }
}

/// A process that is stopped until this is dropped.
struct Frozen {
    pid: String,
}

impl Frozen {
    fn freeze(pid: String) -> Self {
        let frozen = Self { pid };
        assert!(frozen.signal("-STOP"));
        // The signal is delivered when each thread next enters the kernel: until then the server may still answer.
        while !frozen.is_stopped() {
            std::thread::yield_now();
        }
        frozen
    }

    /// Whether every thread is in state `T` (proc(5)).
    fn is_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid)).expect("the server runs");
        tasks.flatten().all(|task| {
            let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
        })
    }

    fn signal(&self, signal: &str) -> bool {
        let kill = Command::new("kill").args([signal, &self.pid]).status();
        kill.is_ok_and(|status| status.success())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if !self.signal("-CONT") {
            eprintln!("could not thaw process {}", self.pid);
        }
    }
}
