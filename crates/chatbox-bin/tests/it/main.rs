//! The program from outside, over real sockets and with real signals: the contract, section by section.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod attacks;
mod auth;
mod clients;
mod commands;
mod connections;
mod disk;
mod drain;
mod drill;
mod embed;
mod fleet;
mod harness;
mod http;
mod http_ends;
mod limits;
mod log;
mod origins;
mod phases;
mod protocol;
mod refusals;
mod replicas;
mod rotation;
mod schedule;
mod secrets;
mod slow_readers;
mod startup;
mod stubborn;
mod systemd;
mod tokens;
mod trust;
