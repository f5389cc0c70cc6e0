//! The examples of `docs/protocol.md` are what this crate reads and writes, to the byte.

use chatbox_protocol::{ClientMessage, ErrorBody, ErrorCode, History, ServerMessage};

const PAGE: &str = include_str!("../../../../docs/protocol.md");

/// The lines of every block that is fenced with "```json LABEL".
fn blocks(label: &str) -> Vec<Vec<&'static str>> {
    let fence = format!("```json {label}\n");
    let blocks: Vec<Vec<&str>> =
        PAGE.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap().lines().collect()).collect();
    assert!(!blocks.is_empty(), "no example is labelled {label}");
    blocks
}

fn encoded(message: &ServerMessage<'_>) -> String {
    String::from_utf8(message.encode()).unwrap()
}

#[test]
fn every_client_example_is_read_and_written_as_it_stands() {
    for line in blocks("client").concat() {
        assert_eq!(ClientMessage::parse(line).unwrap().encode(), line);
    }
}

#[test]
fn every_server_example_is_read_and_written_as_it_stands() {
    for line in blocks("server").concat() {
        let message = ServerMessage::parse(line).unwrap();
        assert_ne!(message, ServerMessage::Unknown, "{line}");
        assert_eq!(encoded(&message), line);
    }
}

#[test]
fn every_rejected_example_gets_the_answer_that_stands_below_it() {
    for block in blocks("rejected") {
        let [input, answer] = block[..] else { panic!("two lines, not {block:?}") };
        assert_eq!(encoded(&ClientMessage::parse(input).unwrap_err().into_message()), answer);
    }
}

#[test]
fn the_http_examples_are_read_and_written_as_they_stand() {
    for line in blocks("history").concat() {
        let history: History<'_> = serde_json::from_str(line).unwrap();
        assert!(history.messages.iter().all(|m| matches!(m, ServerMessage::Message { .. })));
        assert_eq!(serde_json::to_string(&history).unwrap(), line);
    }
    for line in blocks("refusal").concat() {
        let body: ErrorBody<'_> = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&body).unwrap(), line);
    }
}

#[test]
fn the_table_of_error_codes_is_complete() {
    let table: Vec<ErrorCode> = PAGE
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(|code| serde_json::from_value(code.into()).unwrap())
        .collect();
    // A match without a wildcard: a new code does not compile until it stands here.
    let listed = |code| match code {
        ErrorCode::BadMessage
        | ErrorCode::UnknownType
        | ErrorCode::NotAllowed
        | ErrorCode::RateLimited
        | ErrorCode::TooLong
        | ErrorCode::TooManyRooms
        | ErrorCode::StoreUnavailable
        | ErrorCode::HistoryGone => true,
        ErrorCode::Unknown => false,
    };
    assert!(table.iter().copied().all(listed));
    assert_eq!(table.len(), 8);
}
