//! What encoders write and what a client forgives.

use std::borrow::Cow;

use chatbox_protocol::{ErrorCode, ServerMessage, Timestamp};

#[test]
fn the_buffer_is_appended_to() {
    let mut buffer = b"before ".to_vec();
    ServerMessage::Left { room: "lobby".into() }.encode_into(&mut buffer);
    assert_eq!(buffer, br#"before {"type":"left","room":"lobby"}"#);
}

#[test]
fn a_client_ignores_unknown_fields_types_and_codes() {
    let text = r#"{"room":"lobby","colour":{"r":[1]},"type":"left"}"#;
    assert_eq!(ServerMessage::parse(text).unwrap(), ServerMessage::Left { room: "lobby".into() });
    let text = r#"{"type":"presence","users":["alice"]}"#;
    assert_eq!(ServerMessage::parse(text).unwrap(), ServerMessage::Unknown);
    let text = r#"{"type":"error","code":"brand_new","message":"?"}"#;
    let ServerMessage::Error { code, .. } = ServerMessage::parse(text).unwrap() else { panic!() };
    assert_eq!(code, ErrorCode::Unknown);
}

#[test]
fn a_client_notices_a_missing_or_repeated_field() {
    for text in [
        "",
        "[]",
        r#"{"type":"ack","room":"lobby","id":"1"}"#,
        r#"{"type":"left","room":"lobby","room":"lobby"}"#,
        r#"{"type":"message","room":"r","seq":1,"user":"u","id":"i","body":"b","at":"noon"}"#,
    ] {
        assert!(ServerMessage::parse(text).is_err(), "{text}");
    }
}

#[test]
fn decoding_borrows_what_has_no_escapes() {
    let text = r#"{"type":"goodbye","reason":"shutdown","reconnect_after_ms":5}"#;
    let ServerMessage::Goodbye { reason, .. } = ServerMessage::parse(text).unwrap() else { panic!() };
    assert!(matches!(reason, Cow::Borrowed("shutdown")));
}

#[test]
fn error_codes_are_written_as_they_are_called() {
    for code in [
        ErrorCode::BadMessage,
        ErrorCode::UnknownType,
        ErrorCode::NotAllowed,
        ErrorCode::RateLimited,
        ErrorCode::TooLong,
        ErrorCode::TooManyRooms,
        ErrorCode::StoreUnavailable,
        ErrorCode::HistoryGone,
    ] {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        assert_eq!(code.to_string(), code.as_str());
    }
}

#[test]
fn timestamps_have_three_decimals_and_stay_within_rfc_3339() {
    for (millis, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_767_323_045_120, "2026-01-02T03:04:05.120Z"),
        (i64::MIN, "0000-01-01T00:00:00.000Z"),
        (i64::MAX, "9999-12-30T22:00:00.000Z"),
    ] {
        assert_eq!(Timestamp::from_millis(millis).to_string(), text);
    }
    assert!(Timestamp::from_millis(i64::MAX).to_string().starts_with("9999-12-"));
}
