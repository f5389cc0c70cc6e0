//! The durable message log of chatbox: one trait, kept by SQLite or in memory.
//!
#![doc = include_str!("../README.md")]

mod error;
mod memory;
mod sqlite;
mod store;
mod url;

pub use error::StoreError;
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
pub use store::{Append, Appended, BoxFuture, Draft, Feed, MAX_READ_BYTES, News, Placed, Span, Store, Stored};
pub use url::open;
