//! What the crate promises from outside, in one binary.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod documentation;
mod encoding;
mod parsing;
mod properties;
