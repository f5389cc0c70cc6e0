//! What is measured: the service, and what it is compared to.

pub(crate) mod bun;
pub(crate) mod epoll;
pub(crate) mod tungstenite;

use crate::suite::processors::Apart;
use crate::suite::server::Server;
use anyhow::{Context, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Peer {
    /// The service itself, as it is released
    Chatbox,
    /// A bare epoll server: the practical floor, and what everything is compared to
    Epoll,
    /// axum with tungstenite, and a broadcast channel for each room
    Tungstenite,
    /// Bun's own WebSocket server, if Bun is there
    Bun,
}

impl Peer {
    /// What ratios refer to.
    pub(crate) const FLOOR: Self = Self::Epoll;

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Chatbox => "chatbox",
            Self::Epoll => "epoll",
            Self::Tungstenite => "axum + tungstenite",
            Self::Bun => "Bun",
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the service keeps messages that have to last.
const DURABLE: &str = "sqlite:chatbox.db";

/// Where the programs are.
pub(crate) struct Programs {
    pub(crate) chatbox: PathBuf,
    pub(crate) bun: Option<PathBuf>,
    /// Servers keep their files in folders below this one.
    pub(crate) scratch: PathBuf,
    /// Servers share all processors with their clients, in every scenario.
    pub(crate) together: bool,
}

/// A started server, and the folder that lives as long as it does.
pub(crate) struct Started {
    pub(crate) server: Server,
    /// Removed after the server has ended, which the order of these fields sees to.
    _folder: tempfile::TempDir,
}

impl Programs {
    /// Starts a peer with nothing in its way: no rate limits, a drain that begins at once and closes all connections at once.
    /// `durable`: the service stores messages in SQLite instead of memory; the others never store any.
    pub(crate) fn start(&self, peer: Peer, durable: bool) -> Result<Started> {
        let folder = tempfile::tempdir_in(&self.scratch)?;
        let mut command = match peer {
            Peer::Chatbox => chatbox(&self.chatbox, if durable { DURABLE } else { "memory:" }),
            Peer::Epoll | Peer::Tungstenite => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["peer", if peer == Peer::Epoll { "epoll" } else { "tungstenite" }]);
                command
            }
            Peer::Bun => bun::command(self.bun.as_deref().context("there is no Bun")?, folder.path())?,
        };
        let server = Server::start(&mut command, folder.path())?;
        Ok(Started { server, _folder: folder })
    }

    /// The same, on a processor of its own unless they are to be shared: what a delivery costs is compared between servers of one thread
    /// and of many.
    pub(crate) fn start_apart(&self, peer: Peer) -> Result<(Started, Option<Apart>)> {
        if self.together {
            return Ok((self.start(peer, false)?, None));
        }
        let (started, apart) = Apart::start(|| self.start(peer, false))?;
        Ok((started, Some(apart)))
    }

    /// Starts the service with its limits in place, storing messages in SQLite, in memory-backed files where there are such: what a
    /// disk does in a bad moment must not be taken for what others do.
    pub(crate) fn start_as_delivered(&self) -> Result<Started> {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir_in(&self.scratch))?;
        let server = Server::start(&mut bare(&self.chatbox, DURABLE), folder.path())?;
        Ok(Started { server, _folder: folder })
    }

    /// Starts the service over a store that it may share with others.
    pub(crate) fn start_over(&self, store: &str) -> Result<Started> {
        let folder = tempfile::tempdir_in(&self.scratch)?;
        let server = Server::start(&mut chatbox(&self.chatbox, store), folder.path())?;
        Ok(Started { server, _folder: folder })
    }
}

fn bare(program: &Path, store: &str) -> Command {
    let mut command = Command::new(program);
    command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--store", store]);
    command
}

fn chatbox(program: &Path, store: &str) -> Command {
    let mut command = bare(program, store);
    for setting in [
        "limits.max_connections_per_user=100000",
        "limits.messages_per_second=1000000",
        "limits.burst=1000000",
        "shutdown.lame_duck=0s",
        "shutdown.close_rate=0",
    ] {
        command.args(["--set", setting]);
    }
    command
}
