//! A session's reaction to single requests of the application and messages of the server.

mod moving;
mod rooms;
mod sends;

use super::*;
use crate::reconnect::MAX_WAIT;
use crate::{Acked, Gap};
use chatbox_protocol::{ErrorCode, ServerMessage, Timestamp};
use proptest::prelude::*;
use tokio::sync::oneshot;

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

    /// Joined the room `r`, whose newest message is 10.
    fn joined() -> Self {
        let mut fixture = Self::connected();
        fixture.join(JoinFrom::Live);
        fixture.transmit();
        fixture.receive(r#"{"type":"joined","room":"r","head":10,"first":1}"#);
        fixture.events();
        fixture
    }

    fn connect(&mut self) {
        self.receive(r#"{"type":"welcome","user":"u","connection":"7","server":"s","heartbeat_ms":25000}"#);
        self.events();
    }

    fn move_on(&mut self) {
        let welcome = r#"{"type":"welcome","user":"u","connection":"8","server":"t","heartbeat_ms":25000}"#;
        self.session.on_moved(welcome).unwrap();
        self.events();
    }

    fn receive_previous(&mut self, text: &str) {
        self.session.on_previous_text(text, self.now);
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

    fn receive(&mut self, text: &str) {
        self.session.on_text(text, self.now).unwrap();
    }

    fn message(&mut self, seq: u64) {
        self.receive(&message(seq));
    }

    /// All texts that the client writes now.
    fn transmit(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.poll_transmit(self.now)).map(|text| text.as_str().to_owned()).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }
}

fn message(seq: u64) -> String {
    format!(
        r#"{{"type":"message","room":"r","seq":{seq},"user":"u","id":"i{seq}","body":"b","at":"2026-01-02T03:04:05.120Z"}}"#
    )
}

fn join(fields: &str) -> String {
    format!(r#"{{"type":"join","room":"r"{fields}}}"#)
}

#[test]
fn only_messages_and_acks_are_progress() {
    let mut fixture = Fixture::joined();
    fixture.receive(r#"{"type":"error","code":"not_allowed","message":"m"}"#);
    assert!(!fixture.session.link().unwrap().progressed);
    fixture.message(11);
    assert!(fixture.session.link().unwrap().progressed);
    fixture.disconnect();
    fixture.connect();
    assert!(!fixture.session.link().unwrap().progressed);
    fixture.receive(r#"{"type":"ack","room":"r","id":"1","seq":5}"#);
    assert!(fixture.session.link().unwrap().progressed);
}

#[test]
fn a_goodbye_names_the_slot_for_reconnecting() {
    let mut fixture = Fixture::connected();
    fixture.receive(r#"{"type":"goodbye","reason":"shutdown","reconnect_after_ms":1830}"#);
    let reconnect_after = Duration::from_millis(1830);
    assert_eq!(fixture.session.link().unwrap().slot, Some(fixture.now + reconnect_after));
    let goodbye = Event::Goodbye { reason: "shutdown".to_owned(), close_after: Duration::ZERO, reconnect_after };
    assert_eq!(fixture.events(), [goodbye]);
    fixture.receive(r#"{"type":"goodbye","reason":"shutdown","close_after_ms":4000,"reconnect_after_ms":1830}"#);
    let close_after = Duration::from_secs(4);
    assert_eq!(fixture.session.link().unwrap().slot, Some(fixture.now + close_after + reconnect_after));
    fixture.receive(r#"{"type":"goodbye","reason":"shutdown","reconnect_after_ms":18446744073709551615}"#);
    assert_eq!(fixture.session.link().unwrap().slot, Some(fixture.now + MAX_WAIT));
}

#[test]
fn nothing_is_sent_before_the_welcome_and_nothing_else_is_accepted() {
    let mut fixture = Fixture::new();
    let _answer = fixture.send("1", "");
    assert_eq!(fixture.transmit(), [""; 0]);
    for text in [r#"{"type":"left","room":"r"}"#, "hello", r#"{"type":"welcome"}"#] {
        assert!(matches!(fixture.session.on_text(text, fixture.now), Err(Reason::Protocol(_))), "{text}");
    }
}

#[test]
fn unknown_types_of_later_versions_are_ignored() {
    let mut fixture = Fixture::connected();
    fixture.receive(r#"{"type":"typing","room":"r"}"#);
    assert_eq!(fixture.events(), []);
}

/// Any message of a server, however senseless.
fn server_message() -> impl Strategy<Value = ServerMessage<'static>> {
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
    let epoch = prop_oneof![Just(None), Just(Some("a")), Just(Some("b"))];
    prop_oneof![
        millis().prop_map(|heartbeat| ServerMessage::welcome("u", "c", "s", None, heartbeat)),
        (room(), number(), number(), epoch)
            .prop_map(|(room, head, first, epoch)| ServerMessage::joined(room, head, first, epoch)),
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
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_sequence_of_messages_makes_the_client_panic(messages in proptest::collection::vec(server_message(), 0..40)) {
        let mut fixture = Fixture::connected();
        fixture.join(JoinFrom::After(0));
        let _answer = fixture.send("1", "");
        for message in messages {
            fixture.transmit();
            fixture.receive(&String::from_utf8(message.encode()).unwrap());
            fixture.now += Duration::from_millis(500);
        }
    }
}
