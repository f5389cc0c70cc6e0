//! What is released: the checkout, its commit, and cargo's and git's word about it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

/// The commit that is checked out.
pub(crate) struct Checkout {
    /// Of the program, and so of all crates.
    pub(crate) version: String,
    /// The commit's full hash.
    pub(crate) commit: String,
    /// When it was committed, in seconds since 1970: the time of everything in the artefacts.
    pub(crate) time: u64,
    /// Whether files differ from the commit, or lie beside it without being ignored.
    pub(crate) dirty: bool,
}

impl Checkout {
    /// Asks git and cargo.
    ///
    /// # Errors
    /// When this is no git checkout.
    pub(crate) fn read() -> Result<Self> {
        let metadata = metadata(&["--no-deps"])?;
        let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
        let program = packages.iter().find(|package| package["name"] == "chatbox-bin");
        let version = program.and_then(|package| package["version"].as_str()).context("chatbox-bin has no version")?;
        let show = output(git().args(["log", "-1", "--format=%H %ct"]))?;
        let (commit, time) = show.trim().split_once(' ').context("git log shows no commit")?;
        Ok(Self {
            version: version.to_owned(),
            commit: commit.to_owned(),
            time: time.parse()?,
            dirty: !output(git().args(["status", "--porcelain"]))?.is_empty(),
        })
    }

    /// The commit, and a mark if that is not what was built.
    pub(crate) fn revision(&self) -> String {
        format!("{}{}", self.commit, if self.dirty { "-dirty" } else { "" })
    }

    /// The commit's time as RFC 3339.
    pub(crate) fn timestamp(&self) -> Result<String> {
        Ok(jiff::Timestamp::from_second(self.time.try_into()?)?.to_string())
    }
}

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this package lies in xtask/dist")
}

/// A cargo command at the root of the checkout, with the toolchain that built this program.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        // About this package, not about the one that is built.
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// A git command at the root of the checkout.
pub(crate) fn git() -> Command {
    let mut git = Command::new("git");
    git.current_dir(root());
    git
}

/// `cargo metadata` of the locked versions.
pub(crate) fn metadata(arguments: &[&str]) -> Result<Value> {
    let text = output(cargo().args(["metadata", "--locked", "--format-version", "1"]).args(arguments))?;
    Ok(serde_json::from_str(&text)?)
}

/// What a command prints.
///
/// # Errors
/// When it cannot be started or does not succeed; it has said why on stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| cannot_start(command))?;
    ensure!(output.status.success(), "{} ended with {}", name(command), output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a command whose words are for the person at the terminal.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| cannot_start(command))?;
    ensure!(status.success(), "{} ended with {status}", name(command));
    Ok(())
}

fn cannot_start(command: &Command) -> String {
    format!("{} cannot be started", name(command))
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()
}
