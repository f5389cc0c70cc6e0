//! `cargo xtask public-api`: the public API of every library, compared with the list in the repository, so that a review sees each change.
//!
//! The list of a crate is `public-api.txt` beside its manifest: one line for each public item, as the `public-api` library reads it out of
//! rustdoc's JSON, with all features on.

use crate::process;
use crate::workspace::cargo;
use anyhow::{Context, Result, bail};
use public_api::PublicApi;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

/// Compares, or writes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the lists instead of comparing with them
    #[arg(long)]
    bless: bool,
}

/// The variable by which [`rustdoc`] finds the real rustdoc.
const REAL_RUSTDOC: &str = "CHATBOX_XTASK_RUSTDOC";

/// A published library of the workspace.
struct Library {
    package: String,
    /// As rustc knows it: the name of the JSON file.
    name: String,
    list: PathBuf,
}

/// Runs the command; the exit code says whether every list is right.
pub(crate) fn run(options: &Options) -> ExitCode {
    process::exit_code(if options.bless { bless() } else { compare() })
}

/// Compares every library with its list.
///
/// # Errors
/// When one differs: its lines, marked as in a diff.
pub(crate) fn compare() -> Result<()> {
    let mut report = String::new();
    for (library, actual) in public_apis()? {
        let listed = fs::read_to_string(&library.list).unwrap_or_default();
        for line in differences(&listed, &actual) {
            report.push_str(&format!("\n{}: {line}", library.package));
        }
    }
    if !report.is_empty() {
        bail!("the public API differs from its list; if that is meant, run `cargo xtask public-api --bless`:{report}");
    }
    Ok(())
}

fn bless() -> Result<()> {
    for (library, actual) in public_apis()? {
        fs::write(&library.list, actual).with_context(|| library.list.display().to_string())?;
    }
    Ok(())
}

/// The lines that only one of two lists has: `-` for the one in the repository, `+` for the code.
fn differences(listed: &str, actual: &str) -> Vec<String> {
    let (listed, actual) = (BTreeSet::from_iter(listed.lines()), BTreeSet::from_iter(actual.lines()));
    let removed = listed.difference(&actual).map(|line| format!("-{line}"));
    let added = actual.difference(&listed).map(|line| format!("+{line}"));
    removed.chain(added).collect()
}

/// Every library and the lines of its API.
fn public_apis() -> Result<Vec<(Library, String)>> {
    let metadata = cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output()?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout).context("cargo metadata")?;
    let libraries = libraries(&metadata);
    let mut doc = cargo();
    // The same packages and features as the documentation's, which share the compiled dependencies.
    doc.args(["doc", "--quiet", "--workspace", "--all-features", "--no-deps", "--lib"]);
    // rustdoc's JSON is unstable, and a feature of nightly compilers. The pinned compiler makes it, too, when it is allowed to; but only
    // rustdoc may see the permission: some build scripts act on it, and everything would be compiled once more.
    doc.env(REAL_RUSTDOC, env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into()));
    doc.env("RUSTDOC", this_program()?).env("RUSTDOCFLAGS", "-Z unstable-options --output-format json");
    process::run(&mut doc)?;
    let target = Path::new(metadata["target_directory"].as_str().context("cargo metadata: no target_directory")?);
    libraries.into_iter().map(|library| api(target, library)).collect()
}

/// The path of this program. An earlier step may have built it again, and Linux then marks the path of the running one as deleted.
fn this_program() -> Result<PathBuf> {
    let path = env::current_exe()?;
    let replaced = path.to_str().and_then(|path| path.strip_suffix(" (deleted)")).map(PathBuf::from);
    Ok(replaced.filter(|path| path.exists()).unwrap_or(path))
}

fn api(target: &Path, library: Library) -> Result<(Library, String)> {
    let json = target.join("doc").join(&library.name).with_extension("json");
    // What every type has, and what follows from its fields, would be most of the lines.
    let api: PublicApi = public_api::Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()
        .with_context(|| json.display().to_string())?;
    let lines = api.items().map(|item| format!("{item}\n")).collect();
    Ok((library, lines))
}

/// The libraries that other people can depend on: what is not published has no API to keep.
fn libraries(metadata: &Value) -> Vec<Library> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let published = packages.filter(|package| package["publish"].is_null());
    let library = |package: &Value| {
        let targets = package["targets"].as_array()?;
        let target = targets.iter().find(|target| target["kind"][0] == "lib")?;
        Some(Library {
            package: package["name"].as_str()?.to_owned(),
            name: target["name"].as_str()?.replace('-', "_"),
            list: Path::new(package["manifest_path"].as_str()?).with_file_name("public-api.txt"),
        })
    };
    published.filter_map(library).collect()
}

/// What this program does where cargo runs it as rustdoc, for [`public_apis`]; `None`: it was not.
pub(crate) fn rustdoc() -> Option<ExitCode> {
    let mut rustdoc = Command::new(env::var_os(REAL_RUSTDOC)?);
    rustdoc.args(env::args_os().skip(1)).env("RUSTC_BOOTSTRAP", "1");
    Some(match rustdoc.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

#[cfg(test)]
mod tests {
    use super::{differences, libraries};
    use serde_json::json;

    #[test]
    fn lines_of_one_list_only_are_marked() {
        assert_eq!(differences("pub fn a\npub fn b\n", "pub fn b\npub fn c\n"), ["-pub fn a", "+pub fn c"]);
        assert_eq!(differences("pub fn a\n", "pub fn a\n"), [""; 0]);
        // A list that is missing lists nothing.
        assert_eq!(differences("", "pub mod a\n"), ["+pub mod a"]);
    }

    #[test]
    fn published_libraries_have_a_list() {
        let package = |name: &str, kind: &str, publish| {
            json!({
                "name": name, "publish": publish, "manifest_path": format!("/x/{name}/Cargo.toml"),
                "targets": [{"kind": ["bin"], "name": "program"}, {"kind": [kind], "name": "some-lib"}],
            })
        };
        let metadata = json!({"packages": [package("a", "lib", json!(null)), package("b", "test", json!(null)), package("c", "lib", json!([]))]});
        let libraries = libraries(&metadata);
        let [library] = &*libraries else { panic!("{} libraries", libraries.len()) };
        assert_eq!((&*library.package, &*library.name), ("a", "some_lib"));
        assert!(library.list.ends_with("a/public-api.txt"));
    }
}
