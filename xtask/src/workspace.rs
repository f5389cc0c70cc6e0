//! Where things are, and the cargo that this program was started by.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root of the checkout")
}

/// Where a step keeps what it installs or writes, under `target/xtask`.
pub(crate) fn scratch_folder(name: &str) -> PathBuf {
    root().join("target/xtask").join(name)
}

/// A cargo command at the root of the checkout, with the toolchain that built this program.
///
/// The variables by which `cargo run` describes this package are not passed on: build scripts that watch those variables
/// (ring's is one) would be run again whenever a person and `cargo xtask` take turns.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    cargo
}
