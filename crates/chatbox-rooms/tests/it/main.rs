//! Rooms driven as a transport drives them, in paused time, over stores that obey, fail, hang and are written to by others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod drain;
mod faults;
mod flaky;
mod harness;
mod joins;
mod one_log;
mod replicas;
mod sends;
mod slow;
