//! Builds the program, without paths of the building machine, and splits off its debug information.

use crate::checkout::{cargo, metadata, output, root, run};
use crate::progress;
use crate::target::Target;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program as it is shipped, and what was taken out of it.
pub(crate) struct Program {
    pub(crate) binary: Vec<u8>,
    pub(crate) debug_info: Vec<u8>,
}

/// Builds the program. A debugger will look for what was taken out in a file of the name `debug_file` beside it.
pub(crate) fn program(target: &Target, debug_file: &str) -> Result<Program> {
    let metadata = metadata(&[])?;
    let folder = Path::new(metadata["target_directory"].as_str().context("cargo metadata names no target folder")?);
    let remaps = Remaps::of(&metadata, folder)?;

    let mut build = cargo();
    build.args(["build", "--locked", "--profile", "dist", "--package", "chatbox-bin", "--bin", "chatbox", "--target"]);
    build.arg(target.as_str());
    // A fixed time rather than the commit's, or the C code, which asks for it, would be compiled anew for every commit.
    build.env("SOURCE_DATE_EPOCH", "0");
    // Takes the place of all other flags for the compiler, wherever they are configured.
    build.env("CARGO_ENCODED_RUSTFLAGS", remaps.for_rustc());
    for variable in ["CFLAGS", "TARGET_CFLAGS", &format!("CFLAGS_{target}")] {
        build.env_remove(variable);
    }
    build.env(format!("CFLAGS_{}", target.as_variable()), remaps.for_cc());
    if target.as_str() != host()? {
        build.env(linker_variable(target), linker_for(target));
    }
    progress::during(&format!("building chatbox for {target}"), || run(&mut build))?;
    split(&folder.join(target.as_str()).join("dist/chatbox"), debug_file)
}

/// The platform of this machine.
pub(crate) fn host() -> Result<String> {
    Ok(output(Command::new("rustc").args(["--print", "host-tuple"]).current_dir(root()))?.trim().to_owned())
}

/// The C compiler that links for a target: what the environment names, or else what Debian calls it.
pub(crate) fn linker_for(target: &Target) -> OsString {
    if let Some(named) = env::var_os(linker_variable(target)) {
        return named;
    }
    if host().is_ok_and(|host| host == target.as_str()) {
        return "cc".into();
    }
    format!("{}-gcc", target.as_str().replace("-unknown", "")).into()
}

fn linker_variable(target: &Target) -> String {
    format!("CARGO_TARGET_{}_LINKER", target.as_variable().to_uppercase())
}

/// Which folders of this machine are known by which names in the program.
struct Remaps(Vec<(PathBuf, String)>);

impl Remaps {
    /// Those of the workspace, of its dependencies and of the standard library. Where two match, the later wins.
    fn of(metadata: &Value, target_folder: &Path) -> Result<Self> {
        let mut remaps = vec![(root().to_owned(), "/chatbox".to_owned())];
        remaps.push((target_folder.to_owned(), "/chatbox/target".to_owned()));
        let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
        let registries: BTreeSet<&Path> = packages
            .iter()
            .filter(|package| !package["source"].is_null())
            .filter_map(|package| Path::new(package["manifest_path"].as_str()?).ancestors().nth(2))
            .collect();
        remaps.extend(registries.into_iter().map(|registry| (registry.to_owned(), "/cargo/registry".to_owned())));
        // Where the sources of the standard library are installed, the compiler names those rather than where it was built.
        let rust = sysroot()?.join("lib/rustlib/src/rust");
        let version = output(Command::new("rustc").arg("-vV").current_dir(root()))?;
        let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
        remaps.push((rust, format!("/rustc/{commit}")));
        Ok(Self(remaps))
    }

    fn for_rustc(&self) -> String {
        let flags = self.0.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        flags.collect::<Vec<_>>().join("\u{1f}")
    }

    fn for_cc(&self) -> String {
        let flags = self.0.iter().map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display()));
        flags.collect::<Vec<_>>().join(" ")
    }
}

/// Parts a program from its debug information.
fn split(built: &Path, debug_file: &str) -> Result<Program> {
    let folder = tempfile::tempdir()?;
    let (stripped, debug) = (folder.path().join("chatbox"), folder.path().join(debug_file));
    run(objcopy()?.args(["--only-keep-debug", "--compress-debug-sections=zlib"]).arg(built).arg(&debug))?;
    let link = format!("--add-gnu-debuglink={debug_file}");
    run(objcopy()?.args(["--strip-all", &link]).arg(built).arg(&stripped).current_dir(folder.path()))?;
    Ok(Program { binary: fs::read(stripped)?, debug_info: fs::read(debug)? })
}

/// The tool that comes with the compiler, so that it is of one version everywhere and knows every target.
fn objcopy() -> Result<Command> {
    let sysroot = sysroot()?;
    let mut command = Command::new(sysroot.join("lib/rustlib").join(host()?).join("bin/rust-objcopy"));
    // Its own search path leads past the library that it shares with the compiler.
    command.env("LD_LIBRARY_PATH", sysroot.join("lib"));
    Ok(command)
}

fn sysroot() -> Result<PathBuf> {
    Ok(output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()))?.trim().into())
}
