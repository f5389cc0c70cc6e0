//! A server under attack: beside it bystanders who talk, around it the bound on its memory, behind it an orderly end.

use super::bystanders::Bystanders;
use crate::harness::{INTERRUPT, Server, Setup};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What the program takes with nobody there: text and data of a build with debug information, threads, the store.
const PROGRAM: u64 = 40 * MIB;

/// One WebSocket connection that does nothing.
const IDLE: u64 = KIB;

/// One WebSocket connection at worst: a message that is arriving, what has been read and waits, a batch that is not
/// taken, the outbox and one answer more, a page of the store's, with the default limits.
const CONNECTION: u64 = IDLE + 2 * 64 * KIB + 64 * KIB + 128 * KIB + 2 * 64 * KIB + MIB;

/// One HTTP connection before its upgrade: a head, an answer.
const HEAD: u64 = 64 * KIB;

/// What is kept of one room.
const ROOM: u64 = 256 * KIB;

/// What one connection can have on its way to the store: an answer of 384 bytes is owed for each message, and the outbox
/// has room for so many of them.
const SENDER: u64 = 64 * KIB / 384 * 64 * KIB;

/// The bounds over all rooms and all senders.
const ROOMS: u64 = 128 * MIB;
const SENDERS: u64 = 64 * MIB;

/// One line of the table.
pub(super) struct Row {
    pub(super) attack: String,
    pub(super) expected: String,
    pub(super) observed: String,
    /// What the server may take at its height, in MiB; it took less.
    pub(super) memory: u64,
}

impl Row {
    /// In the place of what the attack with this index in its group would have given.
    pub(super) fn failed(group: &str, index: usize, why: &str) -> Self {
        let observed = format!("FAILED: {group}, {index}: {why}");
        Self { attack: String::new(), expected: String::new(), observed, memory: 0 }
    }
}

/// One attack, and what came of it.
pub(super) struct Case {
    attack: String,
    expected: String,
    observed: String,
}

pub(super) fn case(attack: impl Into<String>, expected: impl Into<String>, observed: impl Into<String>) -> Case {
    Case { attack: attack.into(), expected: expected.into(), observed: observed.into() }
}

/// What an attack may hold at its height, beside the bystanders. The server's memory is bounded by it.
#[derive(Clone, Copy, Default)]
pub(super) struct Load {
    /// Connections that do nothing.
    pub(super) idle: u64,
    /// Connections at their worst.
    pub(super) connections: u64,
    /// HTTP connections.
    pub(super) heads: u64,
    pub(super) rooms: u64,
    /// Connections with messages on their way to the store.
    pub(super) senders: u64,
}

impl Load {
    /// The bound as `docs/security.md` has it, in MiB.
    fn bound(self) -> u64 {
        let bystanders = Bystanders::COUNT;
        let bytes = PROGRAM
            + (self.connections + bystanders) * CONNECTION
            + self.idle * IDLE
            + self.heads * HEAD
            + ((self.rooms + 1) * ROOM).min(ROOMS)
            + (self.senders * SENDER).min(SENDERS);
        bytes.div_ceil(MIB)
    }
}

/// Starts a server, and attacks it while bystanders talk. They must miss nothing, the server's memory must never have been
/// above its bound, and afterwards it must end in good order.
pub(super) async fn under(setup: Setup, load: Load, attack: impl AsyncFnOnce(&mut Server) -> Vec<Case>) -> Vec<Row> {
    let mut server = setup.start().await;
    let bystanders = Bystanders::join(&server).await;
    let cases = bystanders.during(attack(&mut server)).await;
    let (memory, peak) = (load.bound(), peak(&server));
    assert!(peak <= memory * MIB, "{} KiB of memory were taken, {memory} MiB are the bound", peak / KIB);
    let finished = server.stop(INTERRUPT).await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    finished.report();
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    let row = |Case { attack, expected, observed }| Row { attack, expected, observed, memory };
    cases.into_iter().map(row).collect()
}

/// The most resident memory that the server ever had, in bytes.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * KIB
}
