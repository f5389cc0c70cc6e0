//! The protocol `chatbox.v1` on the wire, byte by byte (contract section 4).

use crate::harness::{Peer, Setup, until};
use serde_json::Value;

#[tokio::test]
async fn every_message_of_the_server_has_its_exact_shape() {
    let server = Setup::new().set("heartbeat.interval=20s").start().await;
    let mut alice = Peer::open(server.at, &server.ws("alice")).await;
    assert_eq!(
        alice.text().await,
        r#"{"type":"welcome","user":"alice","connection":"1","server":"chatbox-0","heartbeat_ms":20000}"#
    );
    for (sent, answers) in [
        (
            r#"{"type":"join","room":"lobby"}"#,
            &[r#"{"type":"joined","room":"lobby","head":0,"first":1,"epoch":"EPOCH"}"#][..],
        ),
        (
            r#"{"type":"send","room":"lobby","id":"a-1","body":"two\nlines, \"quoted\", and 🦀"}"#,
            &[
                r#"{"type":"ack","room":"lobby","id":"a-1","seq":1}"#,
                r#"{"type":"message","room":"lobby","seq":1,"user":"alice","id":"a-1","body":"two\nlines, \"quoted\", and 🦀","at":"AT"}"#,
            ],
        ),
        // Sending does not require having joined; unknown fields are ignored; fields come in any order.
        (
            r#"{ "body" : "", "later" : [{}], "id":"!~", "room":"a.b_c-d:E", "type":"send" }"#,
            &[r#"{"type":"ack","room":"a.b_c-d:E","id":"!~","seq":1}"#],
        ),
        (r#"{"type":"leave","room":"lobby"}"#, &[r#"{"type":"left","room":"lobby"}"#]),
        (
            r#"{"type":"join","room":"lobby"}"#,
            &[r#"{"type":"joined","room":"lobby","head":1,"first":1,"epoch":"EPOCH"}"#],
        ),
        ("hello", &[r#"{"type":"error","code":"bad_message","message":"not a JSON object"}"#]),
        ("[]", &[r#"{"type":"error","code":"bad_message","message":"not a JSON object"}"#]),
        (
            r#"{"type":"shout","room":"lobby","id":"a-2"}"#,
            &[
                r#"{"type":"error","code":"unknown_type","message":"`type` is none of join, leave, send","room":"lobby","id":"a-2"}"#,
            ],
        ),
        (
            r#"{"type":"send","room":"lobby","id":"a-2"}"#,
            &[r#"{"type":"error","code":"bad_message","message":"`body` is missing","room":"lobby","id":"a-2"}"#],
        ),
        (
            r#"{"type":"join","room":"lobby","after":1,"last":1}"#,
            &[
                r#"{"type":"error","code":"bad_message","message":"`after` and `last` exclude each other","room":"lobby"}"#,
            ],
        ),
    ] {
        assert_eq!(exchange(&mut alice, sent, answers.len()).await, answers, "{sent}");
    }
}

#[tokio::test]
async fn names_and_bodies_are_bounded() {
    let server = Setup::new().set("limits.max_message_bytes=2000").start().await;
    let mut peer = server.connect("alice").await;
    let (room, id) = ("r".repeat(128), "i".repeat(64));
    let longest = format!(r#"{{"type":"send","room":"{room}","id":"{id}","body":"x"}}"#);
    assert_eq!(
        exchange(&mut peer, &longest, 1).await,
        [format!(r#"{{"type":"ack","room":"{room}","id":"{id}","seq":1}}"#)]
    );
    let body = "x".repeat(1_900);
    for (text, code) in [
        (format!(r#"{{"type":"join","room":"{room}r"}}"#), "bad_message"),
        (r#"{"type":"join","room":""}"#.to_owned(), "bad_message"),
        (r#"{"type":"join","room":"ä"}"#.to_owned(), "bad_message"),
        (format!(r#"{{"type":"send","room":"r","id":"{id}i","body":""}}"#), "bad_message"),
        (r#"{"type":"send","room":"r","id":"","body":""}"#.to_owned(), "bad_message"),
        (r#"{"type":"send","room":"r","id":"a b","body":""}"#.to_owned(), "bad_message"),
        // It fits as it comes in, but not as it would go out.
        (format!(r#"{{"type":"send","room":"r","id":"1","body":"{body}"}}"#), "too_long"),
    ] {
        let answer: Value = serde_json::from_str(&exchange(&mut peer, &text, 1).await[0]).unwrap();
        assert_eq!((&answer["type"], &answer["code"]), (&"error".into(), &code.into()), "{text}: {answer}");
    }
}

#[tokio::test]
async fn a_room_is_replayed_from_where_the_client_was_and_goes_on_live() {
    let server = generous(Setup::over("sqlite:chat.db")).start().await;
    let mut writer = server.connect("writer").await;
    for id in 0..700 {
        writer.send(&send("lobby", id)).await;
    }
    for _ in 0..700 {
        writer.until("ack").await;
    }
    // One client writes all the time while the others join.
    let (at, path) = (server.at, server.ws("writer"));
    let writing = tokio::spawn(async move {
        let mut writer = Peer::open(at, &path).await;
        writer.message().await;
        for id in 700..1_000 {
            writer.send(&send("lobby", id)).await;
            writer.until("ack").await;
        }
    });
    for (how, begins) in [
        (r#","after":0"#, Some(1)),
        (r#","after":699"#, Some(700)),
        (r#","last":10"#, None),
        (r#","last":100000"#, Some(1)),
        ("", None),
    ] {
        let mut reader = server.connect("reader").await;
        reader.send(&format!(r#"{{"type":"join","room":"lobby"{how}}}"#)).await;
        let joined = reader.message().await;
        assert_eq!((&joined["type"], &joined["first"]), (&"joined".into(), &1.into()), "{joined}");
        let head = joined["head"].as_u64().unwrap();
        let begins = begins.unwrap_or(if how.is_empty() { head + 1 } else { head - 9 });
        for seq in begins..=1_000 {
            let message = reader.message().await;
            assert_eq!((&message["type"], &message["seq"]), (&"message".into(), &seq.into()), "{how}: {message}");
            assert_eq!(message["id"], (seq - 1).to_string());
        }
    }
    writing.await.unwrap();
    // Beyond the newest message, or in another epoch: everything that is stored follows.
    let gone = "the messages after your last one are no longer stored; what is still stored follows";
    for how in [r#""after":1001"#, r#""after":1000,"epoch":"another""#] {
        let mut reader = server.connect("reader").await;
        let join = format!(r#"{{"type":"join","room":"lobby",{how}}}"#);
        assert_eq!(
            exchange(&mut reader, &join, 2).await,
            [
                &*format!(r#"{{"type":"error","code":"history_gone","message":"{gone}","room":"lobby"}}"#),
                r#"{"type":"joined","room":"lobby","head":1000,"first":1,"epoch":"EPOCH"}"#
            ]
        );
        for seq in 1..=1_000 {
            assert_eq!(reader.message().await["seq"], seq);
        }
    }
}

#[tokio::test]
async fn history_that_is_gone_is_said_to_be_and_the_rest_follows() {
    let server = generous(Setup::new()).set("limits.max_connections_per_user=100000").start().await;
    let mut peer = server.connect("alice").await;
    for id in 0..1_100 {
        peer.send(&send("lobby", id)).await;
    }
    for _ in 0..1_100 {
        peer.until("ack").await;
    }
    // What is known of the oldest message may be some seconds old.
    let joined = async || {
        let mut peer = server.connect("bob").await;
        peer.send(r#"{"type":"join","room":"lobby","last":0}"#).await;
        without_epoch(peer.text().await)
    };
    let now = r#"{"type":"joined","room":"lobby","head":1100,"first":101,"epoch":"EPOCH"}"#;
    until("the room to be looked at again", async || joined().await == now).await;
    let gone = "the messages after your last one are no longer stored; what is still stored follows";
    assert_eq!(
        exchange(&mut peer, r#"{"type":"join","room":"lobby","after":50}"#, 2).await,
        [&*format!(r#"{{"type":"error","code":"history_gone","message":"{gone}","room":"lobby"}}"#), now]
    );
    for seq in 101..=1_100 {
        assert_eq!(peer.message().await["seq"], seq);
    }
}

#[tokio::test]
async fn a_message_sent_again_is_acked_with_its_first_seq_and_delivered_once() {
    let server = Setup::over("sqlite:chat.db").start().await;
    let (mut alice, mut bob) = (server.connect("alice").await, server.connect("bob").await);
    exchange(&mut bob, r#"{"type":"join","room":"lobby"}"#, 1).await;
    for (id, seq) in [(1, 1), (2, 2), (1, 1), (3, 3), (2, 2)] {
        alice.send(&send("lobby", id)).await;
        assert_eq!(alice.text().await, format!(r#"{{"type":"ack","room":"lobby","id":"{id}","seq":{seq}}}"#));
    }
    // The same id of another user, or in another room, is another message.
    bob.send(&send("lobby", 1)).await;
    let ids: Vec<_> = [
        bob.until("message").await,
        bob.until("message").await,
        bob.until("message").await,
        bob.until("message").await,
    ]
    .map(|message| (message["seq"].as_u64().unwrap(), message["user"].as_str().unwrap().to_owned()))
    .into();
    let expected = [(1, "alice"), (2, "alice"), (3, "alice"), (4, "bob")].map(|(seq, user)| (seq, user.to_owned()));
    assert_eq!(ids, expected);
    alice.send(&send("elsewhere", 1)).await;
    assert_eq!(alice.message().await["seq"], 1);

    // A restart changes nothing.
    let finished = server.stop(crate::harness::INTERRUPT).await;
    let server = finished.setup.start().await;
    let mut alice = server.connect("alice").await;
    alice.send(&send("lobby", 2)).await;
    assert_eq!(alice.text().await, r#"{"type":"ack","room":"lobby","id":"2","seq":2}"#);
}

#[tokio::test]
async fn a_send_above_the_rate_is_refused_with_the_time_to_wait() {
    let server = Setup::new().set("limits.messages_per_second=1").set("limits.burst=3").start().await;
    let (mut first, mut second) = (server.connect("alice").await, server.connect("alice").await);
    for id in 0..2 {
        first.send(&send("lobby", id)).await;
        first.until("ack").await;
    }
    // The limit is the user's, whichever connection it is.
    second.send(&send("lobby", 2)).await;
    second.until("ack").await;
    second.send(&send("lobby", 3)).await;
    let refused = second.message().await;
    assert_eq!((&refused["code"], &refused["id"]), (&"rate_limited".into(), &"3".into()), "{refused}");
    let retry_after = refused["retry_after_ms"].as_u64().unwrap();
    assert!((1..=1_001).contains(&retry_after), "{refused}");
    server.connect("bob").await.send(&send("lobby", 0)).await;
    tokio::time::sleep(std::time::Duration::from_millis(retry_after)).await;
    second.send(&send("lobby", 3)).await;
    assert_eq!(second.message().await["type"], "ack");
}

#[tokio::test]
async fn rooms_per_connection_are_bounded() {
    let server = Setup::new().set("limits.rooms_per_connection=2").start().await;
    let mut peer = server.connect("alice").await;
    for (message, answer) in [
        (r#"{"type":"join","room":"a"}"#, r#"{"type":"joined","room":"a","head":0,"first":1,"epoch":"EPOCH"}"#),
        (r#"{"type":"join","room":"b"}"#, r#"{"type":"joined","room":"b","head":0,"first":1,"epoch":"EPOCH"}"#),
        (
            r#"{"type":"join","room":"c"}"#,
            r#"{"type":"error","code":"too_many_rooms","message":"too many rooms joined at the same time","room":"c"}"#,
        ),
        (
            r#"{"type":"join","room":"a"}"#,
            r#"{"type":"error","code":"bad_message","message":"already joined","room":"a"}"#,
        ),
        (
            r#"{"type":"leave","room":"c"}"#,
            r#"{"type":"error","code":"bad_message","message":"not joined","room":"c"}"#,
        ),
        (r#"{"type":"leave","room":"a"}"#, r#"{"type":"left","room":"a"}"#),
        (r#"{"type":"join","room":"c"}"#, r#"{"type":"joined","room":"c","head":0,"first":1,"epoch":"EPOCH"}"#),
    ] {
        assert_eq!(exchange(&mut peer, message, 1).await, [answer]);
    }
}

/// Sends one message and reads that many, with the time of `message` and the epoch of `joined` replaced after a check of their form.
async fn exchange(peer: &mut Peer, text: &str, answers: usize) -> Vec<String> {
    peer.send(text).await;
    let mut came = Vec::new();
    while came.len() < answers {
        let text = without_epoch(peer.text().await);
        came.push(match text.rsplit_once(r#","at":""#) {
            Some((before, at)) => {
                let shape: String = at.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                assert_eq!(shape, r#"0000-00-00T00:00:00.000Z"}"#);
                format!(r#"{before},"at":"AT"}}"#)
            }
            None => text,
        });
    }
    came
}

fn send(room: &str, id: usize) -> String {
    format!(r#"{{"type":"send","room":"{room}","id":"{id}","body":"message {id}"}}"#)
}

fn generous(setup: Setup) -> Setup {
    setup.set("limits.messages_per_second=100000").set("limits.burst=100000")
}

/// A text with the epoch of a `joined` replaced after a check of its form.
fn without_epoch(text: String) -> String {
    match text.rsplit_once(r#","epoch":""#) {
        Some((before, epoch)) if text.starts_with(r#"{"type":"joined""#) => {
            let digits = epoch.strip_suffix(r#""}"#).unwrap();
            assert!(digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{text}");
            format!(r#"{before},"epoch":"EPOCH"}}"#)
        }
        _ => text,
    }
}
