//! Rooms, their cursors and what comes in.

use super::*;

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
