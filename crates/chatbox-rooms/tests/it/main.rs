//! Rooms driven the way a transport drives them, in paused time, over stores that fail, hang and have other writers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod drain;
mod faults;
mod harness;
mod joins;
mod one_log;
mod ownership;
mod replaced_log;
mod replica_store;
mod replicas;
mod sends;
mod slow;
