//! A coarse timer wheel for all sessions: one ticking task, instead of a timer for every connection.

use chatbox_core::Connection;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// A moment in ticks since the wheel began to turn.
pub(crate) type Tick = u32;

/// How many ticks ahead a wake-up can be booked; for a later one the session books again when it is woken.
const SLOTS: u32 = 1024;

/// Wakes connections at or after the tick they asked for, by [`Connection::tick`].
#[derive(Debug)]
pub(crate) struct Wheel {
    tick: Duration,
    now: AtomicU32,
    slots: Box<[Mutex<Vec<Arc<Connection>>>]>,
}

impl Wheel {
    /// A wheel, and the task that turns it as long as anybody holds it. Must be called within a tokio runtime.
    pub(crate) fn start(tick: Duration) -> Arc<Self> {
        let slots = (0..SLOTS).map(|_| Mutex::default()).collect();
        let wheel = Arc::new(Self { tick, now: AtomicU32::new(1), slots });
        let weak = Arc::downgrade(&wheel);
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(tick);
            // Late ticks are made up for, so that ticks stay a measure of time.
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

    /// The present tick.
    pub(crate) fn now(&self) -> Tick {
        self.now.load(Ordering::Acquire)
    }

    /// The first tick at which `duration` has surely passed.
    pub(crate) fn after(&self, duration: Duration) -> Tick {
        self.now() + self.ticks(duration) + 1
    }

    /// A duration in ticks, rounded up; cut to what can still be added to the present tick.
    pub(crate) fn ticks(&self, duration: Duration) -> Tick {
        /// At least a month, and years at the usual tick: nobody waits for more.
        const FOREVER: Tick = u32::MAX / 4;
        // Every session asks for this each time that it rests: in 64 bits the division costs a tenth of what it costs in 128.
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        u32::try_from(nanos(duration).div_ceil(nanos(self.tick))).unwrap_or(FOREVER).min(FOREVER)
    }

    /// Books a wake-up at `at`, or earlier if that is further away than the wheel reaches. Returns when it will come.
    pub(crate) fn book(&self, connection: &Arc<Connection>, at: Tick) -> Tick {
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
        /// How many wake-ups are booked.
        pub(crate) fn booked(&self) -> usize {
            (0..SLOTS).map(|slot| self.slot(slot).len()).sum()
        }
    }

    fn lease() -> Lease {
        Registry::new(Limits::default(), ()).admit("alice").expect("there is room")
    }

    async fn ticked(lease: &Lease) -> Duration {
        let start = Instant::now();
        while !lease.connection().take_tick() {
            sleep(Duration::from_millis(1)).await;
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_wake_up_comes_neither_early_nor_much_too_late() {
        let wheel = Wheel::start(TICK);
        let lease = lease();
        for millis in [1, 99, 100, 101, 12_345] {
            let duration = Duration::from_millis(millis);
            sleep(Duration::from_millis(37)).await;
            wheel.book(lease.connection(), wheel.after(duration));
            let elapsed = ticked(&lease).await;
            assert!(elapsed >= duration && elapsed <= duration + 2 * TICK, "{elapsed:?} for {duration:?}");
        }
        assert_eq!(wheel.booked(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_already_comes_with_the_next_tick() {
        let wheel = Wheel::start(TICK);
        let lease = lease();
        sleep(10 * TICK).await;
        assert_eq!(wheel.book(lease.connection(), 3), wheel.now() + 1);
        assert!(ticked(&lease).await <= 2 * TICK);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_further_away_than_the_wheel_reaches_is_to_be_booked_again() {
        let wheel = Wheel::start(TICK);
        let lease = lease();
        let at = wheel.after(Duration::MAX);
        let booked = wheel.book(lease.connection(), at);
        assert!(booked < at && booked <= wheel.now() + SLOTS);
        assert!(ticked(&lease).await >= TICK * (SLOTS - 2));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_turns_when_nobody_holds_the_wheel() {
        let wheel = Wheel::start(TICK);
        let weak = Arc::downgrade(&wheel);
        drop(wheel);
        sleep(2 * TICK).await;
        assert_eq!(weak.strong_count(), 0);
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
    }
}
