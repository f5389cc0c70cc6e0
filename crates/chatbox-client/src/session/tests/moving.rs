//! Moving to another connection.

use super::*;

fn seqs(events: &[Event]) -> Vec<u64> {
    let seq = |event: &Event| if let Event::Message { seq, .. } = event { Some(*seq) } else { None };
    events.iter().filter_map(seq).collect()
}

fn send(id: &str) -> String {
    format!(r#"{{"type":"send","room":"r","id":"{id}","body":""}}"#)
}

#[test]
fn messages_come_over_the_previous_connection_until_the_room_is_joined_on_the_new_one() {
    let mut fixture = Fixture::joined();
    fixture.move_on();
    assert_eq!(fixture.transmit(), [join(r#","after":10"#)]);
    fixture.receive_previous(&message(11));
    assert_eq!(seqs(&fixture.events()), [11]);
    assert!(!fixture.session.has_moved());
    fixture.receive(r#"{"type":"joined","room":"r","head":11,"first":1}"#);
    assert!(fixture.session.has_moved());
    // Both deliver 11 and 12.
    fixture.receive_previous(&message(12));
    for seq in [11, 12, 13] {
        fixture.message(seq);
    }
    let events = fixture.events();
    assert_eq!(seqs(&events), [12, 13]);
    assert!(!events.iter().any(|event| matches!(event, Event::Gap { .. } | Event::Disconnected { .. })));
    let Stats { duplicates, violations, moves, connects, disconnects, .. } = fixture.session.stats();
    assert_eq!((duplicates, violations, moves, connects, disconnects), (0, 0, 1, 2, 0));
}

#[test]
fn messages_of_the_previous_connection_behind_the_head_of_the_new_one_are_no_gap() {
    let mut fixture = Fixture::joined();
    fixture.move_on();
    fixture.transmit();
    // Read before the `joined`, whose head is older.
    fixture.receive_previous(&message(11));
    fixture.receive(r#"{"type":"joined","room":"r","head":10,"first":1}"#);
    fixture.message(11);
    fixture.message(12);
    let events = fixture.events();
    assert_eq!(seqs(&events), [11, 12]);
    assert!(!events.iter().any(|event| matches!(event, Event::Gap { .. })), "{events:?}");
}

#[test]
fn acks_of_the_previous_connection_count_and_later_messages_wait_for_them() {
    let mut fixture = Fixture::joined();
    let mut first = fixture.send("1", "");
    assert_eq!(fixture.transmit(), [send("1")]);
    fixture.move_on();
    let _second = fixture.send("2", "");
    fixture.receive(r#"{"type":"joined","room":"r","head":10,"first":1}"#);
    assert_eq!(fixture.transmit(), [join(r#","after":10"#)]);
    assert!(!fixture.session.has_moved(), "an ack is outstanding");
    fixture.receive_previous(r#"{"type":"ack","room":"r","id":"1","seq":11}"#);
    assert_eq!(first.try_recv().unwrap(), Ok(Acked { seq: 11 }));
    assert_eq!(fixture.transmit(), [send("2")]);
}

#[test]
fn messages_that_the_previous_connection_did_not_answer_are_sent_again_first() {
    let mut fixture = Fixture::joined();
    let _first = fixture.send("1", "");
    fixture.transmit();
    fixture.move_on();
    let _second = fixture.send("2", "");
    fixture.session.on_previous_closed();
    assert_eq!(fixture.transmit(), [join(r#","after":10"#), send("1"), send("2")]);
    assert_eq!(fixture.session.stats().resent, 1);
}

#[test]
fn a_connection_that_does_not_begin_with_welcome_is_not_moved_to() {
    let mut fixture = Fixture::joined();
    for text in ["nonsense", r#"{"type":"left","room":"r"}"#] {
        assert!(matches!(fixture.session.on_moved(text), Err(Reason::Protocol(_))), "{text}");
    }
    fixture.message(11);
    assert_eq!(seqs(&fixture.events()), [11]);
    assert_eq!(fixture.session.stats().moves, 0);
}
