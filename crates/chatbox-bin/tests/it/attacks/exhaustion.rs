//! Attacks that exhaust connections, file descriptors, memory or time. One server each.

use super::Attack;
use super::costs::Load;
use super::frames::kind;
use super::harness::{Case, case, under};
use crate::harness::{Peer, Server, Setup, frame, get, until, within};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

pub(super) fn all() -> Vec<Attack> {
    let connections = |connections| Load { connections, ..Load::default() };
    let idle = |idle| Load { idle, ..Load::default() };
    let heads = |heads| Load { heads, ..Load::default() };
    let senders = |count| Load { connections: count, senders: count, ..Load::default() };
    vec![
        Box::pin(under(Setup::new(), idle(10), async |server| vec![one_user(server).await])),
        Box::pin(under(Setup::new().set("limits.max_connections=50"), idle(50), async |server| {
            vec![all_users(server).await]
        })),
        Box::pin(under(Setup::new().set("limits.max_handshakes=50"), heads(50), async |server| {
            vec![handshakes(server).await]
        })),
        Box::pin(under(Setup::new(), heads(200), async |server| vec![descriptors(server).await])),
        Box::pin(under(impatient(), connections(20), async |server| half_open(server).await)),
        Box::pin(under(Setup::new(), idle(10), async |server| vec![comings_and_goings(server).await])),
        Box::pin(under(Setup::new().set("limits.max_connections_per_user=50"), connections(50), async |server| {
            vec![begun_messages(server).await]
        })),
        Box::pin(under(eager("sqlite:chat.db"), senders(2), async |server| vec![unread(server).await])),
        Box::pin(under(eager("sqlite:chat.db").set("limits.write_timeout=1m"), senders(20), async |server| {
            vec![unread_replays(server).await]
        })),
        Box::pin(under(eager("memory:"), senders(1), async |server| vec![unread_answers(server).await])),
        Box::pin(under(Setup::new(), senders(1), async |server| vec![too_fast(server).await])),
        Box::pin(under(eager("sqlite:chat.db"), Load { rooms: 64, ..connections(1) }, async |server| {
            rooms(server).await
        })),
        Box::pin(under(eager("memory:").set("limits.rooms_per_minute=1000"), idle(1), async |server| {
            vec![rooms_a_minute(server).await]
        })),
    ]
}

/// Silence is short.
fn impatient() -> Setup {
    Setup::new().set("heartbeat.interval=500ms").set("heartbeat.timeout=3s")
}

/// Without rate limits, and with a short time limit for clients that do not read.
pub(super) fn eager(store: &str) -> Setup {
    let setup = Setup::over(store).set("limits.messages_per_second=1000000").set("limits.burst=1000000");
    let setup = setup.set("limits.rooms_per_minute=1000000");
    setup.set("limits.write_timeout=1s").set("shutdown.close_handshake=1s")
}

async fn one_user(server: &Server) -> Case {
    let observed = flood(server, 50, |_| "mallory".to_owned()).await;
    case("50 connections of one user", "10 are let in, the others told to wait: 429", observed)
}

async fn all_users(server: &Server) -> Case {
    let observed = flood(server, 100, |n| format!("mallory-{n}")).await;
    case(
        "100 connections of 100 users, where 50 fit",
        "48 are let in beside the bystanders, the others refused: 503",
        observed,
    )
}

/// So many handshakes; those that succeed are held, and answer pings.
async fn flood(server: &Server, count: usize, user: impl Fn(usize) -> String) -> String {
    let (mut held, mut refused) = (JoinSet::new(), BTreeMap::new());
    for n in 0..count {
        match Peer::handshake(server.at, &server.ws(&user(n)), "").await {
            Ok(mut peer) => {
                held.spawn(async move { while peer.next().await.is_ok() {} });
            }
            Err(response) => {
                let after = if response.status == 429 { "3" } else { "1" };
                assert_eq!(response.header("retry-after"), Some(after));
                let code = response.json()["error"].as_str().unwrap().to_owned();
                *refused.entry(format!("{} `{code}`", response.status)).or_insert(0) += 1;
            }
        }
    }
    let refused: Vec<_> = refused.into_iter().map(|(what, count)| format!("{count} × {what}")).collect();
    format!("{} let in, {}", held.len(), refused.join(", "))
}

async fn handshakes(server: &Server) -> Case {
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(server.at).await.unwrap());
    }
    // Waits in the kernel's queue behind all of them.
    server.connect("alice").await.close(1000).await;
    case(
        "200 handshakes that are not begun, where 50 fit",
        "the oldest give way, newcomers are let in",
        "a newcomer is let in",
    )
}

async fn descriptors(server: &mut Server) -> Case {
    let pid = server.pid();
    let open = std::fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid())).unwrap().count() as u64;
    let limit = |current| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        prlimit(Some(pid), Resource::Nofile, Rlimit { current, maximum }).unwrap();
    };
    limit(Some(open + 20));
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(TcpStream::connect(server.at).await.unwrap());
    }
    let said = server.line(|line| line["message"] == "Cannot accept connections").await;
    assert_eq!(said["level"], "ERROR");
    drop(held);
    until("a newcomer to be let in", async || {
        get(server.at, "/chat/healthz").await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    case(
        "200 connections with 20 file descriptors left",
        "logged; who is there is served; newcomers are again once there are descriptors",
        "it was logged, a newcomer is let in once they have gone",
    )
}

async fn half_open(server: &Server) -> Vec<Case> {
    // They neither read nor send, like clients whose machines have lost power.
    let mut silent = Vec::new();
    let halves: [&[u8]; 3] = [b"", &[0x81, 0xFE, 0x10], &frame(0x01, b"{\"type\":\"join\"")[..9]];
    for (n, half) in (0..).zip(halves.iter().cycle().take(18)) {
        let mut peer = server.connect(&format!("mallory-{n}")).await;
        peer.raw(half).await;
        silent.push(peer);
    }
    let gone = r#"chatbox_connection_close_errors_total{kind="heartbeat_timeout"} 18"#;
    until("all to be given up", async || metrics(server.at).await.contains(gone)).await;
    ["after their handshake", "within the header of a frame", "within a message"]
        .map(|moment| {
            let expected = "given up after `heartbeat.timeout`";
            case(format!("6 peers that fall silent {moment}"), expected, "6 given up: `heartbeat_timeout`")
        })
        .into()
}

async fn comings_and_goings(server: &Server) -> Case {
    for n in 0..1_000 {
        let stream = TcpStream::connect(server.at).await.unwrap();
        // Gone with a reset, as soon as it has been let in.
        stream.set_zero_linger().unwrap();
        drop(Peer::over(stream, &server.ws(&format!("mallory-{}", n % 100)), "").await.unwrap());
    }
    until("all to be gone", async || metrics(server.at).await.contains("\nchatbox_connections_active 2\n")).await;
    case("1,000 connections, each reset at once", "all are let go", "1,000 let in, none is left")
}

async fn begun_messages(server: &Server) -> Case {
    let (begin, rest) = (frame(0x01, &[b' '; 32_000]), frame(0x00, &[b' '; 32_000]));
    let mut peers = Vec::new();
    for _ in 0..50 {
        let mut peer = server.connect("mallory").await;
        peer.raw(&begin).await;
        peer.raw(&rest).await;
        // Behind the pong everything before it has been read.
        peer.send_frame(0x89, b"").await;
        assert!(matches!(peer.next().await, Ok(crate::harness::Frame::Pong(_))));
        peers.push(peer);
    }
    let mut answers = Vec::new();
    for mut peer in peers {
        peer.send_frame(0x80, b"hello").await;
        answers.push(kind(&peer.text().await));
    }
    answers.dedup();
    case(
        "50 connections with 64,000 bytes of a message that does not end",
        "held, within the bound",
        format!("held; each is answered at its end: {}", answers.join(", ")),
    )
}

async fn narrow(server: &Server, user: &str) -> Peer {
    Peer::over(little_window(server.at).await, &server.ws(user), "").await.unwrap()
}

/// A connection with so small a window that what is not read from it stays with the server.
pub(super) async fn little_window(at: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(at).await.unwrap()
}

async fn unread(server: &Server) -> Case {
    const MESSAGES: u64 = 850;
    let (mut stalled, mut member) = (narrow(server, "stalled").await, server.connect("member").await);
    for peer in [&mut stalled, &mut member] {
        peer.send(r#"{"type":"join","room":"lobby"}"#).await;
        peer.until("joined").await;
    }
    let mut writer = server.connect("writer").await;
    let body = "x".repeat(60_000);
    for id in 0..MESSAGES {
        writer.send(&format!(r#"{{"type":"send","room":"lobby","id":"{id}","body":"{body}"}}"#)).await;
        writer.until("ack").await;
        assert_eq!(member.until("message").await["seq"], id + 1);
    }
    let closed = r#"chatbox_connections_closed_total{code="1013",by="server"} 1"#;
    until("the stalled one to be closed", async || metrics(server.at).await.contains(closed)).await;
    drop(stalled);
    case(
        "a member who reads nothing, with 51 MB to come",
        "1013 after `limits.write_timeout`; the other members have it all",
        "1013; another member got 850 of 850",
    )
}

async fn unread_replays(server: &Server) -> Case {
    const MESSAGES: u64 = 300;
    let mut writer = server.connect("writer").await;
    let body = "x".repeat(60_000);
    for id in 0..MESSAGES {
        writer.send(&format!(r#"{{"type":"send","room":"lobby","id":"{id}","body":"{body}"}}"#)).await;
        writer.until("ack").await;
    }
    let mut stalled = Vec::new();
    for n in 0..20 {
        let mut peer = narrow(server, &format!("mallory-{n}")).await;
        peer.send(r#"{"type":"join","room":"lobby","after":0}"#).await;
        // The replay is under way.
        peer.until("joined").await;
        stalled.push(peer);
    }
    let mut reader = server.connect("reader").await;
    reader.send(r#"{"type":"join","room":"lobby","after":0}"#).await;
    for seq in 1..=MESSAGES {
        assert_eq!(reader.until("message").await["seq"], seq);
    }
    case(
        "20 members who ask for 18 MB of history each, and read nothing of it",
        "a page each is held; others are replayed it",
        "held; another member got 300 of 300",
    )
}

async fn unread_answers(server: &Server) -> Case {
    let peer = narrow(server, "mallory").await;
    let message = frame(0x81, br#"{"type":"shout"}"#).repeat(1_000);
    let output = peer.output();
    within("the flood to be stopped", async { while output.lock().await.write_all(&message).await.is_ok() {} }).await;
    let closed = r#"chatbox_connections_closed_total{code="1013",by="server"} 1"#;
    until("it to be closed", async || metrics(server.at).await.contains(closed)).await;
    case(
        "requests without end, and no answer is read",
        "read no further; 1013 after `limits.write_timeout`",
        "read no further; 1013",
    )
}

async fn too_fast(server: &Server) -> Case {
    const MESSAGES: usize = 5_000;
    let mut peer = server.connect("mallory").await;
    let output = peer.output();
    let send = async {
        for id in 0..MESSAGES {
            let text = format!(r#"{{"type":"send","room":"lobby","id":"{id}","body":"x"}}"#);
            output.lock().await.write_all(&frame(0x81, text.as_bytes())).await.unwrap();
        }
    };
    let mut answers = BTreeMap::new();
    let read = async {
        for _ in 0..MESSAGES {
            *answers.entry(kind(&peer.text().await)).or_insert(0) += 1;
        }
    };
    tokio::join!(send, read);
    let kinds: Vec<_> = answers.keys().map(String::as_str).collect();
    assert!(answers["`ack`"] < MESSAGES, "there was a limit");
    case(
        "5,000 messages as fast as they go",
        "what is above the rate is refused, each with its answer",
        format!("5,000 answers: {}", kinds.join(" or ")),
    )
}

async fn rooms(server: &Server) -> Vec<Case> {
    const MANY: usize = 10_000;
    let mut peer = server.connect("mallory").await;
    let mut answers = BTreeMap::new();
    for n in 0..100 {
        peer.send(&format!(r#"{{"type":"join","room":"room-{n}"}}"#)).await;
        *answers.entry(kind(&peer.text().await)).or_insert(0) += 1;
    }
    let observed: Vec<_> = answers.into_iter().map(|(what, count)| format!("{count} × {what}")).collect();
    let at_once = case("100 rooms joined at the same time", "64 are", observed.join(", "));

    peer.send(r#"{"type":"leave","room":"room-0"}"#).await;
    peer.until("left").await;
    let observed = visits(&mut peer, MANY).await;
    vec![at_once, case("10,000 rooms joined and left, where the limit allows it", "forgotten again", observed)]
}

async fn rooms_a_minute(server: &Server) -> Case {
    let mut peer = server.connect("mallory").await;
    let observed = visits(&mut peer, 1_200).await;
    case("1,200 rooms joined and left within a minute", "1,000 are, the others refused", observed)
}

/// Joins so many rooms, one after the other, and leaves those that it was let into.
async fn visits(peer: &mut Peer, rooms: usize) -> String {
    let mut answers = BTreeMap::new();
    for n in 0..rooms {
        peer.send(&format!(r#"{{"type":"join","room":"other-{n}"}}"#)).await;
        let answer = kind(&peer.text().await);
        if answer == "`joined`" {
            peer.send(&format!(r#"{{"type":"leave","room":"other-{n}"}}"#)).await;
            assert_eq!(peer.message().await["type"], "left");
        }
        *answers.entry(answer).or_insert(0) += 1;
    }
    let observed: Vec<_> = answers.into_iter().map(|(what, count)| format!("{count} × {what}")).collect();
    observed.join(", ")
}

async fn metrics(at: SocketAddr) -> String {
    get(at, "/metrics").await.unwrap().body
}
