//! The drill's verdicts on servers whose faults are known, and what it does with servers that cannot be drilled.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod refusals;
mod verdicts;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// The program `examples/peer.rs`.
fn peer() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this.parent().and_then(Path::parent).unwrap().join("examples/peer");
    assert!(path.exists(), "{} is missing: build the examples first", path.display());
    path
}

/// A port on which nothing listens.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
