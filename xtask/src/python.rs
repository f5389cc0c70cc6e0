//! Finding a Python and installing something with it, into `target/xtask` and nowhere else.

use crate::process::run_within;
use crate::workspace::{root, scratch_folder};
use anyhow::{Context, Result};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

/// Time for one installation, downloads included.
const INSTALL: Duration = Duration::from_secs(300);

/// The first of the named interpreters (such as `python3.12`) that is on the path or under pyenv and can make virtual environments.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    find_with("ensurepip, venv", names)
}

/// The first of the named interpreters that is on the path or under pyenv and has these modules.
pub(crate) fn find_with(modules: &str, names: &[&str]) -> Option<PathBuf> {
    let on_path = names.iter().map(PathBuf::from);
    on_path.chain(names.iter().flat_map(|name| under_pyenv(name))).find(|python| can_import(modules, python))
}

/// Makes a virtual environment that holds what `xtask/requirements/NAME.txt` asks for, and returns its folder of programs.
/// One that was made before, for the same requirements, is used again.
///
/// # Errors
/// When the environment cannot be made, or its packages cannot be had within five minutes.
pub(crate) fn install(python: &Path, name: &str) -> Result<PathBuf> {
    let environment = install_once(name, |environment, requirements| {
        run_within(Command::new(python).args(["-m", "venv"]).arg(environment), INSTALL)?;
        run_within(&mut pip(&environment.join("bin/python"), requirements), INSTALL)
    })?;
    Ok(environment.join("bin"))
}

/// Like [`install`], for an interpreter that is too old to make environments: the packages lie in the folder that is returned.
pub(crate) fn install_packages(python: &Path, name: &str) -> Result<PathBuf> {
    install_once(name, |folder, requirements| {
        run_within(pip(python, requirements).arg("--target").arg(folder), INSTALL)
    })
}

/// Has `xtask/requirements/NAME.txt` installed into a new folder, unless that was done before.
fn install_once(name: &str, install: impl FnOnce(&Path, &Path) -> Result<()>) -> Result<PathBuf> {
    let requirements = root().join("xtask/requirements").join(format!("{name}.txt"));
    let wanted =
        fs::read_to_string(&requirements).with_context(|| format!("{} cannot be read", requirements.display()))?;
    let folder = scratch_folder(name);
    // Written last, so that an installation that was interrupted is made again.
    let done = folder.join("requirements-installed.txt");
    if fs::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
        return Ok(folder);
    }
    println!("installing {name} into {}", folder.display());
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    install(&folder, &requirements).with_context(|| format!("{name} cannot be installed"))?;
    fs::write(&done, wanted)?;
    Ok(folder)
}

fn pip(python: &Path, requirements: &Path) -> Command {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--requirement"])
        .arg(requirements)
        .stdin(Stdio::null());
    pip
}

/// `name` in each version folder of pyenv that it fits: `python3.12` in `3.12.1`.
fn under_pyenv(name: &str) -> Vec<PathBuf> {
    let pyenv = env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".pyenv")));
    let Some(folders) = pyenv.and_then(|pyenv| fs::read_dir(pyenv.join("versions")).ok()) else { return Vec::new() };
    folders.flatten().map(|folder| folder.path().join("bin").join(name)).filter(|python| python.exists()).collect()
}

/// A shim may stand for no interpreter, and some systems ship Python without all of its modules.
fn can_import(modules: &str, python: &Path) -> bool {
    let mut probe = Command::new(python);
    probe.args(["-c", &format!("import {modules}")]);
    probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}
