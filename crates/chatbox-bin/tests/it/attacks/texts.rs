//! Requests that are well-formed messages and something else than the service asks for.

use super::Attack;
use super::costs::Load;
use super::frames::kind;
use super::harness::{Case, case, under};
use crate::harness::{Server, Setup};

pub(super) fn all() -> Vec<Attack> {
    let load = Load { connections: 1, senders: 1, ..Load::default() };
    let setup = || Setup::over("sqlite:chat.db").set("limits.burst=1000");
    vec![
        Box::pin(under(setup(), load, async |server| requests(server).await)),
        Box::pin(under(setup(), load, async |server| vec![inflated(server).await])),
    ]
}

/// All over one connection: none of them ends it.
async fn requests(server: &Server) -> Vec<Case> {
    let mut peer = server.connect("mallory").await;
    let mut cases = Vec::new();
    for (what, text, expected) in texts() {
        peer.send(&text).await;
        cases.push(case(what, expected, kind(&peer.text().await)));
    }
    cases
}

/// A body that is short while it is checked and long when it is sent on: every character of it is escaped.
async fn inflated(server: &Server) -> Case {
    let (mut mallory, mut member) = (server.connect("mallory").await, server.connect("member").await);
    member.send(r#"{"type":"join","room":"lobby"}"#).await;
    member.until("joined").await;
    let begin = r#"{"type":"send","room":"lobby","id":"1","body":""#;
    let body = r"\u0001".repeat((65_536 - begin.len() - 2) / 6);
    mallory.send(&format!("{begin}{body}\"}}")).await;
    let answer = kind(&mallory.text().await);
    let observed = if answer == "`ack`" {
        let delivered = member.text().await.len();
        if delivered <= 65_536 {
            "`ack`, and fits".to_owned()
        } else {
            format!("`ack`, and {delivered} bytes are delivered")
        }
    } else {
        answer
    };
    case(
        "a body of 10,914 escaped control characters, within 65,536 bytes",
        "what is delivered is within 65,536, too",
        observed,
    )
}

fn texts() -> Vec<(String, String, &'static str)> {
    const BAD: &str = "`bad_message`";
    let join = |room: &str| format!(r#"{{"type":"join","room":"{room}"}}"#);
    let send = |id: &str| format!(r#"{{"type":"send","room":"lobby","id":"{id}","body":"x"}}"#);
    let after = |number: &str| format!(r#"{{"type":"join","room":"lobby","after":{number}}}"#);
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    let mut texts = vec![
        ("no JSON".to_owned(), "hello".to_owned(), BAD),
        ("arrays, 10,000 deep".to_owned(), deep("[", "]"), BAD),
        ("arrays, 60,000 deep, never closed".to_owned(), "[".repeat(60_000), BAD),
        ("objects, 10,000 deep".to_owned(), r#"{"a":"#.repeat(10_000) + "1" + &"}".repeat(10_000), BAD),
        (
            "a room that is an array, 10,000 deep".to_owned(),
            format!(r#"{{"type":"join","room":{}}}"#, deep("[", "]")),
            BAD,
        ),
        (
            "an unknown field, 10,000 deep".to_owned(),
            format!(r#"{{"type":"send","room":"lobby","id":"deep","body":"x","z":{}}}"#, deep("[", "]")),
            "it is ignored: `ack`",
        ),
        ("`type` twice".to_owned(), r#"{"type":"join","type":"leave","room":"lobby"}"#.to_owned(), BAD),
        (
            "5,000 unknown fields".to_owned(),
            format!(r#"{{{}"type":"shout"}}"#, r#""k":"v","#.repeat(5_000)),
            "`unknown_type`",
        ),
        ("a `type` that is an object".to_owned(), r#"{"type":{"join":1},"room":"lobby"}"#.to_owned(), BAD),
        ("half a surrogate pair".to_owned(), send(r"\ud800"), BAD),
        ("a NUL as it is".to_owned(), send("a\0b"), BAD),
    ];
    for number in ["1e400", "-1", "1.5", "1e2", "18446744073709551616", "0x10", "NaN", "\"5\"", "[5]"] {
        texts.push((format!("`after` {number}"), after(number), BAD));
    }
    texts.push((format!("a number of {} digits", 60_000), after(&"9".repeat(60_000)), BAD));
    // Any visible ASCII is an id, whatever it looks like: it is never interpreted.
    for id in ["../../etc/passwd", r"a\\b", r#"a\"b"#, "'--"] {
        texts.push((format!("an id: `{id}`"), send(id), "it is opaque: `ack`"));
        texts.push((format!("a room name: `{id}`"), join(id), BAD));
    }
    for (what, name) in [
        ("empty", ""),
        ("a blank", "a b"),
        ("a NUL", r"a\u0000b"),
        ("a line break", r"a\nb"),
        ("an escape sequence", r"\u001b[31m"),
        ("a zero-width space", "a\u{200B}b"),
        ("a right-to-left override", "a\u{202E}b"),
        ("a Cyrillic а", "\u{430}bc"),
        ("a combining accent", "e\u{301}"),
        ("a soft hyphen", "a\u{AD}b"),
    ] {
        texts.push((format!("a room name: {what}"), join(name), BAD));
        texts.push((format!("an id: {what}"), send(name), BAD));
    }
    texts.push(("a room name of 129 characters".to_owned(), join(&"r".repeat(129)), BAD));
    texts.push(("an id of 65 characters".to_owned(), send(&"i".repeat(65)), BAD));
    texts
}
