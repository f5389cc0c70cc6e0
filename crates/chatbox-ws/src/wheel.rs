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
        u32::try_from(duration.as_nanos().div_ceil(self.tick.as_nanos())).unwrap_or(FOREVER).min(FOREVER)
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
