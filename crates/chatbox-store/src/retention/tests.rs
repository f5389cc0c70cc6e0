//! Clocks that are ahead, behind and set, against a message whose true age is known.

use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: i64 = 3_600_000;

/// A guard for an hour's retention that has settled, with both clocks at 100 hours.
fn settled() -> Retention {
    let mut retention = Retention::new(Duration::from_millis(HOUR as u64));
    assert_eq!(retention.sweep(100 * HOUR, Duration::ZERO), Sweep::Wait);
    assert_eq!(retention.sweep(100 * HOUR + 60_000, MINUTE), remove(99 * HOUR + 60_000, 100 * HOUR + 60_000));
    retention
}

fn remove(before_ms: i64, now_ms: i64) -> Sweep {
    Sweep::Remove(Cutoff { before_ms, now_ms })
}

#[test]
fn a_clock_that_is_set_forward_removes_nothing_early_and_is_believed_in_the_end() {
    let mut retention = settled();
    let jumped = Cutoff { before_ms: 99 * HOUR + 120_000, now_ms: 124 * HOUR + 120_000 };
    let ahead = Duration::from_millis(24 * HOUR as u64);
    assert_eq!(retention.sweep(124 * HOUR + 120_000, 2 * MINUTE), Sweep::Jumped { ahead, cutoff: jumped });
    assert_eq!(
        retention.sweep(124 * HOUR + 180_000, 3 * MINUTE),
        remove(99 * HOUR + 180_000, 124 * HOUR + 180_000),
        "said once"
    );
    let believed = retention.sweep(125 * HOUR + 120_000, 62 * MINUTE);
    assert_eq!(believed, remove(124 * HOUR + 120_000, 125 * HOUR + 120_000));
}

#[test]
fn a_clock_that_is_set_forward_and_back_is_believed_at_once() {
    let mut retention = settled();
    assert!(matches!(retention.sweep(124 * HOUR + 120_000, 2 * MINUTE), Sweep::Jumped { .. }));
    assert_eq!(retention.sweep(100 * HOUR + 180_000, 3 * MINUTE), remove(99 * HOUR + 180_000, 100 * HOUR + 180_000));
}

#[test]
fn a_clock_that_is_set_back_removes_less() {
    let mut retention = settled();
    assert_eq!(retention.sweep(76 * HOUR, 2 * MINUTE), remove(75 * HOUR, 76 * HOUR));
}

#[test]
fn a_clock_that_is_set_in_the_first_minute_removes_nothing() {
    let mut retention = Retention::new(Duration::from_millis(HOUR as u64));
    assert_eq!(retention.sweep(0, Duration::ZERO), Sweep::Wait);
    let second = Duration::from_secs(1);
    assert_eq!(retention.sweep(100 * HOUR, second), Sweep::Wait);
    // What was dated just before the jump is a minute old.
    let cutoff = Cutoff { before_ms: 60_000 - HOUR, now_ms: 100 * HOUR + 59_000 };
    assert_eq!(retention.sweep(100 * HOUR + 59_000, MINUTE), Sweep::Remove(cutoff));
}

#[test]
fn a_process_that_was_frozen_sees_no_jump() {
    let mut retention = settled();
    assert_eq!(retention.sweep(105 * HOUR, 300 * MINUTE), remove(104 * HOUR, 105 * HOUR));
}

#[test]
fn a_short_retention_is_swept_soon() {
    let mut retention = Retention::new(Duration::from_secs(2));
    assert_eq!(retention.sweep(10_000, Duration::from_secs(10)), Sweep::Wait);
    assert_eq!(retention.sweep(12_000, Duration::from_secs(12)), remove(10_000, 12_000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() })]

    /// Messages are dated by a clock that is set now and then; a sweep runs every minute. Whatever it removes was accepted
    /// longer ago than the retention, up to the tolerance for each time that the clock was set by less than that.
    #[test]
    fn no_message_is_removed_before_its_time(steps in prop::collection::vec((0..200_u32, -50..50_i64), 1..200)) {
        let mut retention = Retention::new(Duration::from_millis(HOUR as u64));
        let (mut offset, mut dated) = (1_000 * HOUR, Vec::new());
        for (minute, (chance, jump)) in steps.into_iter().enumerate() {
            let uptime = MINUTE * minute as u32;
            if chance < 10 {
                offset += jump * HOUR / 10;
            }
            let now_ms = offset + millis(uptime);
            dated.push((now_ms, uptime));
            let cutoff = match retention.sweep(now_ms, uptime) {
                Sweep::Remove(cutoff) | Sweep::Jumped { cutoff, .. } => cutoff,
                Sweep::Wait => continue,
            };
            // A room loses its oldest messages only, so one that stays keeps all behind it.
            let expired = dated.iter().take_while(|(at, _)| *at < cutoff.before_ms).count();
            for (at, accepted) in dated.drain(..expired) {
                let age = uptime - accepted;
                prop_assert!(age >= Duration::from_millis(HOUR as u64), "{at} was removed after {age:?}");
            }
        }
    }
}
