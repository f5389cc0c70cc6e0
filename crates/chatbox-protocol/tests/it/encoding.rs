//! Encoding, and the leniency of the decoder for clients.

use chatbox_protocol::{ErrorCode, ServerMessage, Timestamp};
use std::borrow::Cow;
use std::time::Duration;

#[test]
fn encode_into_appends_to_the_buffer() {
    let mut buffer = b"before ".to_vec();
    ServerMessage::left("lobby").encode_into(&mut buffer);
    assert_eq!(buffer, br#"before {"type":"left","room":"lobby"}"#);
}

#[test]
fn a_client_ignores_unknown_fields_types_and_codes() {
    let text = r#"{"room":"lobby","colour":{"r":[1]},"type":"left"}"#;
    assert_eq!(ServerMessage::parse(text).unwrap(), ServerMessage::left("lobby"));
    let text = r#"{"type":"presence","users":["alice"]}"#;
    assert_eq!(ServerMessage::parse(text).unwrap(), ServerMessage::Unknown);
    let text = r#"{"type":"error","code":"brand_new","message":"?"}"#;
    let ServerMessage::Error { code, .. } = ServerMessage::parse(text).unwrap() else { panic!() };
    assert_eq!(code, ErrorCode::Unknown);
}

#[test]
fn fields_of_newer_servers_are_optional_when_read() {
    let older = r#"{"type":"joined","room":"lobby","head":2,"first":1}"#;
    assert_eq!(ServerMessage::parse(older).unwrap(), ServerMessage::joined("lobby", 2, 1, None));
    let older = r#"{"type":"goodbye","reason":"shutdown","reconnect_after_ms":5}"#;
    let goodbye = ServerMessage::goodbye("shutdown", Duration::ZERO, Duration::from_millis(5));
    assert_eq!(ServerMessage::parse(older).unwrap(), goodbye);
    let older = r#"{"type":"welcome","user":"u","connection":"1","server":"s","heartbeat_ms":1000}"#;
    let welcome = ServerMessage::welcome("u", "1", "s", None, Duration::from_secs(1));
    assert_eq!(ServerMessage::parse(older).unwrap(), welcome);
}

#[test]
fn durations_too_long_for_the_wire_are_written_as_the_longest() {
    let text = String::from_utf8(ServerMessage::goodbye("r", Duration::MAX, Duration::MAX).encode()).unwrap();
    let longest = r#"{"type":"goodbye","reason":"r","close_after_ms":18446744073709551615,"reconnect_after_ms":18446744073709551615}"#;
    assert_eq!(text, longest);
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
fn decoding_borrows_strings_without_escapes() {
    let text = r#"{"type":"goodbye","reason":"shutdown","reconnect_after_ms":5}"#;
    let ServerMessage::Goodbye { reason, .. } = ServerMessage::parse(text).unwrap() else { panic!() };
    assert!(matches!(reason, Cow::Borrowed("shutdown")));
}

#[test]
fn error_codes_are_encoded_as_as_str_says() {
    for code in ErrorCode::ALL {
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
