//! What a session does with one thing the application asks or the server says.

use super::*;
use crate::reconnect::MAX_WAIT;
use chatbox_protocol::ErrorCode;

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

fn error_of(mut answer: Answer) -> SendError {
    answer.try_recv().unwrap().unwrap_err()
}

fn join(fields: &str) -> String {
    format!(r#"{{"type":"join","room":"r"{fields}}}"#)
}

fn send(id: &str) -> String {
    format!(r#"{{"type":"send","room":"r","id":"{id}","body":""}}"#)
}

#[test]
fn as_many_messages_wait_for_their_ack_as_are_allowed() {
    let mut fixture = Fixture::connected();
    let (_first, _second) = (fixture.send("1", ""), fixture.send("2", ""));
    assert_eq!(error_of(fixture.send("3", "")), SendError::Full);
    fixture.hears(r#"{"type":"ack","room":"r","id":"1","seq":5}"#);
    let mut third = fixture.send("3", "");
    assert!(third.try_recv().is_err(), "it waits");
}

#[test]
fn as_many_bytes_wait_for_their_ack_as_are_allowed() {
    let mut fixture = Fixture::connected();
    let _first = fixture.send("1", &"x".repeat(500));
    assert_eq!(error_of(fixture.send("2", &"x".repeat(500))), SendError::Full);
    let mut small = fixture.send("2", "x");
    assert!(small.try_recv().is_err(), "it waits");
}

#[test]
fn a_message_that_cannot_be_sent_fails_at_once() {
    let mut fixture = Fixture::new();
    // Escapes count: what matters is what goes over the wire.
    assert!(matches!(error_of(fixture.send("1", &"\n".repeat(400))), SendError::TooLong { limit: 600, .. }));
    assert!(matches!(error_of(fixture.send("no spaces", "")), SendError::Name(_)));
    let _first = fixture.send("1", "");
    assert_eq!(error_of(fixture.send("1", "")), SendError::DuplicateId);
    fixture.session.end(Reason::Requested);
    assert_eq!(error_of(fixture.send("2", "")), SendError::Closed);
}

#[test]
fn an_ack_answers_the_send_and_a_rejection_does_too() {
    let mut fixture = Fixture::connected();
    let (mut acked, rejected) = (fixture.send("1", ""), fixture.send("2", ""));
    fixture.hears(r#"{"type":"ack","room":"r","id":"1","seq":5}"#);
    fixture.hears(r#"{"type":"error","code":"too_long","message":"m","room":"r","id":"2"}"#);
    assert_eq!(acked.try_recv().unwrap(), Ok(Acked { seq: 5 }));
    assert_eq!(error_of(rejected), SendError::Rejected { code: ErrorCode::TooLong, message: "m".to_owned() });
    assert_eq!(fixture.events(), []);
    assert_eq!(fixture.session.stats().acked, 1);
}

#[test]
fn an_end_answers_what_was_not_acked() {
    let mut fixture = Fixture::connected();
    let answer = fixture.send("1", "");
    fixture.session.finish(Reason::Requested);
    assert_eq!(error_of(answer), SendError::Closed);
}

#[test]
fn what_was_not_acked_is_sent_again_after_the_rooms_are_joined() {
    let mut fixture = Fixture::joined();
    let _answers = (fixture.send("1", ""), fixture.send("2", ""));
    assert_eq!(fixture.says(), [send("1"), send("2")]);
    fixture.hears(r#"{"type":"ack","room":"r","id":"1","seq":11}"#);
    fixture.disconnect();
    let _third = fixture.send("3", "");
    assert_eq!(fixture.says(), [""; 0], "there is no connection");
    fixture.connect();
    assert_eq!(fixture.says(), [join(r#","after":10"#), send("2"), send("3")]);
    assert_eq!(fixture.session.stats().resent, 1);
}

#[test]
fn a_message_put_off_holds_back_those_behind_it_until_its_time() {
    let mut fixture = Fixture::connected();
    let _first = fixture.send("1", "");
    fixture.says();
    let _second = fixture.send("2", "");
    fixture.hears(r#"{"type":"error","code":"rate_limited","message":"m","room":"r","id":"1","retry_after_ms":120}"#);
    assert_eq!(fixture.says(), [""; 0]);
    let due = fixture.now + Duration::from_millis(120);
    assert_eq!(fixture.session.next_timeout(fixture.now), Some(due));
    fixture.now = due;
    assert_eq!(fixture.says(), [send("1"), send("2")]);
    assert_eq!(fixture.session.next_timeout(fixture.now), None);
}

#[test]
fn without_a_time_a_message_put_off_is_sent_with_backoff() {
    let mut fixture = Fixture::connected();
    let mut answer = fixture.send("1", "");
    for window in [1, 2, 4, 8, 16, 20, 20] {
        fixture.says();
        fixture.hears(r#"{"type":"error","code":"store_unavailable","message":"m","room":"r","id":"1"}"#);
        assert!(fixture.session.hold_until.unwrap() <= fixture.now + Duration::from_secs(window));
        fixture.now += Duration::from_secs(window);
    }
    assert_eq!(fixture.says(), [send("1")]);
    assert!(answer.try_recv().is_err(), "it waits as long as it takes");
}

#[test]
fn a_room_is_resumed_after_the_last_message_seen() {
    let mut fixture = Fixture::joined();
    fixture.message(11);
    fixture.disconnect();
    fixture.connect();
    assert_eq!(fixture.says(), [join(r#","after":11"#)]);
}

#[test]
fn a_room_is_resumed_where_it_began_when_nothing_was_seen() {
    for (from, request, resumed) in [
        (JoinFrom::Live, "", 10),
        (JoinFrom::After(4), r#","after":4"#, 4),
        (JoinFrom::Last(3), r#","last":3"#, 7),
        (JoinFrom::Last(30), r#","last":30"#, 1),
    ] {
        let mut fixture = Fixture::connected();
        fixture.join(from);
        // Before the answer nothing is known: the same is asked again.
        assert_eq!(fixture.says(), [join(request)]);
        fixture.disconnect();
        fixture.connect();
        assert_eq!(fixture.says(), [join(request)]);
        fixture.hears(r#"{"type":"joined","room":"r","head":10,"first":2}"#);
        let joined = Event::Joined { room: "r".into(), head: 10, first: 2, after: resumed };
        assert_eq!(fixture.events(), [joined]);
        fixture.disconnect();
        fixture.connect();
        assert_eq!(fixture.says(), [join(&format!(r#","after":{resumed}"#))]);
    }
}

#[test]
fn what_comes_twice_is_delivered_once() {
    let mut fixture = Fixture::joined();
    for seq in [10, 11, 11, 12, 11] {
        fixture.message(seq);
    }
    assert!(matches!(fixture.events()[..], [Event::Message { seq: 11, .. }, Event::Message { seq: 12, .. }]));
    assert_eq!(fixture.session.stats().duplicates, 3);
}

#[test]
fn a_jump_is_reported_as_the_servers_fault() {
    let mut fixture = Fixture::joined();
    fixture.message(13);
    let events = fixture.events();
    assert_eq!(events[0], Event::Gap { room: "r".into(), from: 11, to: 12, announced: false });
    assert!(matches!(events[1], Event::Message { seq: 13, .. }));
    let Stats { violations, lost, .. } = fixture.session.stats();
    assert_eq!((violations, lost), (1, 2));
}

#[test]
fn history_that_is_gone_is_a_gap_that_was_announced() {
    let mut fixture = Fixture::joined();
    fixture.disconnect();
    fixture.connect();
    fixture.says();
    fixture.hears(r#"{"type":"error","code":"history_gone","message":"m","room":"r"}"#);
    fixture.hears(r#"{"type":"joined","room":"r","head":20,"first":14}"#);
    fixture.message(14);
    let events = fixture.events();
    assert_eq!(events[0], Event::Joined { room: "r".into(), head: 20, first: 14, after: 13 });
    assert_eq!(events[1], Event::Gap { room: "r".into(), from: 11, to: 13, announced: true });
    assert!(matches!(events[2], Event::Message { seq: 14, .. }));
    assert_eq!(fixture.session.stats().violations, 0);
}

#[test]
fn a_room_that_may_not_be_entered_is_told_and_given_up() {
    for code in ["not_allowed", "too_many_rooms", "bad_message", "something_new"] {
        let mut fixture = Fixture::connected();
        fixture.join(JoinFrom::Live);
        fixture.says();
        fixture.hears(&format!(r#"{{"type":"error","code":"{code}","message":"m","room":"r"}}"#));
        let events = fixture.events();
        assert!(matches!(&events[..], [Event::Error { .. }, Event::Left { .. }]), "{events:?}");
        fixture.disconnect();
        fixture.connect();
        assert_eq!(fixture.says(), [""; 0]);
    }
}

#[test]
fn a_server_that_lags_behind_is_asked_again() {
    let mut fixture = Fixture::joined();
    fixture.disconnect();
    fixture.connect();
    fixture.says();
    fixture.hears(r#"{"type":"error","code":"bad_message","message":"m","room":"r"}"#);
    assert!(matches!(fixture.events()[..], [Event::Error { code: ErrorCode::BadMessage, .. }]));
    fixture.now += Duration::from_secs(1);
    assert_eq!(fixture.says(), [join(r#","after":10"#)]);
}

#[test]
fn a_room_can_be_left_and_joined_again_at_any_time() {
    let mut fixture = Fixture::joined();
    fixture.session.leave("r");
    fixture.join(JoinFrom::Last(2));
    assert_eq!(fixture.says(), [r#"{"type":"leave","room":"r"}"#]);
    fixture.hears(r#"{"type":"left","room":"r"}"#);
    assert_eq!(fixture.events(), [Event::Left { room: "r".into() }]);
    assert_eq!(fixture.says(), [join(r#","last":2"#)]);
    // Between request and answer, too.
    fixture.session.leave("r");
    assert_eq!(fixture.says(), [""; 0]);
    fixture.hears(r#"{"type":"joined","room":"r","head":10,"first":1}"#);
    assert_eq!(fixture.says(), [r#"{"type":"leave","room":"r"}"#]);
}

#[test]
fn a_room_is_left_without_a_connection() {
    let mut fixture = Fixture::joined();
    fixture.disconnect();
    fixture.session.leave("r");
    fixture.session.leave("never");
    assert_eq!(fixture.events(), [Event::Left { room: "r".into() }]);
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

#[test]
fn ids_are_the_clients_own() {
    let (mut one, mut other) = (Session::new(LIMITS, 1), Session::new(LIMITS, 2));
    let ids: std::collections::HashSet<_> = (0..3).flat_map(|_| [one.new_id(), other.new_id()]).collect();
    assert_eq!(ids.len(), 6);
    assert!(ids.iter().all(|id| MessageId::new(id.as_str()).is_ok()));
}
