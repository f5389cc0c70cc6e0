//! The crate from outside, and a model of the two files whose order of steps everything else relies on.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod drain;
mod fixture;
mod model;
mod registry;
mod schedule;
/// What `gate.rs` and `wake.rs` find under this name when they are compiled into this binary: loom's primitives.
mod sync;
