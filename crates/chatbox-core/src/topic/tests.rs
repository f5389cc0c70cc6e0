//! Topics and their readers, without sessions.

use super::*;
use crate::close::CloseCode;
use crate::command::{Closing, Command};
use crate::lease::Lease;
use crate::limits::Limits;
use crate::registry::Registry;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

const MIB: usize = 1 << 20;

fn topic(max_bytes: usize) -> Topic {
    Topic::new(NonZero::new(max_bytes).expect("not zero"))
}

fn lease() -> Lease {
    Registry::new(Limits::default(), ()).admit("alice").expect("the gate is open")
}

/// What one batch of two frames pulls.
fn pull(subscription: &mut Subscription) -> Vec<u8> {
    let mut batch = Batch::new(2, 2 * MIB);
    subscription.pull(&mut Context::from_waker(Waker::noop()), &mut batch);
    batch.drain().flatten().collect()
}

fn frame(number: u8) -> Bytes {
    Bytes::copy_from_slice(&[number])
}

#[test]
fn readers_pull_what_is_published_after_they_subscribed_each_at_its_own_pace() {
    let (topic, lease) = (topic(MIB), lease());
    topic.publish(frame(0));
    let mut slow = topic.subscribe(lease.connection(), Lag::Skip);
    topic.publish(frame(1));
    let mut late = topic.subscribe(lease.connection(), Lag::Skip);
    topic.publish(frame(2));
    topic.publish(frame(3));
    assert_eq!([pull(&mut late), pull(&mut late)], [vec![2, 3], vec![]]);
    assert_eq!([pull(&mut slow), pull(&mut slow), pull(&mut slow)], [vec![1, 2], vec![3], vec![]]);
}

#[test]
fn a_reader_that_lags_skips_or_is_closed() {
    let reason = CloseReason::new(CloseCode::TRY_AGAIN, "too slow");
    // Two frames of one byte fit.
    let (topic, skipping, mut closing) = (topic(2 * (1 + OVERHEAD)), lease(), lease());
    let mut skips = topic.subscribe(skipping.connection(), Lag::Skip);
    let mut closes = topic.subscribe(closing.connection(), Lag::Close(reason.clone()));
    (1..=5).for_each(|number| topic.publish(frame(number)));
    assert_eq!((pull(&mut skips), skips.skipped()), (vec![4, 5], 3));
    assert_eq!(pull(&mut closes), []);
    assert_eq!(closing.command(), Command::Close(Closing::new(reason)));
    topic.publish(frame(6));
    assert_eq!((pull(&mut closes), pull(&mut skips)), (vec![], vec![6]));
}

#[test]
fn a_reader_whose_connection_is_closed_becomes_dry() {
    let (topic, lease) = (topic(MIB), lease());
    let mut subscription = topic.subscribe(lease.connection(), Lag::Skip);
    topic.publish(frame(1));
    lease.connection().close(CloseReason::new(CloseCode::GOING_AWAY, ""));
    assert_eq!(pull(&mut subscription), [1]);
    topic.publish(frame(2));
    assert_eq!(pull(&mut subscription), []);
}

#[test]
fn a_dropped_reader_is_unsubscribed() {
    let (topic, lease) = (topic(MIB), lease());
    let subscription = topic.subscribe(lease.connection(), Lag::Skip);
    assert_eq!(topic.readers(), 1);
    drop(subscription);
    assert_eq!(topic.readers(), 0);
    assert_eq!(Arc::strong_count(lease.connection()), 2, "the lease's and the registry's");
}

/// A payload that counts the bytes of all payloads that are held.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl Counted {
    fn bytes(len: usize, held: &Arc<AtomicUsize>) -> Bytes {
        held.fetch_add(len, Ordering::Relaxed);
        Bytes::from_owner(Self(vec![0; len], Arc::clone(held)))
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

#[test]
fn the_log_is_bounded_whatever_its_readers_do() {
    let held = Arc::<AtomicUsize>::default();
    let (topic, lease) = (topic(4 * MIB), lease());
    let _reads_nothing = topic.subscribe(lease.connection(), Lag::Skip);
    let mut most = 0;
    for _ in 0..200 {
        topic.publish(Counted::bytes(MIB, &held));
        most = most.max(held.load(Ordering::Relaxed));
    }
    assert!(most <= 5 * MIB, "{most}");
    assert!(held.load(Ordering::Relaxed) <= 4 * MIB);
    // One frame that is larger than the log stays until the next.
    topic.publish(Counted::bytes(9 * MIB, &held));
    assert_eq!(held.load(Ordering::Relaxed), 9 * MIB);
    drop((topic, _reads_nothing));
    assert_eq!(held.load(Ordering::Relaxed), 0);
}

proptest! {
    #[test]
    fn a_reader_sees_every_frame_once_and_in_order_but_for_those_it_skips(
        steps in prop::collection::vec(prop::option::of(1usize..60), 0..200), max in 1usize..400,
    ) {
        let (topic, lease) = (topic(max), lease());
        let mut subscription = topic.subscribe(lease.connection(), Lag::Skip);
        let (mut published, mut seen) = (0u64, 0u64);
        for step in steps.into_iter().chain([None; 200]) {
            if let Some(len) = step {
                // A frame is its number, and zeros.
                let mut frame = published.to_be_bytes().to_vec();
                frame.resize(8 + len, 0);
                published += 1;
                topic.publish(frame.into());
                prop_assert!(topic.bytes() <= max.max(8 + len + OVERHEAD));
            } else {
                let mut batch = Batch::new(3, usize::MAX);
                subscription.pull(&mut Context::from_waker(Waker::noop()), &mut batch);
                for frame in batch.frames() {
                    let number = u64::from_be_bytes(frame[..8].try_into().expect("eight bytes"));
                    seen += 1;
                    prop_assert_eq!(number + 1, seen + subscription.skipped());
                }
            }
        }
        prop_assert_eq!(seen + subscription.skipped(), published);
    }
}
