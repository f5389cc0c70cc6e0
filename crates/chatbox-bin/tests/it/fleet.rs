//! Ten thousand connections, all closed at once: whatever the load, no line and no Close is missing.

use crate::harness::{INTERRUPT, Peer, Setup, heavy};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

const CLIENTS: usize = 10_000;

/// Handshakes under way at once.
const AT_ONCE: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_of_10000_is_closed_at_once_and_every_line_is_written() {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|files| files < CLIENTS as u64 + 500) {
        eprintln!("not run: the file limit (ulimit -Hn) is below {}", CLIENTS + 500);
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let _turn = heavy().await;
    let server = Setup::new().set("shutdown.close_rate=0").start().await;
    let (mut names, mut peers) = (Vec::new(), Vec::new());
    for from in (0..CLIENTS).step_by(AT_ONCE) {
        let (at, prefix) = (server.at, server.prefix.clone());
        let connect = |number| {
            let path = format!("{prefix}/ws?user=user-{number}");
            async move {
                let mut peer = Peer::open(at, &path).await;
                let welcome = peer.message().await;
                ((format!("user-{number}"), welcome["connection"].as_str().unwrap().to_owned()), peer)
            }
        };
        let connected = (from..from + AT_ONCE).map(connect).collect::<JoinSet<_>>().join_all().await;
        for (name, peer) in connected {
            names.push(name);
            peers.push(peer);
        }
    }
    server.signal(INTERRUPT);
    let farewells = peers.into_iter().map(Peer::finish).collect::<JoinSet<_>>().join_all().await;
    let finished = server.wait().await;

    for farewell in farewells {
        farewell.slot();
    }
    names.sort();
    assert_eq!(finished.assert_log_of_a_drain(CLIENTS), names);
    let report = finished.report();
    assert_eq!((&report["outcome"], &report["connections"]["closed"]), (&"clean".into(), &CLIENTS.into()), "{report}");
    assert_eq!(finished.code(), 0);
}
