//! Messages sent to the server, and their acks.

use super::*;

fn error_of(mut answer: Answer) -> SendError {
    answer.try_recv().unwrap().unwrap_err()
}

fn send(id: &str) -> String {
    format!(r#"{{"type":"send","room":"r","id":"{id}","body":""}}"#)
}

#[test]
fn as_many_messages_wait_for_their_ack_as_are_allowed() {
    let mut fixture = Fixture::connected();
    let (_first, _second) = (fixture.send("1", ""), fixture.send("2", ""));
    assert_eq!(error_of(fixture.send("3", "")), SendError::Full);
    fixture.receive(r#"{"type":"ack","room":"r","id":"1","seq":5}"#);
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
    fixture.receive(r#"{"type":"ack","room":"r","id":"1","seq":5}"#);
    fixture.receive(r#"{"type":"error","code":"too_long","message":"m","room":"r","id":"2"}"#);
    assert_eq!(acked.try_recv().unwrap(), Ok(Acked { seq: 5 }));
    assert_eq!(error_of(rejected), SendError::Rejected { code: ErrorCode::TooLong, message: "m".to_owned() });
    assert_eq!(fixture.events(), []);
    assert_eq!(fixture.session.stats().acked, 1);
}

#[test]
fn the_end_completes_unacked_sends() {
    let mut fixture = Fixture::connected();
    let answer = fixture.send("1", "");
    fixture.session.finish(Reason::Requested);
    assert_eq!(error_of(answer), SendError::Closed);
}

#[test]
fn unacked_messages_are_sent_again_after_the_rooms_are_joined() {
    let mut fixture = Fixture::joined();
    let _answers = (fixture.send("1", ""), fixture.send("2", ""));
    assert_eq!(fixture.transmit(), [send("1"), send("2")]);
    fixture.receive(r#"{"type":"ack","room":"r","id":"1","seq":11}"#);
    fixture.disconnect();
    let _third = fixture.send("3", "");
    assert_eq!(fixture.transmit(), [""; 0], "there is no connection");
    fixture.connect();
    assert_eq!(fixture.transmit(), [join(r#","after":10"#), send("2"), send("3")]);
    assert_eq!(fixture.session.stats().resent, 1);
}

#[test]
fn a_deferred_message_holds_back_later_ones() {
    let mut fixture = Fixture::connected();
    let _first = fixture.send("1", "");
    fixture.transmit();
    let _second = fixture.send("2", "");
    fixture.receive(r#"{"type":"error","code":"rate_limited","message":"m","room":"r","id":"1","retry_after_ms":120}"#);
    assert_eq!(fixture.transmit(), [""; 0]);
    let due = fixture.now + Duration::from_millis(120);
    assert_eq!(fixture.session.next_timeout(fixture.now), Some(due));
    fixture.now = due;
    assert_eq!(fixture.transmit(), [send("1")], "one by one, until the server keeps up");
    assert_eq!(fixture.session.next_timeout(fixture.now), None);
    fixture.receive(r#"{"type":"ack","room":"r","id":"1","seq":5}"#);
    assert_eq!(fixture.transmit(), [send("2")]);
}

#[test]
fn a_message_deferred_without_a_time_is_sent_with_backoff() {
    let mut fixture = Fixture::connected();
    let mut answer = fixture.send("1", "");
    for window in [1, 2, 4, 8, 16, 20, 20] {
        fixture.transmit();
        fixture.receive(r#"{"type":"error","code":"store_unavailable","message":"m","room":"r","id":"1"}"#);
        assert!(fixture.session.hold_until.unwrap() <= fixture.now + Duration::from_secs(window));
        fixture.now += Duration::from_secs(window);
    }
    assert_eq!(fixture.transmit(), [send("1")]);
    assert!(answer.try_recv().is_err(), "it waits as long as it takes");
}

#[test]
fn ids_of_clients_differ() {
    let (mut one, mut other) = (Session::new(LIMITS, 1), Session::new(LIMITS, 2));
    let ids: std::collections::HashSet<_> = (0..3).flat_map(|_| [one.new_id(), other.new_id()]).collect();
    assert_eq!(ids.len(), 6);
    assert!(ids.iter().all(|id| MessageId::new(id.as_str()).is_ok()));
}

#[test]
fn a_rate_limit_is_met_without_flooding_the_server() {
    let mut fixture = Fixture::connected();
    fixture.session.limits.max_unacked = 1000;
    fixture.session.limits.max_unacked_bytes = 1 << 20;
    let mut answers: Vec<_> = (0..500).map(|number| fixture.send(&number.to_string(), "")).collect();
    let (mut burst, mut said, mut seq) = (100, 0, 0);
    while fixture.session.stats().unacked > 0 {
        for text in fixture.transmit() {
            said += 1;
            let ClientMessage::Send { id, .. } = ClientMessage::parse(&text).unwrap() else { panic!("{text}") };
            if burst > 0 {
                (burst, seq) = (burst - 1, seq + 1);
                fixture.receive(&format!(r#"{{"type":"ack","room":"r","id":"{id}","seq":{seq}}}"#));
            } else {
                fixture.receive(&format!(
                    r#"{{"type":"error","code":"rate_limited","message":"m","room":"r","id":"{id}","retry_after_ms":20}}"#
                ));
            }
        }
        // Fifty a second.
        (fixture.now, burst) = (fixture.now + Duration::from_millis(20), burst + 1);
    }
    assert!(said < 1000, "{said} for 500 messages");
    let seqs: Vec<_> = answers.iter_mut().map(|answer| answer.try_recv().unwrap().unwrap().seq).collect();
    assert_eq!(seqs, (1..=500).collect::<Vec<_>>(), "in the order of sending");
}

/// What a wait for all acks has come to: `None` while it lasts.
fn outcome(answer: &mut oneshot::Receiver<Result<(), SendError>>) -> Option<Result<(), SendError>> {
    answer.try_recv().ok()
}

#[test]
fn a_wait_for_acks_ends_when_everything_sent_before_it_is_answered() {
    let mut fixture = Fixture::connected();
    let wait = |fixture: &mut Fixture| {
        let (reply, answer) = oneshot::channel();
        fixture.session.wait_for_acks(reply);
        answer
    };
    assert_eq!(outcome(&mut wait(&mut fixture)), Some(Ok(())), "nothing was sent");
    let _first = fixture.send("1", "");
    let mut one = wait(&mut fixture);
    let _second = fixture.send("2", "");
    let mut both = wait(&mut fixture);
    // Out of order.
    fixture.receive(r#"{"type":"error","code":"too_long","message":"m","room":"r","id":"2"}"#);
    assert_eq!((outcome(&mut one), outcome(&mut both)), (None, None));
    fixture.receive(r#"{"type":"ack","room":"r","id":"1","seq":5}"#);
    assert_eq!((outcome(&mut one), outcome(&mut both)), (Some(Ok(())), Some(Ok(()))));

    let _third = fixture.send("3", "");
    let mut never = wait(&mut fixture);
    fixture.session.finish(Reason::Requested);
    assert_eq!(outcome(&mut never), Some(Err(SendError::Closed)));
}
