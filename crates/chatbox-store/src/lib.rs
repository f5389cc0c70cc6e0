//! chatbox-store.
