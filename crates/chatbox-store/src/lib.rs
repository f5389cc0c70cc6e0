//! The durable message log of chatbox: one trait, kept by SQLite, MongoDB or in memory.
//!
#![doc = include_str!("../README.md")]

mod error;
mod memory;
#[cfg(feature = "mongodb")]
mod mongodb;
mod sqlite;
mod store;
mod url;

pub use error::StoreError;
pub use memory::MemoryStore;
#[cfg(feature = "mongodb")]
pub use mongodb::MongoStore;
pub use sqlite::SqliteStore;
pub use store::{
    Append, AppendResult, Appended, BoxFuture, Draft, Feed, FeedEvent, MAX_READ_BYTES, Span, Store, Stored,
};
pub use url::open;
