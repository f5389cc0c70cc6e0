//! chatbox-bin.
