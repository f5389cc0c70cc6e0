//! The admission gate: what may register, and the one instant after which nothing can.

use crate::sync::Mutex;
use slab::Slab;

/// A set of admitted items behind a gate that closes once and for good.
///
/// Admission and closing take the same lock, so they are totally ordered: an item is either admitted before the gate
/// closed, and then [`close`](Self::close) counts it and [`admitted`](Self::admitted) returns it until it leaves, or it is
/// refused. There is no third case for a late-comer to fall into.
#[derive(Debug)]
pub(crate) struct Gate<T, S> {
    state: Mutex<State<T, S>>,
}

/// What the lock of a [`Gate`] guards: the items, whether it is open, and the caller's own bookkeeping.
#[derive(Debug)]
pub(crate) struct State<T, S> {
    pub(crate) open: bool,
    pub(crate) items: Slab<T>,
    pub(crate) book: S,
}

impl<T, S> Gate<T, S> {
    /// An open, empty gate.
    pub(crate) fn new(book: S) -> Self {
        Self { state: Mutex::new(State { open: true, items: Slab::new(), book }) }
    }

    /// Admits what `make` builds from the book, the number of items so far and the slot it will have; `closed` when the
    /// gate is closed, and whatever `make` objects.
    pub(crate) fn admit<R>(&self, closed: R, make: impl FnOnce(&mut S, usize, usize) -> Result<T, R>) -> Result<T, R>
    where
        T: Clone,
    {
        self.with(|state| {
            if !state.open {
                return Err(closed);
            }
            let admitted = state.items.len();
            let entry = state.items.vacant_entry();
            let item = make(&mut state.book, admitted, entry.key())?;
            entry.insert(item.clone());
            Ok(item)
        })
    }

    /// Takes an item out; `book` is told whether the gate was still open, and how many items are left.
    pub(crate) fn leave<R>(&self, slot: usize, book: impl FnOnce(&mut S, bool, usize) -> R) -> R {
        self.with(|state| {
            state.items.remove(slot);
            book(&mut state.book, state.open, state.items.len())
        })
    }

    /// Closes the gate: the linearisation point. The first call returns the number of items at that instant.
    pub(crate) fn close(&self, book: impl FnOnce(&mut S, usize)) {
        self.with(|state| {
            if state.open {
                state.open = false;
                book(&mut state.book, state.items.len());
            }
        });
    }

    /// Everything that is admitted now. Once the gate is closed this can only shrink.
    pub(crate) fn admitted(&self) -> Vec<T>
    where
        T: Clone,
    {
        self.with(|state| state.items.iter().map(|(_, item)| item.clone()).collect())
    }

    /// Looks at the state under the lock.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut State<T, S>) -> R) -> R {
        // A panic under this lock would have to come from `slab` or an allocation; the state is whole even then.
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        look(&mut state)
    }
}
