//! The examples and tables of `docs/protocol.md`, compared with what this crate reads and writes.

use chatbox_protocol::{ClientMessage, Disconnect, ErrorBody, ErrorCode, History, Retry, ServerMessage};

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
fn every_client_example_is_decoded_and_encoded_unchanged() {
    for line in blocks("client").concat() {
        assert_eq!(ClientMessage::parse(line).unwrap().encode(), line);
    }
}

#[test]
fn every_server_example_is_decoded_and_encoded_unchanged() {
    for line in blocks("server").concat() {
        let message = ServerMessage::parse(line).unwrap();
        assert_ne!(message, ServerMessage::Unknown, "{line}");
        assert_eq!(encoded(&message), line);
    }
}

#[test]
fn every_rejected_example_gets_the_answer_printed_below_it() {
    for block in blocks("rejected") {
        let [input, answer] = block[..] else { panic!("two lines, not {block:?}") };
        assert_eq!(encoded(&ClientMessage::parse(input).unwrap_err().into_message()), answer);
    }
}

#[test]
fn the_http_examples_are_decoded_and_encoded_unchanged() {
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
    let table: Vec<&str> = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(table, ErrorCode::ALL.map(ErrorCode::as_str));
}

#[test]
fn the_table_of_close_codes_is_that_of_the_code() {
    let rows: Vec<String> = PAGE.lines().filter(|line| line.starts_with("| 1")).map(str::to_owned).collect();
    let expected = Disconnect::ALL.map(|disconnect| {
        let text = if disconnect.text().is_empty() { "–".to_owned() } else { format!("`{}`", disconnect.text()) };
        let goodbye = disconnect.goodbye().map_or_else(|| "–".to_owned(), |reason| format!("`{reason}`"));
        let retry = match disconnect.retry() {
            Retry::Never => "no",
            Retry::Slot => "yes, in the slot of the `goodbye`",
            Retry::Backoff => "yes, with backoff",
            Retry::NewToken => "with a new token",
            other => panic!("{other:?} has no words"),
        };
        // The second column, when it is sent, is prose.
        (format!("| {} | ", disconnect.code()), format!(" | {text} | {goodbye} | {retry} |"))
    });
    assert_eq!(rows.len(), expected.len());
    for (row, (begin, end)) in rows.iter().zip(expected) {
        assert!(row.starts_with(&begin) && row.ends_with(&end), "{row}\nis not\n{begin}…{end}");
    }
}
