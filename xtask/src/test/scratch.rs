//! Each library in a project of another team: a new package outside the workspace that depends on nothing but what the
//! crate's README lists, and runs the README's first program to its end.

use super::summary::Outcome;
use crate::process::{run, run_within};
use crate::readme::Readme;
use crate::workspace::{cargo, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Time for a README's program, which is to end by itself.
const RUN: Duration = Duration::from_secs(120);

/// Tries every library; a failure is reported by the crate's name, after the others have been tried.
pub(super) fn run_all() -> Result<Outcome> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    // What cargo publishes anywhere has no list of registries; the program itself is tested by running it.
    let published: Vec<&Value> = packages.iter().filter(|package| package["publish"].is_null()).collect();
    let patch = patch(&published)?;
    let mut failures = Vec::new();
    for package in published.into_iter().filter(|package| text(package, "name") != "chatbox-bin") {
        let name = text(package, "name");
        println!("--- {name}");
        if let Err(error) = try_alone(package, &patch) {
            println!("{name}: {error:#}");
            failures.push(format!("{name}: {error:#}"));
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(Outcome::Passed)
}

/// Where the crates lie that are not published yet: the one that is tried, and those that it depends on.
fn patch(published: &[&Value]) -> Result<String> {
    let mut patch = "[patch.crates-io]\n".to_owned();
    for package in published {
        let _ = writeln!(patch, "{} = {{ path = {:?} }}", text(package, "name"), folder(package)?);
    }
    Ok(patch)
}

fn folder(package: &Value) -> Result<&Path> {
    Path::new(text(package, "manifest_path")).parent().context("a manifest lies in a folder")
}

fn try_alone(package: &Value, patch: &str) -> Result<()> {
    let name = text(package, "name");
    let readme = Readme::parse(&fs::read_to_string(folder(package)?.join("README.md"))?);
    let program = readme.program.context("its README has no Rust block that can be run")?;
    let dependencies = readme.dependencies.unwrap_or_else(|| imported(package, &program));

    let project = tempfile::tempdir()?;
    let manifest =
        format!("[package]\nname = \"scratch-{name}\"\nedition = \"2024\"\n\n{dependencies}\n{patch}\n[workspace]\n");
    fs::create_dir(project.path().join("src"))?;
    fs::write(project.path().join("Cargo.toml"), manifest)?;
    fs::write(project.path().join("src/main.rs"), program)?;
    // The versions that the workspace is tested with.
    fs::copy(root().join("Cargo.lock"), project.path().join("Cargo.lock"))?;

    // One folder for all, so that what they share is built once.
    let target = root().join("target/scratch");
    let mut build = cargo();
    build
        .args(["build", "--quiet"])
        .current_dir(project.path())
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    run(&mut build).context("the program in its README does not compile")?;
    let mut program = Command::new(target.join("debug").join(format!("scratch-{name}")));
    run_within(program.current_dir(project.path()).stdin(Stdio::null()), RUN)
        .context("the program in its README failed")
}

/// The dependencies of a README that lists none: the crate, and what the program names of the crate's own dependencies.
fn imported(package: &Value, program: &str) -> String {
    let name = text(package, "name");
    let mut lines = format!("[dependencies]\n{name} = \"{}\"\n", text(package, "version"));
    let mut seen = Vec::new();
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let (dependency, version) = (text(dependency, "name"), text(dependency, "req"));
        if !seen.contains(&dependency) && program.contains(&format!("{}::", dependency.replace('-', "_"))) {
            seen.push(dependency);
            // What a first try would use.
            let features = if dependency == "tokio" { ", features = [\"full\"]" } else { "" };
            let _ = writeln!(lines, "{dependency} = {{ version = \"{version}\"{features} }}");
        }
    }
    lines
}

fn metadata() -> Result<Value> {
    let output = cargo().args(["metadata", "--no-deps", "--format-version", "1"]).stderr(Stdio::inherit()).output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::imported;
    use serde_json::json;

    #[test]
    fn what_the_program_imports_is_depended_upon_once() {
        let package = json!({"name": "chatbox-a", "version": "0.1.0", "dependencies": [
            {"name": "tokio", "req": "^1.54"},
            {"name": "tokio", "req": "^1.54", "kind": "dev"},
            {"name": "futures-util", "req": "^0.3"},
            {"name": "bytes", "req": "^1"},
        ]});
        let program = "use futures_util::StreamExt;\n#[tokio::main]\nasync fn main() {}";
        assert_eq!(
            imported(&package, program),
            "[dependencies]\nchatbox-a = \"0.1.0\"\n\
             tokio = { version = \"^1.54\", features = [\"full\"] }\n\
             futures-util = { version = \"^0.3\" }\n"
        );
    }
}
