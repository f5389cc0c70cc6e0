//! Bun: its own WebSocket server with its built-in topics, in a script that is run where Bun is found.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release that `--with-bun` installs.
const PACKAGE: &str = "bun@1.3.3";

/// Bun in `$PATH`, or the one that was installed below `scratch`.
pub(crate) fn find(scratch: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = scratch.join("bun/node_modules/.bin");
    std::env::split_paths(&path).chain([installed]).map(|folder| folder.join("bun")).find(|bun| bun.is_file())
}

/// Installs Bun with npm below `scratch`.
pub(crate) fn install(scratch: &Path) -> Result<()> {
    let folder = scratch.join("bun");
    fs::create_dir_all(&folder)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"]).arg(&folder).arg(PACKAGE);
    let status = npm.status().context("npm cannot be started")?;
    anyhow::ensure!(status.success(), "npm could not install {PACKAGE}: {status}");
    Ok(())
}

/// Runs the script, which is written to `folder`.
pub(crate) fn command(bun: &Path, folder: &Path) -> Result<Command> {
    let script = folder.join("bun.js");
    fs::write(&script, include_str!("bun.js"))?;
    let mut command = Command::new(bun);
    command.arg(script);
    Ok(command)
}
