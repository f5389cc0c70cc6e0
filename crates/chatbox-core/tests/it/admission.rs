//! Admission at the limit of a user, in paused time.

use crate::fixture::{Recorder, Seen, registry};
use chatbox_core::{CloseError, CloseSummary, Command, Lease, Refused, Registry};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Serves a lease whose peer answers probes after `answers`, or never; `last_read` orders the connections by silence.
fn serve(mut lease: Lease, last_read: u32, answers: Option<Duration>) {
    lease.begin();
    lease.record_read(last_read);
    tokio::spawn(async move {
        loop {
            let probed = poll_fn(|cx| {
                lease.register(cx.waker());
                match (lease.command(), lease.take_tick() && lease.take_probe()) {
                    (_, true) => Poll::Ready(true),
                    (Command::Serve, false) => Poll::Pending,
                    _ => Poll::Ready(false),
                }
            });
            if !probed.await {
                return lease.end(CloseSummary::aborted(CloseError::Cut));
            }
            match answers {
                Some(after) => {
                    sleep(after).await;
                    lease.record_read(last_read + 1_000);
                    lease.answered();
                }
                None => {
                    sleep(Lease::PROBE_TIMEOUT).await;
                    lease.displaced();
                    // Its close handshake takes a while.
                    sleep(Duration::from_secs(3)).await;
                    return lease.end(CloseSummary::aborted(CloseError::CloseTimeout));
                }
            }
        }
    });
}

fn connect(registry: &Registry, last_read: u32, answers: Option<Duration>) -> u64 {
    let lease = registry.admit("alice").unwrap();
    let id = lease.connection().id().to_string().parse().unwrap();
    serve(lease, last_read, answers);
    id
}

fn displaced(recorder: &Recorder) -> Vec<u64> {
    let seen = recorder.read();
    seen.iter().filter_map(|seen| if let Seen::Displaced(id) = seen { Some(*id) } else { None }).collect()
}

#[tokio::test(start_paused = true)]
async fn a_connection_below_the_limit_does_not_wait() {
    let (registry, _) = registry(10, 1);
    let start = Instant::now();
    drop(registry.admit_when_vacant("alice").await.unwrap());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_longest_silent_connection_gives_way_if_it_does_not_answer() {
    let (registry, recorder) = registry(10, 3);
    connect(&registry, 5, None);
    let longest = connect(&registry, 1, None);
    connect(&registry, 3, None);
    let start = Instant::now();
    let lease = registry.admit_when_vacant("alice").await.unwrap();
    assert_eq!(start.elapsed(), Lease::PROBE_TIMEOUT);
    assert_eq!(displaced(&recorder), [longest]);
    assert_eq!(registry.by_user("alice").len(), 3);
    assert_eq!(registry.len(), 4, "the displaced one is still being closed");
    sleep(Duration::from_secs(4)).await;
    assert_eq!((registry.len(), registry.by_user("alice").len()), (3, 3));
    drop(lease);
    assert_eq!(registry.by_user("alice").len(), 2);
    assert_eq!(recorder.read().iter().filter(|seen| matches!(seen, Seen::Refused(_))).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_is_found_behind_live_ones() {
    let (registry, recorder) = registry(10, 3);
    connect(&registry, 1, Some(Duration::from_millis(10)));
    connect(&registry, 2, Some(Duration::from_millis(10)));
    let dead = connect(&registry, 3, None);
    drop(registry.admit_when_vacant("alice").await.unwrap());
    assert_eq!(displaced(&recorder), [dead]);
}

#[tokio::test(start_paused = true)]
async fn a_user_whose_connections_all_answer_is_refused_as_soon_as_they_have() {
    let (registry, recorder) = registry(10, 3);
    for last_read in 1..=3 {
        connect(&registry, last_read, Some(Duration::from_millis(50)));
    }
    let start = Instant::now();
    assert_eq!(registry.admit_when_vacant("alice").await.unwrap_err(), Refused::TooManyConnections);
    assert_eq!(start.elapsed(), Duration::from_millis(150));
    let refused = recorder.read().into_iter().filter(|seen| matches!(seen, Seen::Refused(_))).count();
    assert_eq!((refused, displaced(&recorder)), (1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_bounded() {
    let (registry, recorder) = registry(10, 2);
    connect(&registry, 1, Some(Duration::from_millis(1_900)));
    connect(&registry, 2, None);
    let start = Instant::now();
    assert_eq!(registry.admit_when_vacant("alice").await.unwrap_err(), Refused::TooManyConnections);
    assert_eq!(start.elapsed(), Registry::VACANCY_TIMEOUT);
    // The second probe is still settled, so that the next attempt succeeds at once.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(displaced(&recorder).len(), 1);
    assert!(registry.admit("alice").is_ok());
}

#[tokio::test(start_paused = true)]
async fn admissions_that_wait_at_the_same_time_probe_different_connections() {
    let (registry, recorder) = registry(10, 2);
    connect(&registry, 1, None);
    connect(&registry, 2, None);
    let admit = || registry.admit_when_vacant("alice");
    let (first, second, third) = tokio::join!(admit(), admit(), admit());
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(third.unwrap_err(), Refused::TooManyConnections);
    assert_eq!(displaced(&recorder).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_ends_meanwhile_makes_room() {
    let (registry, recorder) = registry(10, 1);
    connect(&registry, 1, None);
    let leaving = registry.by_user("alice").remove(0);
    let start = Instant::now();
    let (admitted, ()) = tokio::join!(registry.admit_when_vacant("alice"), async {
        sleep(Duration::from_millis(100)).await;
        leaving.cut();
    });
    // The simulated session notices the cut when its probe has expired.
    assert!(admitted.is_ok() && start.elapsed() <= Lease::PROBE_TIMEOUT);
    assert!(displaced(&recorder).len() <= 1);
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_closes_meanwhile_refuses_at_once() {
    let (registry, _) = registry(10, 1);
    connect(&registry, 1, None);
    let start = Instant::now();
    let (refused, ()) = tokio::join!(registry.admit_when_vacant("alice"), async {
        sleep(Duration::from_millis(100)).await;
        registry.refuse_newcomers();
    });
    assert_eq!(refused.unwrap_err(), Refused::Draining);
    assert_eq!(start.elapsed(), Duration::from_millis(100));
    assert_eq!(registry.tally().refused, 1);
}

#[tokio::test(start_paused = true)]
async fn an_admission_that_is_dropped_leaves_its_probe_to_be_settled() {
    let (registry, recorder) = registry(10, 1);
    connect(&registry, 1, None);
    let dropped = tokio::time::timeout(Duration::from_millis(100), registry.admit_when_vacant("alice")).await;
    assert!(dropped.is_err());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(displaced(&recorder).len(), 1);
    assert!(registry.admit("alice").is_ok());
}

#[tokio::test(start_paused = true)]
async fn connections_are_found_by_user() {
    let (registry, _) = registry(10, 10);
    let leases: Vec<_> = ["alice", "bob", "alice"].iter().map(|user| registry.admit(user).unwrap()).collect();
    let ids = |user| registry.by_user(user).iter().map(|connection| connection.id()).collect::<Vec<_>>();
    assert_eq!(ids("alice"), [leases[2].connection().id(), leases[0].connection().id()]);
    assert_eq!((ids("bob").len(), ids("carol").len()), (1, 0));
    let mut all = 0;
    registry.for_each(|_| all += 1);
    assert_eq!(all, 3);
}
