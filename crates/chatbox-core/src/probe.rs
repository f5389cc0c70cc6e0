//! Probes: whether the peer of a connection still answers.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

/// The time in which a probed peer must send something.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// The state of a connection's probe, and when its peer was last read from.
///
/// A probe is requested by the registry, under its lock, and settled by the session.
#[derive(Debug)]
pub(crate) struct Probe {
    /// One of `IDLE`, `REQUESTED`, `PENDING`.
    state: AtomicU8,
    /// On the sessions' clock; `NEVER` before the session begins.
    last_read: AtomicU32,
}

const IDLE: u8 = 0;
const REQUESTED: u8 = 1;
const PENDING: u8 = 2;

const NEVER: u32 = u32::MAX;

impl Probe {
    pub(crate) const fn new() -> Self {
        Self { state: AtomicU8::new(IDLE), last_read: AtomicU32::new(NEVER) }
    }

    /// Requests a probe. Call only while it [is idle](Self::is_idle).
    pub(crate) fn request(&self) {
        self.state.store(REQUESTED, Ordering::Release);
    }

    /// Whether no probe is requested or pending.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.load(Ordering::Acquire) == IDLE
    }

    /// Whether a probe was requested; it is pending from then on.
    pub(crate) fn take_request(&self) -> bool {
        self.state.compare_exchange(REQUESTED, PENDING, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// The peer has answered.
    pub(crate) fn settle(&self) {
        self.state.store(IDLE, Ordering::Release);
    }

    pub(crate) fn record_read(&self, now: u32) {
        self.last_read.store(now, Ordering::Relaxed);
    }

    /// When the peer was last read from; `None` before the session begins.
    fn last_read(&self) -> Option<u32> {
        Some(self.last_read.load(Ordering::Relaxed)).filter(|&at| at != NEVER)
    }
}

/// The candidate whose peer was read from the longest ago, among those without a probe and with a session.
pub(crate) fn longest_silent<'a, T>(
    candidates: impl Iterator<Item = &'a T>,
    probe: impl Fn(&T) -> &Probe,
) -> Option<&'a T> {
    let silent = candidates.filter_map(|candidate| {
        let at = probe(candidate).last_read().filter(|_| probe(candidate).is_idle())?;
        Some((at, candidate))
    });
    silent.min_by_key(|&(at, _)| at).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(last_read: u32) -> Probe {
        let probe = Probe::new();
        probe.record_read(last_read);
        probe
    }

    #[test]
    fn the_longest_silent_peer_without_a_probe_is_chosen() {
        let probes = [probe(7), probe(3), Probe::new(), probe(5)];
        let choose = || {
            let chosen = longest_silent(probes.iter(), |probe| probe)?;
            probes.iter().position(|probe| std::ptr::eq(probe, chosen))
        };
        assert_eq!(choose(), Some(1));
        probes[1].request();
        assert_eq!(choose(), Some(3));
        assert!(probes[1].take_request() && !probes[1].take_request());
        assert_eq!(choose(), Some(3), "a pending probe is one");
        probes[1].settle();
        assert_eq!(choose(), Some(1));
        assert!(longest_silent([&probes[2]].into_iter(), |probe| probe).is_none(), "its session has not begun");
    }
}
