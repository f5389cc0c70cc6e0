//! A server on a processor of its own, its clients on the others: what either takes of the other's caches and time is not the server's.

use anyhow::{Context, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps this thread, with the clients, off the server's processor. Dropped, it may run anywhere again.
pub(crate) struct Apart {
    all: CpuSet,
    clients: CpuSet,
}

impl Apart {
    /// Starts a server on the first processor, where all its threads stay, and goes on elsewhere. Where there is only one processor,
    /// they share it.
    pub(crate) fn start<T>(start: impl FnOnce() -> Result<T>) -> Result<(T, Self)> {
        let all = sched_getaffinity(None)?;
        let first = (0..CpuSet::MAX_CPU).find(|processor| all.is_set(*processor)).context("there is no processor")?;
        let (mut server, mut clients) = (CpuSet::new(), all);
        server.set(first);
        if all.count() > 1 {
            clients.unset(first);
        }
        let apart = Self { all, clients };
        // A child runs where its parent does.
        sched_setaffinity(None, &server)?;
        let started = start()?;
        sched_setaffinity(None, &clients)?;
        Ok((started, apart))
    }

    /// Whether the clients have processors of their own, and take nothing from the server when they do not sleep.
    pub(crate) fn have_their_own(&self) -> bool {
        self.clients.count() < self.all.count()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // What it may do less than before shows up nowhere but in times.
        let _ = sched_setaffinity(None, &self.all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_server_and_its_clients_share_no_processor_and_afterwards_all_are_there_again() {
        let before = sched_getaffinity(None).unwrap();
        let (child, apart) = Apart::start(|| Ok(Command::new("nproc").output()?)).unwrap();
        assert_eq!(String::from_utf8_lossy(&child.stdout).trim(), "1");
        let clients = sched_getaffinity(None).unwrap();
        assert_eq!(clients.count(), before.count().saturating_sub(1).max(1));
        drop(apart);
        assert!(sched_getaffinity(None).unwrap() == before);
    }
}
