//! Real signals, sent to real processes: the examples, and this program itself.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod early;
mod mistakes;
mod program;
mod signals;
