//! chatbox-health.
