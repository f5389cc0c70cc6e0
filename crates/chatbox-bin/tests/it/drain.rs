//! The drain under load: every client gets what was queued for it, Close 1001 and no reset.

use crate::harness::{Finished, Peer, PeerLog, Response, Server, Setup, TERMINATE, get, heavy, until};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

const CLIENTS: usize = 2_000;
const ROOMS: usize = 200;

/// How often a client that is sending sends: 500 messages a second from all of them, 5,000 deliveries.
const PAUSE: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_of_2000_clients_in_200_rooms_while_they_are_idle() {
    let _turn = heavy().await;
    let server = setup().start().await;
    let (clients, names) = fleet(&server).await;
    let observer = observe(&server);
    server.signal(TERMINATE);
    let farewells = all(clients.into_iter().map(|client| client.peer.finish())).await;
    let finished = server.wait().await;

    let refused = observer.await.unwrap();
    assert!(farewells.iter().all(|farewell| farewell.texts.len() == 1), "nothing but goodbye");
    assert_seen_off(&farewells);
    assert_complete(&finished, names, refused);
    assert_eq!(finished.report()["messages"]["accepted"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_of_2000_clients_in_200_rooms_while_they_are_sending() {
    let _turn = heavy().await;
    let setup = setup().set("limits.messages_per_second=100000").set("limits.burst=100000");
    let server = setup.start().await;
    let (clients, names) = fleet(&server).await;
    let acks = Arc::new(AtomicUsize::new(0));
    let mut sending = JoinSet::new();
    for client in clients {
        sending.spawn(client.talk(Arc::clone(&acks)));
    }
    until("every client or so to have had an ack", async || acks.load(Ordering::Relaxed) >= CLIENTS).await;
    let observer = observe(&server);
    server.signal(TERMINATE);
    let talked = sending.join_all().await;
    let finished = server.wait().await;

    let refused = observer.await.unwrap();
    let (farewells, acked): (Vec<_>, Vec<_>) = talked.into_iter().unzip();
    assert_seen_off(&farewells);
    assert_complete(&finished, names, refused);
    let acked: BTreeMap<String, (String, u64)> = acked.into_iter().flatten().collect();
    assert_eq!(finished.report()["messages"]["acked"], acked.len());
    assert_eq!(finished.report()["messages"]["rejected"], 0);
    assert_stored(&finished.setup.clone(), &acked).await;
}

fn setup() -> Setup {
    Setup::over("sqlite:chat.db")
        .set("shutdown.lame_duck=2s")
        .set("shutdown.termination_log=termination-log")
        .file("termination-log", "")
}

/// A client in its room.
struct Client {
    number: usize,
    room: String,
    head: u64,
    peer: Peer,
}

/// Connects all clients, each of which joins its room; returns them with the `(user_id, connection_id)` of each, sorted.
async fn fleet(server: &Server) -> (Vec<Client>, Vec<(String, String)>) {
    let (at, prefix) = (server.at, server.prefix.clone());
    let clients = all((0..CLIENTS).map(|number| {
        let path = format!("{prefix}/ws?user=user-{number}");
        async move {
            let mut peer = Peer::open(at, &path).await;
            let welcome = peer.message().await;
            let room = format!("room-{}", number % ROOMS);
            peer.send(&format!(r#"{{"type":"join","room":"{room}"}}"#)).await;
            let head = peer.until("joined").await["head"].as_u64().unwrap();
            let name =
                (welcome["user"].as_str().unwrap().to_owned(), welcome["connection"].as_str().unwrap().to_owned());
            (Client { number, room, head, peer }, name)
        }
    }))
    .await;
    let (clients, mut names): (Vec<_>, Vec<_>) = clients.into_iter().unzip();
    names.sort();
    (clients, names)
}

/// Runs them all at once.
async fn all<T: Send + 'static>(tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    tasks.into_iter().collect::<JoinSet<_>>().join_all().await
}

impl Client {
    /// Sends a message now and then, whether or not the last one is acked, until its `goodbye`. Checks that the room's
    /// messages come without a gap; returns its acks: `room/id` to `(user, seq)`.
    async fn talk(mut self, acks: Arc<AtomicUsize>) -> (PeerLog, BTreeMap<String, (String, u64)>) {
        let (mut acked, mut seen, mut sent) = (BTreeMap::new(), self.head, 0);
        let first = Instant::now() + PAUSE.mul_f64(self.number as f64 / CLIENTS as f64);
        let mut turns = tokio::time::interval_at(first, PAUSE);
        let goodbye = loop {
            let text = tokio::select! {
                text = self.peer.text() => text,
                _ = turns.tick() => {
                    self.say(sent).await;
                    sent += 1;
                    continue;
                }
            };
            let message: Value = serde_json::from_str(&text).unwrap();
            match message["type"].as_str().unwrap() {
                "message" => {
                    assert_eq!(message["seq"], seen + 1, "a gap or a repeat in {}", self.room);
                    seen += 1;
                }
                "ack" => {
                    let id = message["id"].as_str().unwrap();
                    assert_eq!(
                        id,
                        format!("{}-{}", self.number, acked.len()),
                        "acks come in the order of the messages"
                    );
                    let user = format!("user-{}", self.number);
                    acked.insert(format!("{}/{id}", self.room), (user, message["seq"].as_u64().unwrap()));
                    acks.fetch_add(1, Ordering::Relaxed);
                }
                "goodbye" => break text,
                _ => panic!("{text}"),
            }
        };
        let mut farewell = self.peer.finish().await;
        assert!(farewell.texts.is_empty(), "after goodbye: {farewell:?}");
        farewell.texts.push(goodbye);
        (farewell, acked)
    }

    async fn say(&mut self, count: usize) {
        let (room, number) = (&self.room, self.number);
        let text = format!(r#"{{"type":"send","room":"{room}","id":"{number}-{count}","body":"message {count}"}}"#);
        self.peer.send(&text).await;
    }
}

/// Watches the service from outside, from before the signal to the end; returns how many new connections were refused.
fn observe(server: &Server) -> JoinHandle<u64> {
    let (at, prefix) = (server.at, server.prefix.clone());
    tokio::spawn(async move {
        let (mut refused, mut phases) = (0, Vec::<String>::new());
        let mut look = async || -> std::io::Result<()> {
            let ready = get(at, &format!("{prefix}/readyz")).await?;
            let phase = ready.json()["phase"].as_str().unwrap().to_owned();
            let running = phase == "running";
            assert_eq!(ready.status, if running { 200 } else { 503 }, "{ready:?}");
            assert_eq!(ready.json()["status"], if running { "ready" } else { "not ready" });
            if phases.last() != Some(&phase) {
                phases.push(phase.clone());
            }
            let alive = get(at, &format!("{prefix}/healthz")).await?;
            assert_eq!((alive.status, &*alive.body), (200, r#"{"status":"healthy"}"#));
            let metrics = get(at, "/metrics").await?;
            assert_eq!(metrics.status, 200);
            let gauge = metrics.body.lines().find_map(|line| line.strip_prefix("chatbox_shutdown_phase ")).unwrap();
            if phase == "draining" {
                let has = |name: &str| metrics.body.lines().any(|line| line.starts_with(name));
                assert!(has(r#"chatbox_shutdown_phase_duration_seconds{phase="lame_duck"} "#));
                assert!(has("chatbox_shutdown_duration_seconds "));
            }
            if !running {
                assert_ne!(gauge, "0");
                assert!(metrics.body.contains("chatbox_ready 0"));
                let newcomer = newcomer(at, &prefix).await?;
                assert_eq!(newcomer.refusal(503, "draining"), "the service is shutting down");
                assert_eq!(newcomer.header("retry-after"), Some("1"));
                assert_eq!(newcomer.header("connection"), Some("close"));
                refused += 1;
            }
            Ok(())
        };
        // An error is the end: the listener has closed.
        while look().await.is_ok() {}
        let known = ["running", "lame_duck", "draining", "flushing", "stopped"];
        let order: Vec<_> = phases.iter().map(|phase| known.iter().position(|known| known == phase).unwrap()).collect();
        assert!(order.is_sorted() && order.last() > Some(&0), "{phases:?}");
        refused
    })
}

/// Asks for a WebSocket, on a connection that is read to its end.
async fn newcomer(at: std::net::SocketAddr, prefix: &str) -> std::io::Result<Response> {
    let request = format!(
        "GET {prefix}/ws?user=newcomer HTTP/1.1\r\nHost: {at}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    crate::harness::request(at, &request).await
}

/// Every client got `goodbye` with a slot of its own, then Close 1001, and no reset.
fn assert_seen_off(farewells: &[PeerLog]) {
    let slots: HashSet<u64> = farewells.iter().map(PeerLog::slot).collect();
    assert_eq!(farewells.len(), CLIENTS);
    assert_eq!(slots.len(), CLIENTS, "each client has a slot of its own");
}

/// The log has every line, and the report says that all went well.
fn assert_complete(finished: &Finished, names: Vec<(String, String)>, refused: u64) {
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    assert_eq!(finished.assert_log_of_a_drain(CLIENTS), names);
    let report = finished.report();
    assert_eq!((&report["outcome"], &report["signal"]), (&"clean".into(), &"SIGTERM".into()), "{report}");
    assert_eq!(report["connections"]["at_signal"], CLIENTS);
    assert_eq!(report["connections"]["closed"], CLIENTS);
    assert!(report["connections"]["refused"].as_u64().unwrap() >= refused && refused > 0, "{report}");
    assert_eq!(report["participants"], serde_json::json!([]));
    let phases: Vec<_> = report["phases"].as_array().unwrap().iter().map(|phase| phase["name"].clone()).collect();
    assert_eq!(phases, ["lame_duck", "draining", "flushing"]);
    assert!(report["duration_ms"].is_u64());

    let written = std::fs::read_to_string(finished.setup.path().join("termination-log")).unwrap();
    let mut written: Value = serde_json::from_str(&written).unwrap();
    for key in ["timestamp", "level", "message"] {
        written[key] = report[key].clone();
    }
    assert_eq!(&written, report);
}

/// The store holds exactly what was acked, each once with the `seq` of its ack, without a gap.
async fn assert_stored(setup: &Setup, acked: &BTreeMap<String, (String, u64)>) {
    let server = setup.start().await;
    let mut stored = BTreeMap::new();
    for room in (0..ROOMS).map(|room| format!("room-{room}")) {
        let mut after = 0;
        loop {
            let page = server.get(&format!("/rooms/{room}/messages?after={after}&limit=1000&user=x")).await.json();
            for message in page["messages"].as_array().unwrap() {
                assert_eq!(message["seq"], after + 1, "a gap in {room}");
                after += 1;
                let user = message["user"].as_str().unwrap().to_owned();
                let before = stored.insert(format!("{room}/{}", message["id"].as_str().unwrap()), (user, after));
                assert_eq!(before, None, "stored twice: {message}");
            }
            if page["head"] == after {
                break;
            }
        }
    }
    assert_eq!(&stored, acked);
}
