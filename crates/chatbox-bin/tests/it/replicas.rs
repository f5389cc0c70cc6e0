//! Several replicas over one MongoDB, and what becomes of them when it does not answer.

use crate::harness::{Peer, Server, Setup, TERMINATE, get, until};
use serde_json::Value;
use std::io::Write;
use std::time::SystemTime;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The server that the environment names, as host and port.
fn mongodb() -> Option<String> {
    const VARIABLE: &str = "CHATBOX_TEST_MONGODB_URI";
    let Ok(uri) = std::env::var(VARIABLE) else {
        // Past the test harness, which hides what a passing test prints with a macro.
        let _ = writeln!(std::io::stderr(), "not run: {VARIABLE} is unset");
        return None;
    };
    let (_, rest) = uri.split_once("://").unwrap();
    Some(rest.split(['/', '?']).next().unwrap().split(',').next().unwrap().to_owned())
}

/// The URL of a database that does not exist yet.
fn store(server: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    format!("mongodb://{server}/chatbox-test-{}?directConnection=true", now.as_nanos())
}

/// A way to the server on which everything can be held up, as by a server that is frozen.
struct Proxy {
    address: String,
    held: watch::Sender<bool>,
}

impl Proxy {
    async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let held = watch::Sender::new(false);
        let holding = held.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let ((from, to), (back, out)) = (client.into_split(), server.into_split());
                tokio::spawn(forward(from, out, holding.clone()));
                tokio::spawn(forward(back, to, holding.clone()));
            }
        });
        Self { address, held }
    }

    fn freeze(&self) {
        self.held.send_replace(true);
    }

    fn thaw(&self) {
        self.held.send_replace(false);
    }
}

async fn forward(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut held: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if held.wait_for(|held| !held).await.is_err() || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn replica(store: &str) -> Server {
    Setup::over(store).set("limits.messages_per_second=10000").set("limits.burst=10000").start().await
}

async fn join(server: &Server, user: &str) -> Peer {
    let mut peer = server.connect(user).await;
    peer.send(r#"{"type":"join","room":"r"}"#).await;
    assert_eq!(peer.message().await["type"], "joined");
    peer
}

async fn send(peer: &mut Peer, id: &str) {
    peer.send(&format!(r#"{{"type":"send","room":"r","id":"{id}","body":"x"}}"#)).await;
}

/// The answer to what was sent. A message may come before it, also one's own: by the way of the others' messages.
async fn answer(peer: &mut Peer, seen: &mut Vec<String>) -> Value {
    loop {
        let message = peer.message().await;
        match message["type"].as_str().unwrap() {
            "ack" | "error" => return message,
            "message" => seen.push(message["id"].as_str().unwrap().to_owned()),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_different_replicas_see_the_same_messages_in_the_same_order() {
    const EACH: usize = 50;
    let Some(server) = mongodb() else { return };
    let store = store(&server);
    let (first, second) = (replica(&store).await, replica(&store).await);
    let mut seen = Vec::new();
    let mut peers = [join(&first, "alice").await, join(&second, "bob").await];
    // Both at once, so that they compete for every place in the room.
    for number in 0..EACH {
        for peer in &mut peers {
            send(peer, &number.to_string()).await;
        }
    }
    for peer in &mut peers {
        let mut messages = Vec::new();
        while messages.len() < 2 * EACH {
            let message = peer.until("message").await;
            messages.push((message["seq"].as_u64().unwrap(), message["user"].to_string(), message["id"].to_string()));
        }
        seen.push(messages);
    }
    assert_eq!(seen[0], seen[1], "the same order for both");
    assert!(seen[0].iter().map(|message| message.0).eq(1..=2 * EACH as u64), "no gap and no repeat");
    for replica in [first, second] {
        assert_eq!(replica.stop(TERMINATE).await.code(), 0);
    }
}

/// The epoch is renewed after a backup was restored, here under running replicas.
#[tokio::test(flavor = "multi_thread")]
async fn members_of_running_replicas_are_told_of_a_new_epoch_and_get_what_is_stored() {
    let Some(server) = mongodb() else { return };
    let store = store(&server);
    let replicas = [replica(&store).await, replica(&store).await];
    let mut peers = [join(&replicas[0], "alice").await, join(&replicas[1], "bob").await];
    for id in 1..=20 {
        send(&mut peers[0], &id.to_string()).await;
    }
    for peer in &mut peers {
        while peer.until("message").await["seq"] != 20 {}
    }
    let epoch = chatbox_store::renew_epoch(&store.parse().unwrap()).await.unwrap();
    for peer in &mut peers {
        assert_eq!(peer.until("error").await["code"], "history_gone");
        let joined = peer.message().await;
        assert_eq!((&joined["type"], &joined["head"]), (&"joined".into(), &20.into()), "{joined}");
        assert_eq!(joined["epoch"], *epoch);
        for seq in 1..=20 {
            assert_eq!(peer.message().await["seq"], seq);
        }
    }
    // Live on both, and told once.
    send(&mut peers[1], "live").await;
    for peer in &mut peers {
        let mut next = peer.message().await;
        if next["type"] == "ack" {
            next = peer.message().await;
        }
        assert_eq!((&next["type"], &next["seq"]), (&"message".into(), &21.into()), "{next}");
    }
    for replica in replicas {
        assert_eq!(replica.stop(TERMINATE).await.code(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_freezes_acks_nothing_and_is_used_again_once_it_answers() {
    let Some(server) = mongodb() else { return };
    let store = store(&server);
    let proxy = Proxy::before(server.clone()).await;
    let (frozen, other) = (replica(&store.replace(&server, &proxy.address)).await, replica(&store).await);
    let (mut alice, mut bob) = (join(&frozen, "alice").await, join(&other, "bob").await);
    let (mut alices, mut bobs) = (Vec::new(), Vec::new());

    proxy.freeze();
    send(&mut alice, "a").await;
    let refused = answer(&mut alice, &mut alices).await;
    assert_eq!((&refused["code"], &refused["id"]), (&"store_unavailable".into(), &"a".into()), "{refused}");
    until("readyz to say no", || async { frozen.get("/readyz").await.status == 503 }).await;
    assert_eq!(frozen.get("/healthz").await.status, 200);
    assert_eq!(other.get("/readyz").await.status, 200);
    // What others say meanwhile is not heard here; it comes later.
    send(&mut bob, "b").await;
    assert_eq!(answer(&mut bob, &mut bobs).await["type"], "ack");

    proxy.thaw();
    until("readyz to say yes again", || async { frozen.get("/readyz").await.status == 200 }).await;
    send(&mut alice, "a").await;
    let ack = answer(&mut alice, &mut alices).await;
    assert_eq!((&ack["type"], &ack["id"]), (&"ack".into(), &"a".into()));
    // Both clients see both messages, once and in the same order.
    send(&mut bob, "end").await;
    for (peer, seen) in [(&mut alice, &mut alices), (&mut bob, &mut bobs)] {
        while seen.last().is_none_or(|last| last != "end") {
            seen.push(peer.until("message").await["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(alices, bobs);
    bobs.sort();
    assert_eq!(bobs, ["a", "b", "end"]);
    for replica in [frozen, other] {
        assert_eq!(replica.stop(TERMINATE).await.code(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_ends_in_time_while_the_database_is_frozen() {
    let Some(server) = mongodb() else { return };
    let proxy = Proxy::before(server.clone()).await;
    let setup = Setup::over(&store(&server).replace(&server, &proxy.address));
    let replica = setup.set("shutdown.lame_duck=100ms").set("shutdown.drain=10s").start().await;
    let mut alice = join(&replica, "alice").await;
    proxy.freeze();
    send(&mut alice, "a").await;
    until("the message to be accepted", || async {
        get(replica.at, "/metrics").await.unwrap().body.contains("chatbox_messages_accepted_total 1")
    })
    .await;
    replica.signal(TERMINATE);
    // The message is answered, one way or the other, and the goodbye said.
    let refused = answer(&mut alice, &mut Vec::new()).await;
    assert_eq!(refused["code"], "store_unavailable", "{refused}");
    alice.finish().await.assert_closed(1001, "server shutting down");
    let finished = replica.wait().await;
    let report = finished.report();
    assert_eq!(report["messages"]["accepted"], 1, "{report}");
    assert_eq!(report["messages"]["rejected"], 1, "{report}");
    assert_eq!((finished.code(), &report["outcome"]), (0, &"clean".into()), "{report}");
    assert!(report["duration_ms"].as_u64().unwrap() < 15_100, "within its budgets: {report}");
}
