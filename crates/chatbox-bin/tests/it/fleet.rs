//! Ten thousand connections, all closed at once: whatever the load, no line and no Close is missing.

use crate::harness::{INTERRUPT, Peer, Server, Setup, TERMINATE, heavy};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::MutexGuard;
use tokio::task::JoinSet;

const CLIENTS: usize = 10_000;

/// Handshakes under way at once.
const AT_ONCE: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_of_10000_is_closed_at_once_and_every_line_is_written() {
    let Some((server, peers, names, _turn)) = fleet(Setup::new().set("shutdown.close_rate=0")).await else { return };
    server.signal(INTERRUPT);
    let farewells = peers.into_iter().map(Peer::finish).collect::<JoinSet<_>>().join_all().await;
    let finished = server.wait().await;

    for farewell in farewells {
        farewell.slot();
    }
    assert_eq!(finished.assert_log_of_a_drain(CLIENTS), names);
    let report = finished.report();
    assert_eq!((&report["outcome"], &report["connections"]["closed"]), (&"clean".into(), &CLIENTS.into()), "{report}");
    assert_eq!(finished.code(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_of_10000_is_cut_by_a_second_signal_and_every_line_is_written() {
    let Some((mut server, peers, names, _turn)) = fleet(Setup::new().set("shutdown.close_rate=1")).await else {
        return;
    };
    server.signal(INTERRUPT);
    server.message("Closing WebSocket connection").await;
    server.signal(TERMINATE);
    let finished = server.wait().await;
    drop(peers);

    assert_eq!(finished.assert_log_of_a_drain(CLIENTS), names);
    assert_eq!(finished.report()["outcome"], "forced");
    assert_eq!(finished.code(), 143);
}

/// A server with ten thousand connections, the `(user_id, connection_id)` of each, sorted, and the turn to have them. `None`,
/// with a line that says so, where the system does not allow so many files.
async fn fleet(setup: Setup) -> Option<(Server, Vec<Peer>, Vec<(String, String)>, MutexGuard<'static, ()>)> {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|files| files < CLIENTS as u64 + 500) {
        eprintln!("not run: the file limit (ulimit -Hn) is below {}", CLIENTS + 500);
        return None;
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let turn = heavy().await;
    let server = setup.start().await;
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
    names.sort();
    Some((server, peers, names, turn))
}
