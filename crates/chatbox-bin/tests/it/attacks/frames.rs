//! Attacks after the upgrade: frames that violate the protocol, and floods of frames that do not.

use super::Attack;
use super::costs::Load;
use super::harness::{Case, case, under};
use crate::harness::{End, Frame, Peer, Server, Setup, frame};
use std::collections::BTreeMap;
use tokio::io::AsyncWriteExt;

/// How many frames are a flood.
const FLOOD: usize = 20_000;

pub(super) fn all() -> Vec<Attack> {
    let load = Load { connections: 1, ..Load::default() };
    vec![
        Box::pin(under(Setup::new(), load, async |server| breaches(server).await)),
        Box::pin(under(Setup::new(), load, async |server| floods(server).await)),
    ]
}

async fn breaches(server: &Server) -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, bytes, expected) in bad_frames() {
        cases.push(case(what, expected, answered(server, &bytes).await));
    }
    cases.push(case(
        "bytes that are no frame, in one packet with the upgrade",
        "1002",
        behind_the_upgrade(server).await,
    ));
    cases.push(case(
        "a request that comes a byte at a time",
        "it is taken once it is there",
        a_byte_at_a_time(server).await,
    ));
    cases
}

async fn behind_the_upgrade(server: &Server) -> String {
    // The blank line ends the request; what follows is no header any more.
    let mut peer = Peer::handshake(server.at, &server.ws("mallory"), "\r\nno frame").await.unwrap();
    ending(&mut peer).await
}

async fn a_byte_at_a_time(server: &Server) -> String {
    let mut peer = server.connect("mallory").await;
    for byte in frame(0x81, br#"{"type":"join","room":"lobby"}"#) {
        peer.raw(&[byte]).await;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    kind(&peer.text().await)
}

async fn floods(server: &Server) -> Vec<Case> {
    let mut cases = Vec::new();
    let empty = frame(0x00, b"");
    for (what, bytes, expected) in [
        ("pings", frame(0x89, b"are you there?").repeat(FLOOD), "a pong for each, 1000"),
        ("unsolicited pongs", frame(0x8A, b"").repeat(FLOOD), "1000"),
        ("Closes", frame(0x88, &[0x0F, 0xA0]).repeat(FLOOD), "one Close, with the peer's code"),
        ("fragments of one byte", [frame(0x01, b"{"), frame(0x00, b"{").repeat(FLOOD)].concat(), "1000"),
        ("empty fragments", [frame(0x01, b""), empty.repeat(FLOOD)].concat(), "1000"),
    ] {
        cases.push(case(format!("{FLOOD} {what}"), expected, answered(server, &bytes).await));
    }
    for (user, what, message) in [
        ("mallory-1", "empty messages", frame(0x81, b"")),
        ("mallory-2", "messages of an unknown `type`", frame(0x81, br#"{"type":"shout","room":"lobby","id":"1"}"#)),
    ] {
        cases.push(unread(server, user, what, &message).await);
    }
    cases
}

/// Messages that are none, as fast as they go, of a user whose rate is unused. How many of them are above the rate depends on the machine.
async fn unread(server: &Server, user: &str, what: &str, message: &[u8]) -> Case {
    let answers = answers(server.connect(user).await, &message.repeat(FLOOD)).await;
    let (count, rest): (Vec<_>, Vec<_>) = answers.split(", ").partition(|word| word.contains(" × "));
    let count: Vec<_> = count.iter().map(|word| word.split_once(" × ").unwrap()).collect();
    let sum: usize = count.iter().map(|(count, _)| count.parse::<usize>().unwrap()).sum();
    let kinds: Vec<_> = count.iter().map(|(_, kind)| *kind).collect();
    let observed = format!("{sum} × {}, {}", kinds.join(" or "), rest.join(", "));
    case(format!("{FLOOD} {what}"), "an error for each, above the rate `rate_limited`, 1000", observed)
}

/// Sends these bytes and a Close with 1000 behind them; says in a few words what came back until the end. Who has not been found
/// fault with is answered with 1000.
async fn answered(server: &Server, bytes: &[u8]) -> String {
    answers(server.connect("mallory").await, bytes).await
}

async fn answers(mut peer: Peer, bytes: &[u8]) -> String {
    let output = peer.output();
    let bytes = [bytes, &frame(0x88, &1000_u16.to_be_bytes())].concat();
    let send = async {
        // A server that has heard enough does not read the rest.
        let _ = output.lock().await.write_all(&bytes).await;
    };
    tokio::join!(send, ending(&mut peer)).1
}

/// What a peer receives until the end of its connection.
async fn ending(peer: &mut Peer) -> String {
    let (mut count, mut words) = (BTreeMap::new(), Vec::new());
    peer.polite = false;
    let end = loop {
        match peer.next().await {
            Ok(Frame::Close(code, reason)) if reason.is_empty() => words.push(code.to_string()),
            Ok(Frame::Close(code, reason)) => words.push(format!("{code} `{reason}`")),
            Ok(Frame::Pong(_)) => *count.entry("pong".to_owned()).or_insert(0) += 1,
            Ok(Frame::Text(text)) => *count.entry(kind(&text)).or_insert(0) += 1,
            Ok(Frame::Ping(_)) => {}
            Err(end) => break end,
        }
    };
    let counted = count.into_iter().map(|(what, count)| format!("{count} × {what}"));
    let reset = (end != End::Eof).then(|| format!("{end:?}"));
    counted.chain(words).chain(reset).collect::<Vec<_>>().join(", ")
}

/// The type of a message; of an error, its code.
pub(super) fn kind(text: &str) -> String {
    let message: serde_json::Value = serde_json::from_str(text).unwrap();
    let key = if message["type"] == "error" { "code" } else { "type" };
    format!("`{}`", message[key].as_str().unwrap())
}

fn bad_frames() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let big = [b'x'; 65_537];
    let join = br#"{"type":"join","room":"lobby"}"#;
    let unmasked = [&[0x81, join.len() as u8][..], join].concat();
    let long = |length: u64| [&[0x81, 0xFF][..], &length.to_be_bytes(), &[0; 4]].concat();
    let noise: Vec<u8> = (0..4_096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 9) as u8).collect();
    vec![
        ("a frame without a mask", unmasked, "1002"),
        ("RSV1", frame(0xC1, b"x"), "1002"),
        ("RSV2", frame(0xA1, b"x"), "1002"),
        ("RSV3", frame(0x91, b"x"), "1002"),
        ("opcode 3", frame(0x83, b"x"), "1002"),
        ("opcode 15", frame(0x8F, b"x"), "1002"),
        ("a continuation of nothing", frame(0x80, b"x"), "1002"),
        ("a message within a message", [frame(0x01, b"x"), frame(0x81, b"x")].concat(), "1002"),
        ("a ping in fragments", frame(0x09, b"x"), "1002"),
        ("a ping of 126 bytes", frame(0x89, &big[..126]), "1002"),
        ("a length that is not in its shortest form", vec![0x81, 0xFE, 0, 1, 0, 0, 0, 0, b'x'], "1002"),
        ("a length of 2⁶³", long(1 << 63), "1002"),
        ("a length of 2⁶³ − 1", long((1 << 63) - 1), "1009"),
        ("a message of 65,537 bytes", frame(0x81, &big), "1009"),
        ("the same in two fragments", [frame(0x01, &big[..40_000]), frame(0x80, &big[..25_537])].concat(), "1009"),
        ("fragments without an end", [frame(0x01, b"x"), frame(0x00, &big[..1_000]).repeat(1_000)].concat(), "1009"),
        ("a binary message", frame(0x82, b"x"), "1003"),
        ("text that is not UTF-8", frame(0x81, b"\xFF\xFE"), "1007"),
        ("an overlong encoding of `/`", frame(0x81, b"\xC0\xAF"), "1007"),
        ("a surrogate in UTF-8", frame(0x81, b"\xED\xA0\x80"), "1007"),
        ("a character cut off by the end", [frame(0x01, b"\xF0\x9F"), frame(0x80, b"")].concat(), "1007"),
        ("half a close code", frame(0x88, &[3]), "1002"),
        ("close code 1005", frame(0x88, &1005_u16.to_be_bytes()), "1002"),
        ("close code 1006", frame(0x88, &1006_u16.to_be_bytes()), "1002"),
        ("close code 999", frame(0x88, &999_u16.to_be_bytes()), "1002"),
        ("close code 65535", frame(0x88, &65_535_u16.to_be_bytes()), "1002"),
        ("a Close whose text is not UTF-8", frame(0x88, &[0x03, 0xE8, 0xFF]), "1007"),
        (
            "messages behind a Close",
            [frame(0x88, &[0x0F, 0xA0]), frame(0x81, join).repeat(100)].concat(),
            "the peer's code, nothing is read",
        ),
        ("an HTTP request", b"GET /chat/healthz HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(), "1002"),
        ("4,096 random bytes", noise.clone(), "1002"),
        ("the same in the middle of a message", [frame(0x01, b"{\"type\":"), noise].concat(), "1002 or 1007"),
        ("a megabyte of NULs", vec![0; 1 << 20], "1002"),
    ]
}
