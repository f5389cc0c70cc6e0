//! Integration tests of the crate, and loom models of its gate and wake-up flag.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod admission;
mod drain;
mod fixture;
mod model;
mod registry;
mod schedule;
/// Loom's primitives, under the name that `gate.rs` and `wake.rs` use when they are compiled into this binary.
mod sync;
