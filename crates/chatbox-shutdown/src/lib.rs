//! chatbox-shutdown.
