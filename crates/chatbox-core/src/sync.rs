//! The primitives that the model-checked files build on. The model in `tests/it/model.rs` compiles the same files
//! against loom's versions of these names.

pub(crate) use atomic_waker::AtomicWaker;
pub(crate) use std::sync::Mutex;
pub(crate) use std::sync::atomic::{AtomicBool, Ordering, fence};
