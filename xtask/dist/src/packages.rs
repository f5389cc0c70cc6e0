//! Whether every crate can be published: packed, and built from what was packed.

use crate::checkout::{cargo, metadata, run};
use crate::progress;
use anyhow::{Context, Result};

/// Packs all crates that are meant for a registry and builds each from its package, into `target/package`.
pub(crate) fn check(allow_dirty: bool) -> Result<()> {
    let metadata = metadata(&["--no-deps"])?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut package = cargo();
    package.args(["package", "--locked", "--quiet"]);
    if allow_dirty {
        package.arg("--allow-dirty");
    }
    // What may be published anywhere has no list of registries.
    for published in packages.iter().filter(|package| package["publish"].is_null()) {
        package.args(["--package", published["name"].as_str().context("a package has a name")?]);
    }
    progress::during("packing and building every crate as it will be published", || run(&mut package))
}
