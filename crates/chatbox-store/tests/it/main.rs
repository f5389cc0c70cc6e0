//! What every store promises, and what each adds, in one binary.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod memory;
mod model;
#[cfg(feature = "mongodb")]
mod mongodb;
mod sqlite;
mod urls;
