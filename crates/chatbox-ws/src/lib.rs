//! chatbox-ws.
