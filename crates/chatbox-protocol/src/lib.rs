//! chatbox-protocol.
