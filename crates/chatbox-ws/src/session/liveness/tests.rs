//! Liveness, fed with ticks.

use super::*;
use proptest::prelude::*;

const TICK: Duration = Duration::from_millis(100);

fn heartbeat(interval: u64, timeout: u64) -> Heartbeat {
    Heartbeat::new(TickLength::new(TICK), Duration::from_millis(interval), Duration::from_millis(timeout))
}

/// Runs a clock from the last read of a peer that stays silent; returns the ticks of the pings and of the end.
fn silent(liveness: &mut Liveness, heartbeat: &Heartbeat, from: Tick) -> (Vec<Tick>, Tick) {
    let mut pings = Vec::new();
    for now in from.. {
        if liveness.deadline(heartbeat).is_some_and(|deadline| deadline <= now) {
            return (pings, now);
        }
        if liveness.next_ping(heartbeat) <= now {
            liveness.on_ping(now);
            pings.push(now);
        }
    }
    unreachable!("the loop has no end")
}

#[test]
fn a_silent_peer_is_pinged_each_interval_and_given_up_after_the_timeout() {
    let heartbeat = heartbeat(25_000, 60_000);
    assert_eq!(silent(&mut Liveness::new(1), &heartbeat, 1), (vec![252, 503], 602));
}

#[test]
fn a_read_starts_the_silence_anew() {
    let heartbeat = heartbeat(25_000, 60_000);
    let mut liveness = Liveness::new(1);
    liveness.on_ping(252);
    liveness.on_ping(503);
    assert!(!liveness.on_read(600), "no probe was pending");
    assert_eq!(liveness.deadline(&heartbeat), None);
    assert_eq!(liveness.next_ping(&heartbeat), 851);
}

#[test]
fn a_peer_with_much_to_read_gets_a_second_for_each_16_kib() {
    let heartbeat = heartbeat(25_000, 60_000);
    let mut liveness = Liveness::new(1);
    liveness.on_written(1 << 20);
    assert_eq!(silent(&mut liveness, &heartbeat, 1).1, 602 + 640);
    liveness.on_written(usize::MAX);
    assert!(liveness.deadline(&heartbeat) > Some(603));
}

#[test]
fn a_peer_is_pinged_before_it_is_given_up_however_late_that_is() {
    let heartbeat = heartbeat(25_000, 60_000);
    let mut liveness = Liveness::new(1);
    let late = 36_000;
    let (pings, end) = silent(&mut liveness, &heartbeat, late);
    assert_eq!(pings, [late, late + 251]);
    assert_eq!(end, late + 251 + 99);
}

#[test]
fn a_read_answers_a_pending_probe_once() {
    let mut liveness = Liveness::new(1);
    liveness.on_probe(21);
    assert_eq!(liveness.probe_deadline(), Some(21));
    assert!(liveness.on_read(9) && !liveness.on_read(10));
    assert_eq!(liveness.probe_deadline(), None);
}

#[test]
fn the_longest_durations_do_not_overflow() {
    let heartbeat = Heartbeat::new(TickLength::new(TICK), Duration::MAX, Duration::MAX);
    let mut liveness = Liveness::new(u32::MAX / 4);
    liveness.on_written(usize::MAX);
    liveness.on_ping(u32::MAX / 4);
    assert!(liveness.next_ping(&heartbeat) > u32::MAX / 2 - 1);
    assert!(liveness.deadline(&heartbeat) > Some(u32::MAX / 2 - 1));
}

proptest! {
    #[test]
    fn no_peer_is_given_up_early_or_unasked(
        interval in 0u64..5_000, timeout in 0u64..20_000, written in 0usize..1 << 20, now in 1u32..100_000,
    ) {
        let heartbeat = heartbeat(interval, timeout);
        let mut liveness = Liveness::new(now);
        liveness.on_written(written);
        let (pings, end) = silent(&mut liveness, &heartbeat, now);
        // The last tick may have begun just before the read.
        prop_assert!((end - now - 1) * 100 >= u32::try_from(timeout).unwrap());
        prop_assert!(pings.len() >= usize::try_from((timeout / 100).saturating_sub(1) / (interval / 100 + 2)).unwrap());
        // The last ping is given the time that any ping is given before the timeout.
        let allowed = timeout + written as u64 * 1_000 / u64::from(SLOWEST) + interval.min(timeout);
        prop_assert!(u64::from(end - now) * 100 <= allowed + 400, "{} {}", end, now);
    }
}
