//! The durable message log of chatbox: one trait, with backends for SQLite, MongoDB and memory.
//!
#![doc = include_str!("../README.md")]

mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
mod epoch;
mod error;
mod inspection;
mod memory;
mod message;
#[cfg(feature = "mongodb")]
mod mongodb;
mod retention;
mod sqlite;
mod store;
mod url;

pub use error::StoreError;
pub use inspection::{Inspection, inspect, renew_epoch};
pub use memory::MemoryStore;
pub use message::{Append, AppendResult, Appended, Draft, MAX_READ_BYTES, Page, Span, Stored};
#[cfg(feature = "mongodb")]
pub use mongodb::MongoStore;
pub use retention::{Cutoff, Retention, Sweep};
pub use sqlite::SqliteStore;
pub use store::{BoxFuture, Feed, FeedEvent, Store};
pub use url::{StoreUrl, open};
