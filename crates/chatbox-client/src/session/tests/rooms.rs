//! Rooms, their cursors, and gaps.

use super::*;

#[test]
fn a_room_is_resumed_after_the_last_message_seen() {
    let mut fixture = Fixture::joined();
    fixture.message(11);
    fixture.disconnect();
    fixture.connect();
    assert_eq!(fixture.transmit(), [join(r#","after":11"#)]);
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
        // Before the answer nothing is known: the request is repeated.
        assert_eq!(fixture.transmit(), [join(request)]);
        fixture.disconnect();
        fixture.connect();
        assert_eq!(fixture.transmit(), [join(request)]);
        fixture.receive(r#"{"type":"joined","room":"r","head":10,"first":2}"#);
        let joined = Event::Joined { room: "r".into(), head: 10, first: 2, epoch: None, after: resumed };
        assert_eq!(fixture.events(), [joined]);
        fixture.disconnect();
        fixture.connect();
        assert_eq!(fixture.transmit(), [join(&format!(r#","after":{resumed}"#))]);
    }
}

#[test]
fn a_repeated_message_is_delivered_once() {
    let mut fixture = Fixture::joined();
    for seq in [10, 11, 11, 12, 11] {
        fixture.message(seq);
    }
    assert!(matches!(fixture.events()[..], [Event::Message { seq: 11, .. }, Event::Message { seq: 12, .. }]));
    assert_eq!(fixture.session.stats().duplicates, 3);
}

#[test]
fn an_unannounced_gap_is_a_violation() {
    let mut fixture = Fixture::joined();
    fixture.message(13);
    let events = fixture.events();
    assert_eq!(events[0], Event::Gap { room: "r".into(), gap: Gap::Missing { from: 11, to: 12 } });
    assert!(matches!(events[1], Event::Message { seq: 13, .. }));
    let Stats { violations, lost, .. } = fixture.session.stats();
    assert_eq!((violations, lost), (1, 2));
}

#[test]
fn history_that_is_gone_is_an_announced_gap() {
    let mut fixture = Fixture::joined();
    fixture.disconnect();
    fixture.connect();
    fixture.transmit();
    fixture.receive(r#"{"type":"error","code":"history_gone","message":"m","room":"r"}"#);
    fixture.receive(r#"{"type":"joined","room":"r","head":20,"first":14}"#);
    fixture.message(14);
    let events = fixture.events();
    assert_eq!(events[0], Event::Joined { room: "r".into(), head: 20, first: 14, epoch: None, after: 13 });
    assert_eq!(events[1], Event::Gap { room: "r".into(), gap: Gap::Removed { from: 11, to: 13 } });
    assert!(matches!(events[2], Event::Message { seq: 14, .. }));
    assert_eq!(fixture.session.stats().violations, 0);
}

#[test]
fn a_refused_room_is_reported_and_not_joined_again() {
    for code in ["not_allowed", "too_many_rooms", "bad_message", "something_new"] {
        let mut fixture = Fixture::connected();
        fixture.join(JoinFrom::Live);
        fixture.transmit();
        fixture.receive(&format!(r#"{{"type":"error","code":"{code}","message":"m","room":"r"}}"#));
        let events = fixture.events();
        assert!(matches!(&events[..], [Event::Error { .. }, Event::Left { .. }]), "{events:?}");
        fixture.disconnect();
        fixture.connect();
        assert_eq!(fixture.transmit(), [""; 0]);
    }
}

#[test]
fn a_join_is_repeated_while_a_server_lags_behind() {
    let mut fixture = Fixture::joined();
    fixture.disconnect();
    fixture.connect();
    fixture.transmit();
    fixture.receive(r#"{"type":"error","code":"bad_message","message":"m","room":"r"}"#);
    assert!(matches!(fixture.events()[..], [Event::Error { code: ErrorCode::BadMessage, .. }]));
    fixture.now += Duration::from_secs(1);
    assert_eq!(fixture.transmit(), [join(r#","after":10"#)]);
}

#[test]
fn a_room_can_be_left_and_joined_again_at_any_time() {
    let mut fixture = Fixture::joined();
    fixture.session.leave("r");
    fixture.join(JoinFrom::Last(2));
    assert_eq!(fixture.transmit(), [r#"{"type":"leave","room":"r"}"#]);
    fixture.receive(r#"{"type":"left","room":"r"}"#);
    assert_eq!(fixture.events(), [Event::Left { room: "r".into() }]);
    assert_eq!(fixture.transmit(), [join(r#","last":2"#)]);
    // Between request and answer, too.
    fixture.session.leave("r");
    assert_eq!(fixture.transmit(), [""; 0]);
    fixture.receive(r#"{"type":"joined","room":"r","head":10,"first":1}"#);
    assert_eq!(fixture.transmit(), [r#"{"type":"leave","room":"r"}"#]);
}

#[test]
fn a_room_is_left_without_a_connection() {
    let mut fixture = Fixture::joined();
    fixture.disconnect();
    fixture.session.leave("r");
    fixture.session.leave("never");
    assert_eq!(fixture.events(), [Event::Left { room: "r".into() }]);
}

/// Resumes the room `r` after 10, in the log `epoch`, with these messages of the server; returns the events.
fn resume(epoch: Option<&str>, answers: &[&str]) -> (Fixture, Vec<Event>) {
    let mut fixture = Fixture::connected();
    fixture.join(match epoch {
        Some(epoch) => JoinFrom::Resume { after: 10, epoch: epoch.into() },
        None => JoinFrom::After(10),
    });
    let fields = epoch.map_or_else(String::new, |epoch| format!(r#","epoch":"{epoch}""#));
    assert_eq!(fixture.transmit(), [join(&format!(r#","after":10{fields}"#))]);
    for answer in answers {
        fixture.receive(answer);
    }
    let events = fixture.events();
    (fixture, events)
}

const HISTORY_GONE: &str = r#"{"type":"error","code":"history_gone","message":"m","room":"r"}"#;

fn replaced(seen: u64, after: u64) -> Event {
    Event::Gap { room: "r".into(), gap: Gap::LogReplaced { seen, after } }
}

#[test]
fn the_epoch_is_remembered_and_sent_with_the_cursor() {
    let mut fixture = Fixture::connected();
    fixture.join(JoinFrom::Live);
    fixture.transmit();
    fixture.receive(r#"{"type":"joined","room":"r","head":10,"first":1,"epoch":"a"}"#);
    assert!(matches!(&fixture.events()[..], [Event::Joined { epoch: Some(epoch), .. }] if &**epoch == "a"));
    fixture.disconnect();
    fixture.connect();
    assert_eq!(fixture.transmit(), [join(r#","after":10,"epoch":"a""#)]);
    // A server of an earlier version changes nothing about it.
    fixture.receive(r#"{"type":"joined","room":"r","head":10,"first":1}"#);
    fixture.disconnect();
    fixture.connect();
    assert_eq!(fixture.transmit(), [join(r#","after":10,"epoch":"a""#)]);
}

#[test]
fn another_epoch_is_a_gap_and_everything_stored_follows() {
    let joined = r#"{"type":"joined","room":"r","head":40,"first":3,"epoch":"b"}"#;
    let (mut fixture, events) = resume(Some("a"), &[HISTORY_GONE, joined]);
    assert_eq!(events[1..], [replaced(10, 2)]);
    // What the cursor of the old log would take for repeats is delivered.
    fixture.message(3);
    fixture.message(4);
    assert!(matches!(fixture.events()[..], [Event::Message { seq: 3, .. }, Event::Message { seq: 4, .. }]));
    let Stats { violations, duplicates, replaced_logs, .. } = fixture.session.stats();
    assert_eq!((violations, duplicates, replaced_logs), (0, 0, 1));
    fixture.disconnect();
    fixture.connect();
    assert_eq!(fixture.transmit(), [join(r#","after":4,"epoch":"b""#)]);
}

#[test]
fn another_epoch_that_the_server_did_not_notice_is_a_gap_too() {
    let joined = r#"{"type":"joined","room":"r","head":40,"first":3,"epoch":"b"}"#;
    let (mut fixture, events) = resume(Some("a"), &[joined]);
    assert_eq!(events[1..], [replaced(10, 10)]);
    fixture.message(11);
    assert!(matches!(fixture.events()[..], [Event::Message { seq: 11, .. }]));
}

#[test]
fn a_head_behind_the_cursor_is_a_gap_with_and_without_history_gone() {
    let joined = r#"{"type":"joined","room":"r","head":6,"first":3}"#;
    for (answers, after) in [(&[HISTORY_GONE, joined][..], 2), (&[joined], 6)] {
        let (mut fixture, events) = resume(None, answers);
        assert_eq!(events[1..], [replaced(10, after)]);
        for seq in after + 1..=7 {
            fixture.message(seq);
        }
        assert!(matches!(fixture.events().last(), Some(Event::Message { seq: 7, .. })));
        assert_eq!(fixture.session.stats().violations, 0);
    }
}

#[test]
fn messages_removed_or_replaced_while_in_the_room_are_an_announced_gap() {
    for (seq, gap) in [(14, Gap::Removed { from: 11, to: 13 }), (4, Gap::LogReplaced { seen: 10, after: 3 })] {
        let mut fixture = Fixture::joined();
        fixture.receive(HISTORY_GONE);
        fixture.message(seq);
        fixture.message(seq + 1);
        let events = fixture.events();
        assert_eq!(events[0], Event::Gap { room: "r".into(), gap });
        assert!(matches!(events[1..], [Event::Message { .. }, Event::Message { .. }]), "{events:?}");
        assert_eq!(fixture.session.stats().violations, 0);
    }
}

#[test]
fn a_room_resynchronised_by_the_server_is_joined_anew() {
    let mut fixture = Fixture::joined();
    let joined = r#"{"type":"joined","room":"r","head":4,"first":1,"epoch":"b"}"#;
    // Only if it was announced: a `joined` that answers nothing is ignored.
    fixture.receive(joined);
    assert_eq!(fixture.events(), []);
    fixture.receive(HISTORY_GONE);
    fixture.receive(joined);
    assert_eq!(fixture.events()[1..], [replaced(10, 0)]);
    fixture.message(1);
    assert!(matches!(fixture.events()[..], [Event::Message { seq: 1, .. }]));
}

#[test]
fn a_cursor_that_no_server_knows_is_given_up_in_the_end() {
    let mut fixture = Fixture::joined();
    fixture.disconnect();
    fixture.connect();
    let mut requests = Vec::new();
    loop {
        requests.extend(fixture.transmit());
        if requests.last() == Some(&join("")) {
            break;
        }
        assert!(requests.len() < 20, "{requests:?}");
        fixture.receive(r#"{"type":"error","code":"bad_message","message":"m","room":"r"}"#);
        fixture.now += Duration::from_secs(20);
    }
    assert_eq!(requests.len(), 8);
    fixture.events();
    fixture.receive(r#"{"type":"joined","room":"r","head":4,"first":1}"#);
    assert_eq!(fixture.events()[1..], [replaced(10, 4)]);
}
