//! What a session does with one thing the application asks or the server says.

mod rooms;
mod sends;

use super::*;
use crate::reconnect::MAX_WAIT;
use chatbox_protocol::{ErrorCode, ServerMessage, Timestamp};
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    max_unacked: 2,
    max_unacked_bytes: 1000,
    max_message_bytes: 600,
    backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(20) },
};

struct Fixture {
    session: Session,
    now: Instant,
}

type Answer = oneshot::Receiver<Result<Acked, SendError>>;

impl Fixture {
    fn new() -> Self {
        Self { session: Session::new(LIMITS, 1), now: Instant::now() }
    }

    fn connected() -> Self {
        let mut fixture = Self::new();
        fixture.connect();
        fixture
    }

    /// In the room `r`, whose newest message is 10.
    fn joined() -> Self {
        let mut fixture = Self::connected();
        fixture.join(JoinFrom::Live);
        fixture.says();
        fixture.hears(r#"{"type":"joined","room":"r","head":10,"first":1}"#);
        fixture.events();
        fixture
    }

    fn connect(&mut self) {
        self.hears(r#"{"type":"welcome","user":"u","connection":"7","server":"s","heartbeat_ms":25000}"#);
        self.events();
    }

    fn disconnect(&mut self) {
        self.session.on_disconnected(Reason::Silent(Duration::ZERO), Duration::ZERO);
        self.events();
    }

    fn join(&mut self, from: JoinFrom) {
        self.session.join(&RoomName::new("r").unwrap(), from);
    }

    fn send(&mut self, id: &str, body: &str) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.session.send("r", id, body, reply);
        answer
    }

    fn hears(&mut self, text: &str) {
        self.session.on_text(text, self.now).unwrap();
    }

    fn message(&mut self, seq: u64) {
        self.hears(&format!(
            r#"{{"type":"message","room":"r","seq":{seq},"user":"u","id":"i{seq}","body":"b","at":"2026-01-02T03:04:05.120Z"}}"#
        ));
    }

    /// All that the client says now.
    fn says(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.poll_transmit(self.now)).map(|text| text.as_str().to_owned()).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }
}

fn join(fields: &str) -> String {
    format!(r#"{{"type":"join","room":"r"{fields}}}"#)
}

#[test]
fn only_messages_and_acks_are_progress() {
    let mut fixture = Fixture::joined();
    fixture.hears(r#"{"type":"error","code":"not_allowed","message":"m"}"#);
    assert!(!fixture.session.link().unwrap().progressed);
    fixture.message(11);
    assert!(fixture.session.link().unwrap().progressed);
    fixture.disconnect();
    fixture.connect();
    assert!(!fixture.session.link().unwrap().progressed);
    fixture.hears(r#"{"type":"ack","room":"r","id":"1","seq":5}"#);
    assert!(fixture.session.link().unwrap().progressed);
}

#[test]
fn a_goodbye_names_the_slot() {
    let mut fixture = Fixture::connected();
    fixture.hears(r#"{"type":"goodbye","reason":"shutdown","reconnect_after_ms":1830}"#);
    let reconnect_after = Duration::from_millis(1830);
    assert_eq!(fixture.session.link().unwrap().slot, Some(fixture.now + reconnect_after));
    assert_eq!(fixture.events(), [Event::Goodbye { reason: "shutdown".to_owned(), reconnect_after }]);
    fixture.hears(r#"{"type":"goodbye","reason":"shutdown","reconnect_after_ms":18446744073709551615}"#);
    assert_eq!(fixture.session.link().unwrap().slot, Some(fixture.now + MAX_WAIT));
}

#[test]
fn nothing_is_said_before_the_welcome_and_nothing_else_may_be_heard() {
    let mut fixture = Fixture::new();
    let _answer = fixture.send("1", "");
    assert_eq!(fixture.says(), [""; 0]);
    for text in [r#"{"type":"left","room":"r"}"#, "hello", r#"{"type":"welcome"}"#] {
        assert!(matches!(fixture.session.on_text(text, fixture.now), Err(Reason::Protocol(_))), "{text}");
    }
}

#[test]
fn what_a_later_version_says_is_ignored() {
    let mut fixture = Fixture::connected();
    fixture.hears(r#"{"type":"typing","room":"r"}"#);
    assert_eq!(fixture.events(), []);
}

/// Anything a server could say, however senseless.
fn utterance() -> impl Strategy<Value = ServerMessage<'static>> {
    let number = || prop_oneof![0..4_u64, Just(u64::MAX - 1), Just(u64::MAX)];
    let millis = move || number().prop_map(Duration::from_millis);
    let room = || prop_oneof![Just("r"), Just("other")];
    let code = prop_oneof![
        Just(ErrorCode::HistoryGone),
        Just(ErrorCode::StoreUnavailable),
        Just(ErrorCode::BadMessage),
        Just(ErrorCode::NotAllowed)
    ];
    let id = prop_oneof![Just(None), Just(Some("1"))];
    prop_oneof![
        millis().prop_map(|heartbeat| ServerMessage::welcome("u", "c", "s", None, heartbeat)),
        (room(), number(), number()).prop_map(|(room, head, first)| ServerMessage::joined(room, head, first, None)),
        room().prop_map(ServerMessage::left),
        (room(), number()).prop_map(|(room, seq)| ServerMessage::message(
            room,
            seq,
            "u",
            "i",
            "b",
            Timestamp::from_millis(0)
        )),
        (room(), number()).prop_map(|(room, seq)| ServerMessage::ack(room, "1", seq)),
        (code, proptest::option::of(room()), id, proptest::option::of(millis()))
            .prop_map(|(code, room, id, retry_after)| ServerMessage::error(code, "m", room, id, retry_after)),
        (millis(), millis()).prop_map(|(close, reconnect)| ServerMessage::goodbye("r", close, reconnect)),
    ]
}

proptest! {
    #[test]
    fn nothing_a_server_says_makes_the_client_panic(said in proptest::collection::vec(utterance(), 0..40)) {
        let mut fixture = Fixture::connected();
        fixture.join(JoinFrom::After(0));
        let _answer = fixture.send("1", "");
        for message in said {
            fixture.says();
            fixture.hears(&String::from_utf8(message.encode()).unwrap());
            fixture.now += Duration::from_millis(500);
        }
    }
}
