//! Tidy checks: rules about the repository as a whole, one module a rule.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod contract_lists;
mod edges;
mod files;
mod manifests;
mod systemd;
mod weight;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the checkout.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// What a command prints, run at the root.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn cargo(arguments: &[&str]) -> String {
    output(&env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), arguments)
}

/// The files below a folder that git tracks or would track, with their paths from the root.
fn files(folder: &str) -> Vec<PathBuf> {
    output("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard", folder])
        .split_terminator('\0')
        .map(PathBuf::from)
        // One that was just removed is still in the index.
        .filter(|path| root().join(path).is_file())
        .collect()
}
