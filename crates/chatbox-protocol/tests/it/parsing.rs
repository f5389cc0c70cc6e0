//! The strict parser of the server: what it accepts, what it rejects, and the error messages.

use chatbox_protocol::{ClientMessage, ErrorCode, MessageId, Rejected, RoomName};
use std::borrow::Cow;

fn rejected(text: &str) -> Rejected<'_> {
    ClientMessage::parse(text).expect_err(text)
}

#[test]
fn fields_may_come_in_any_order_and_unknown_ones_are_ignored() {
    let text = r#" { "last" : 5, "x": [[{"type":"send"}], 1e400], "room": "a:b", "type": "join" } "#;
    assert_eq!(ClientMessage::parse(text).unwrap(), ClientMessage::join_last(RoomName::new("a:b").unwrap(), 5));
}

#[test]
fn plain_text_is_borrowed_and_escaped_text_is_decoded() {
    let text = r#"{"type":"send","room":"r","id":"\u0031","body":"plain"}"#;
    let Ok(ClientMessage::Send { id, body, .. }) = ClientMessage::parse(text) else { panic!() };
    assert_eq!(id.as_str(), "1");
    assert!(matches!(body, Cow::Borrowed("plain")));
}

#[test]
fn an_escaped_key_is_the_same_key() {
    let text = r#"{"t\u0079pe":"leave","room":"r"}"#;
    assert!(matches!(ClientMessage::parse(text), Ok(ClientMessage::Leave { .. })));
    let twice = r#"{"type":"leave","room":"r","r\u006fom":"s"}"#;
    assert_eq!(rejected(twice).code, ErrorCode::BadMessage);
}

#[test]
fn null_counts_as_absent() {
    let text = r#"{"type":"join","room":"r","after":null,"last":3}"#;
    assert!(matches!(ClientMessage::parse(text), Ok(ClientMessage::Join { after: None, last: Some(3), .. })));
    assert_eq!(rejected(r#"{"type":"join","room":null}"#).message, "`room` is missing");
}

#[test]
fn an_epoch_is_optional_and_any_text() {
    let room = RoomName::new("r").unwrap();
    let with = ClientMessage::parse(r#"{"type":"join","room":"r","after":4,"epoch":"\u0031 ä"}"#).unwrap();
    assert_eq!(with, ClientMessage::join_after(room.clone(), 4, Some("1 ä")));
    let without = ClientMessage::parse(r#"{"type":"join","room":"r","after":4,"epoch":null}"#).unwrap();
    assert_eq!(without, ClientMessage::join_after(room, 4, None));
}

#[test]
fn a_text_that_is_not_one_json_object_is_a_bad_message() {
    for text in [
        "",
        " ",
        "null",
        "5",
        r#""join""#,
        "[]",
        r#"["join","lobby"]"#,
        "{",
        "{]",
        "{}{}",
        r#"{"type":"leave","room":"r"} x"#,
        r#"{type:"leave"}"#,
        r#"{"type":"leave","room":"r",}"#,
        "\u{feff}{}",
        "{\"type\":\"leave\",\"room\":\"r\n\"}",
    ] {
        let rejected = rejected(text);
        assert_eq!(rejected.code, ErrorCode::BadMessage, "{text}");
        assert_eq!((rejected.room, rejected.id), (None, None), "{text}");
    }
}

#[test]
fn the_field_at_fault_is_named() {
    for (text, field) in [
        (r#"{}"#, "type"),
        (r#"{"type":5}"#, "type"),
        (r#"{"type":"join"}"#, "room"),
        (r#"{"type":"join","room":["r"]}"#, "room"),
        (r#"{"type":"join","room":""}"#, "room"),
        (r#"{"type":"join","room":"ä"}"#, "room"),
        (r#"{"type":"join","room":"r","after":-1}"#, "after"),
        (r#"{"type":"join","room":"r","after":1.5}"#, "after"),
        (r#"{"type":"join","room":"r","after":1.0}"#, "after"),
        (r#"{"type":"join","room":"r","after":1e400}"#, "after"),
        (r#"{"type":"join","room":"r","after":18446744073709551616}"#, "after"),
        (r#"{"type":"join","room":"r","last":"5"}"#, "last"),
        (r#"{"type":"join","room":"r","last":true}"#, "last"),
        (r#"{"type":"join","room":"r","after":1,"last":1}"#, "after"),
        (r#"{"type":"join","room":"r","after":1,"epoch":7}"#, "epoch"),
        (r#"{"type":"join","room":"r","after":1,"epoch":"a","epoch":"a"}"#, "epoch"),
        (r#"{"type":"leave","room":"r","room":"r"}"#, "room"),
        (r#"{"type":"send","room":"r","body":"b"}"#, "id"),
        (r#"{"type":"send","room":"r","id":"a b","body":"b"}"#, "id"),
        (r#"{"type":"send","room":"r","id":7,"body":"b"}"#, "id"),
        (r#"{"type":"send","room":"r","id":"1"}"#, "body"),
        (r#"{"type":"send","room":"r","id":"1","body":{}}"#, "body"),
        (r#"{"type":"send","room":"r","id":"1","body":"\ud800"}"#, "body"),
    ] {
        let rejected = rejected(text);
        assert_eq!(rejected.code, ErrorCode::BadMessage, "{text}");
        assert!(rejected.message.contains(&format!("`{field}`")), "{text}: {}", rejected.message);
    }
}

#[test]
fn a_rejection_has_the_room_and_the_id_if_they_are_valid() {
    let rejection = rejected(r#"{"type":"wave","id":"7","room":"r"}"#);
    assert_eq!(rejection.code, ErrorCode::UnknownType);
    assert_eq!(rejection.room, RoomName::new("r").ok());
    assert_eq!(rejection.id, MessageId::new("7").ok());
    let rejection = rejected(r#"{"type":"send","id":"7","room":"<script>","body":"b"}"#);
    assert_eq!((rejection.room, rejection.id.as_deref()), (None, Some("7")));
}

#[test]
fn a_rejection_never_repeats_the_input() {
    for text in [
        r#"{"type":"SECRET","room":"SECRET!","id":["SECRET"]}"#,
        r#"{"type":"join","room":"r","after":"SECRET"}"#,
        r#"{"type":"join","SECRET"}"#,
    ] {
        assert!(!rejected(text).message.contains("SECRET"), "{text}");
    }
}

#[test]
fn deep_nesting_is_harmless() {
    let deep = format!(r#"{{"type":"leave","room":"r","x":{}{}}}"#, "[".repeat(1 << 20), "]".repeat(1 << 20));
    assert!(ClientMessage::parse(&deep).is_ok());
    let deep = format!(r#"{{"type":"leave","room":{}"#, r#"{"a":"#.repeat(1 << 18));
    assert_eq!(rejected(&deep).code, ErrorCode::BadMessage);
}

#[test]
fn the_lengths_and_characters_of_names_are_bounded() {
    assert!(RoomName::new("r".repeat(128)).is_ok());
    assert!(RoomName::new("r".repeat(129)).is_err());
    assert!(MessageId::new("!~".repeat(32)).is_ok());
    assert!(MessageId::new("i".repeat(65)).is_err());
    for id in ["", " ", "a\u{7f}", "é"] {
        assert!(MessageId::new(id).is_err(), "{id:?}");
    }
    for room in ["", "a b", "a/b", "a*", "\u{0}", "ß"] {
        assert!(RoomName::new(room).is_err(), "{room:?}");
    }
}
