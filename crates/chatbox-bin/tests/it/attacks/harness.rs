//! A server under attack, with bystanders that must not notice it, a memory bound, and an orderly end.

use super::bystanders::Bystanders;
use super::costs::{Load, MIB};
use crate::harness::{INTERRUPT, Server, Setup};

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

/// Starts a server, and attacks it while bystanders talk. They must miss nothing, the server's memory must never have been
/// above its bound, and afterwards it must end in good order.
pub(super) async fn under(setup: Setup, load: Load, attack: impl AsyncFnOnce(&mut Server) -> Vec<Case>) -> Vec<Row> {
    let mut server = setup.start().await;
    let bystanders = Bystanders::join(&server).await;
    let cases = bystanders.during(attack(&mut server)).await;
    let (memory, peak) = (load.bound(), peak(&server));
    assert!(peak <= memory * MIB, "{} KiB of memory were taken, {memory} MiB are the bound", peak / 1024);
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
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}
