//! chatbox-rooms.
