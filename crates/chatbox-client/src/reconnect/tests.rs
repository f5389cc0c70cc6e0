//! Every row of the table, the slot of a goodbye, and when the backoff starts afresh.

use super::*;

const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(20) };

fn close(code: u16) -> Reason {
    Reason::Close { code, text: String::new() }
}

fn refused(status: u16, retry_after: Option<u64>) -> Reason {
    let (error, message) = (String::new(), String::new());
    Reason::Refused { status, error, message, retry_after: retry_after.map(Duration::from_secs) }
}

fn network() -> Reason {
    Reason::Network("reset".to_owned())
}

/// The longest wait after this end.
fn after(reconnect: &mut Reconnect, reason: &Reason, progressed: bool, slot: Option<u64>) -> Option<u64> {
    let ended = Ended { reason, progressed, slot: slot.map(Duration::from_millis) };
    reconnect.after(&ended, 1.0).map(|delay| u64::try_from(delay.as_millis()).unwrap())
}

fn comes_back(reason: &Reason, renews_token: bool) -> bool {
    after(&mut Reconnect::new(BACKOFF, renews_token), reason, true, None).is_some()
}

#[test]
fn the_close_code_decides_whether_to_come_back() {
    for code in [1001, 1011, 1013] {
        assert!(comes_back(&close(code), false), "{code}");
    }
    for code in [1000, 1002, 1003, 1005, 1007, 1008, 1009, 1010, 1012, 1015, 3000, 4000] {
        assert!(!comes_back(&close(code), false), "{code}");
    }
    assert!(comes_back(&close(1008), true));
    assert!(!comes_back(&close(1000), true));
}

#[test]
fn the_status_of_a_refusal_decides_whether_to_come_back() {
    for status in [429, 500, 502, 503, 504] {
        assert!(comes_back(&refused(status, None), false), "{status}");
    }
    for status in [200, 301, 400, 401, 403, 404, 426] {
        assert!(!comes_back(&refused(status, None), false), "{status}");
    }
    assert!(comes_back(&refused(401, None), true));
    assert!(comes_back(&refused(403, None), true));
    assert!(!comes_back(&refused(400, None), true));
}

#[test]
fn network_errors_and_violations_are_retried() {
    for reason in
        [network(), Reason::Silent(BACKOFF.cap), Reason::Protocol(String::new()), Reason::Token(String::new())]
    {
        assert!(comes_back(&reason, false), "{reason}");
    }
    assert!(!comes_back(&Reason::Requested, true));
}

#[test]
fn being_connected_does_not_reset_the_backoff_but_messages_do() {
    let mut reconnect = Reconnect::new(BACKOFF, false);
    for window in [1000, 2000, 4000, 8000, 16_000, 20_000, 20_000] {
        assert_eq!(after(&mut reconnect, &network(), false, None), Some(window));
    }
    assert_eq!(after(&mut reconnect, &network(), true, None), Some(1000));
    assert_eq!(after(&mut reconnect, &network(), false, None), Some(2000));
}

#[test]
fn a_goodbye_is_answered_in_its_slot_without_backoff() {
    let mut reconnect = Reconnect::new(BACKOFF, false);
    assert_eq!(after(&mut reconnect, &network(), false, None), Some(1000));
    assert_eq!(after(&mut reconnect, &close(1001), false, Some(1830)), Some(1830));
    // The connection may break before the Close frame arrives: the slot still holds.
    assert_eq!(after(&mut reconnect, &network(), false, Some(0)), Some(0));
    // The try in the slot failed: backoff goes on from where it was.
    assert_eq!(after(&mut reconnect, &refused(503, None), false, None), Some(2000));
}

#[test]
fn a_slot_opens_no_door_that_the_close_code_shut() {
    assert_eq!(after(&mut Reconnect::new(BACKOFF, false), &close(1000), true, Some(5)), None);
}

#[test]
fn retry_after_is_waited_for_and_spread() {
    let mut reconnect = Reconnect::new(BACKOFF, false);
    let refusal = refused(503, Some(7));
    let ended = Ended { reason: &refusal, progressed: false, slot: None };
    assert_eq!(reconnect.after(&ended, 0.0), Some(Duration::from_secs(7)));
    assert_eq!(reconnect.after(&ended, 0.5), Some(Duration::from_secs(8)));
}

#[test]
fn no_server_can_make_a_client_wait_for_ever() {
    let mut reconnect = Reconnect::new(BACKOFF, false);
    assert_eq!(after(&mut reconnect, &close(1001), true, Some(u64::MAX)), Some(300_000));
    assert_eq!(after(&mut reconnect, &refused(429, Some(u64::MAX)), true, None), Some(301_000));
}
