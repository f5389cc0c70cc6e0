//! chatbox-core.
