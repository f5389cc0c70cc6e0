//! The database that replicas share, and what befalls it.

use crate::mongodb::{self, Server, Storage};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// A MongoDB-compatible server.
pub(super) enum Database {
    /// Started by us, with its data in a folder; absent while it is down.
    Own { server: Option<Server>, python: PathBuf, folder: PathBuf, port: u16 },
    /// The one that the environment names; it is only used.
    Named(String),
}

impl Database {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        if let Some(uri) = mongodb::named() {
            return Ok(Self::Named(uri));
        }
        let python = mongodb::python().with_context(mongodb::missing)?;
        let python = mongodb::install(&python)?;
        let folder = folder.join("database");
        std::fs::create_dir_all(&folder)?;
        let server = Server::start(&python, Storage::Folder(&folder))?;
        let port = server.port();
        Ok(Self::Own { server: Some(server), python, folder, port })
    }

    /// What `--store` says, for a database of that name.
    pub(super) fn store(&self, name: &str) -> String {
        match self {
            Self::Own { port, .. } => format!("mongodb://127.0.0.1:{port}/{name}"),
            Self::Named(uri) => {
                let (server, options) = uri.split_once('?').map_or((uri.as_str(), ""), |(server, rest)| (server, rest));
                let server = server.trim_end_matches('/');
                if options.is_empty() { format!("{server}/{name}") } else { format!("{server}/{name}?{options}") }
            }
        }
    }

    /// Kills it.
    pub(super) fn kill(&mut self) -> Result<()> {
        match self {
            Self::Own { server, .. } => server.take().map_or(Ok(()), Server::kill),
            Self::Named(_) => bail!("only a database that this program has started can be killed"),
        }
    }

    /// Starts it again where it was.
    pub(super) fn restart(&mut self) -> Result<()> {
        match self {
            Self::Own { server, python, folder, port } => {
                *server = Some(Server::start_on(python, Storage::Folder(folder), *port)?);
                Ok(())
            }
            Self::Named(_) => bail!("only a database that this program has started can be started again"),
        }
    }

    /// Freezes it for a while.
    pub(super) fn freeze(&self, time: Duration) -> Result<()> {
        let Self::Own { server: Some(server), .. } = self else {
            bail!("only a database that this program has started can be stopped")
        };
        server.signal("STOP")?;
        thread::sleep(time);
        server.signal("CONT")
    }
}
