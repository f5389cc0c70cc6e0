//! The admission gate: a set that stops admitting items at one instant, for good.

use crate::sync::Mutex;
use slab::Slab;

/// A set of admitted items behind a gate that closes once and for good.
///
/// Admission and closing take the same lock, so they are totally ordered: an item is either admitted before the gate
/// closed, and then [`close`](Self::close) counts it and [`admitted`](Self::admitted) returns it until it leaves, or it is
/// refused. There is no third case.
#[derive(Debug)]
pub(crate) struct Gate<T, C> {
    state: Mutex<State<T, C>>,
}

/// The state under the lock of a [`Gate`]: the items, whether the gate is open, and the caller's own counters.
#[derive(Debug)]
pub(crate) struct State<T, C> {
    pub(crate) open: bool,
    pub(crate) items: Slab<T>,
    pub(crate) counters: C,
}

impl<T, C> Gate<T, C> {
    /// An open, empty gate.
    pub(crate) fn new(counters: C) -> Self {
        Self { state: Mutex::new(State { open: true, items: Slab::new(), counters }) }
    }

    /// Admits the item that `make` builds from the counters, the number of items so far and the item's slot.
    ///
    /// # Errors
    /// `closed` when the gate is closed, and any error of `make`.
    pub(crate) fn admit<E>(&self, closed: E, make: impl FnOnce(&mut C, usize, usize) -> Result<T, E>) -> Result<T, E>
    where
        T: Clone,
    {
        self.with(|state| {
            if !state.open {
                return Err(closed);
            }
            let admitted = state.items.len();
            let entry = state.items.vacant_entry();
            let item = make(&mut state.counters, admitted, entry.key())?;
            entry.insert(item.clone());
            Ok(item)
        })
    }

    /// Removes an item. `count` gets the counters, whether the gate is still open, and the items left.
    pub(crate) fn leave<R>(&self, slot: usize, count: impl FnOnce(&mut C, bool, &Slab<T>) -> R) -> R {
        self.with(|state| {
            state.items.remove(slot);
            count(&mut state.counters, state.open, &state.items)
        })
    }

    /// Closes the gate: the linearisation point. `count` is called in the first call only, with the number of items at that instant.
    pub(crate) fn close(&self, count: impl FnOnce(&mut C, usize)) {
        self.with(|state| {
            if state.open {
                state.open = false;
                count(&mut state.counters, state.items.len());
            }
        });
    }

    /// The admitted items. Once the gate is closed this set can only shrink.
    pub(crate) fn admitted(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.with(|state| state.items.iter().map(|(_, item)| item.clone()).collect())
    }

    /// Runs `look` on the state, under the lock.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut State<T, C>) -> R) -> R {
        // A panic under this lock would have to come from `slab` or an allocation; the state is consistent even then.
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        look(&mut state)
    }
}
