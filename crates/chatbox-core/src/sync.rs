//! The synchronisation primitives of the model-checked files. `tests/it/model.rs` compiles those files with loom's primitives under the
//! same names.

pub(crate) use atomic_waker::AtomicWaker;
pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::{AtomicBool, Ordering, fence};
