//! Integration tests of the public API, in one binary.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod documentation;
mod encoding;
mod parsing;
mod properties;
