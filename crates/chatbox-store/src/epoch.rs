//! The name of a log, by which clients notice that it is not the one they have read.

use std::sync::Arc;

/// A new name: 64 random bits as 16 hexadecimal digits.
pub(crate) fn generate() -> Arc<str> {
    format!("{:016x}", rand::random::<u64>()).into()
}

/// Whether a text that was read from a store has the form of such a name.
pub(crate) fn is_valid(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
