//! A coarse timer wheel for all sessions: one ticking task instead of a timer for every connection.

use crate::ticks::{Tick, TickLength};
use chatbox_core::Connection;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Ticks ahead within which a wake-up can be scheduled. For a later one the session schedules again when it is woken.
const SLOTS: u32 = 1024;

/// Wakes connections at or after a tick, by [`Connection::tick`].
#[derive(Debug)]
pub(crate) struct Wheel {
    length: TickLength,
    now: AtomicU32,
    slots: Box<[Mutex<Vec<Arc<Connection>>>]>,
}

impl Wheel {
    /// A wheel, and the task that turns it until the wheel is dropped. Must be called within a tokio runtime.
    pub(crate) fn start(tick: Duration) -> Arc<Self> {
        let slots = (0..SLOTS).map(|_| Mutex::default()).collect();
        let wheel = Arc::new(Self { length: TickLength::new(tick), now: AtomicU32::new(1), slots });
        let weak = Arc::downgrade(&wheel);
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(tick);
            // Missed ticks are caught up, so that ticks stay a measure of time.
            interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
            interval.tick().await;
            loop {
                interval.tick().await;
                match weak.upgrade() {
                    Some(wheel) => wheel.advance(),
                    None => return,
                }
            }
        });
        wheel
    }

    /// The length of a tick.
    pub(crate) fn tick_length(&self) -> TickLength {
        self.length
    }

    /// The present tick.
    pub(crate) fn now(&self) -> Tick {
        self.now.load(Ordering::Acquire)
    }

    /// Schedules a wake-up at `at`, or earlier if that is beyond the wheel's reach. Returns when it will come.
    pub(crate) fn schedule(&self, connection: &Arc<Connection>, at: Tick) -> Tick {
        loop {
            let now = self.now();
            let at = at.clamp(now + 1, now + SLOTS - 1);
            let mut slot = self.slot(at);
            // `advance` moves `now` before it empties the slot: while `now` is behind, this entry will be found.
            if self.now() < at {
                slot.push(Arc::clone(connection));
                return at;
            }
        }
    }

    fn advance(&self) {
        let now = self.now.fetch_add(1, Ordering::AcqRel) + 1;
        let due = std::mem::take(&mut *self.slot(now));
        for connection in due {
            connection.tick();
        }
    }

    fn slot(&self, at: Tick) -> std::sync::MutexGuard<'_, Vec<Arc<Connection>>> {
        // Nothing under this lock can panic but an allocation.
        self.slots[(at % SLOTS) as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbox_core::{Lease, Limits, Registry};
    use tokio::time::{Instant, sleep};

    const TICK: Duration = Duration::from_millis(100);

    impl Wheel {
        /// The number of scheduled wake-ups.
        pub(crate) fn scheduled(&self) -> usize {
            (0..SLOTS).map(|slot| self.slot(slot).len()).sum()
        }
    }

    fn lease() -> Lease {
        Registry::new(Limits::default(), ()).admit("alice").expect("there is room")
    }

    fn after(wheel: &Wheel, duration: Duration) -> Tick {
        wheel.tick_length().after(wheel.now(), duration)
    }

    async fn ticked(lease: &mut Lease) -> Duration {
        let start = Instant::now();
        while !lease.take_tick() {
            sleep(Duration::from_millis(1)).await;
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_up_comes_not_early_and_at_most_two_ticks_late() {
        let wheel = Wheel::start(TICK);
        let mut lease = lease();
        for millis in [1, 99, 100, 101, 12_345] {
            let duration = Duration::from_millis(millis);
            sleep(Duration::from_millis(37)).await;
            wheel.schedule(lease.connection(), after(&wheel, duration));
            let elapsed = ticked(&mut lease).await;
            assert!(elapsed >= duration && elapsed <= duration + 2 * TICK, "{elapsed:?} for {duration:?}");
        }
        assert_eq!(wheel.scheduled(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_up_in_the_past_comes_with_the_next_tick() {
        let wheel = Wheel::start(TICK);
        let mut lease = lease();
        sleep(10 * TICK).await;
        assert_eq!(wheel.schedule(lease.connection(), 3), wheel.now() + 1);
        assert!(ticked(&mut lease).await <= 2 * TICK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_up_beyond_the_reach_of_the_wheel_comes_earlier() {
        let wheel = Wheel::start(TICK);
        let mut lease = lease();
        let at = after(&wheel, Duration::MAX);
        let scheduled = wheel.schedule(lease.connection(), at);
        assert!(scheduled < at && scheduled <= wheel.now() + SLOTS);
        assert!(ticked(&mut lease).await >= TICK * (SLOTS - 2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_ends_when_the_wheel_is_dropped() {
        let wheel = Wheel::start(TICK);
        let weak = Arc::downgrade(&wheel);
        drop(wheel);
        sleep(2 * TICK).await;
        assert_eq!(weak.strong_count(), 0);
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    }
}
