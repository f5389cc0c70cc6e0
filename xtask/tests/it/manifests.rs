//! Rules about every crate's manifest.

use crate::{cargo, root};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The dependencies in a manifest that do not take what the workspace says, by their lines.
fn not_from_the_workspace(manifest: &str) -> Vec<&str> {
    let mut in_dependencies = false;
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            in_dependencies = header.ends_with("dependencies]");
            // A table of its own for one dependency would hide from this test.
            if header.contains("dependencies.") {
                found.push(line);
            }
        } else if in_dependencies && !line.is_empty() && !line.starts_with('#') {
            let from_workspace = line.ends_with(".workspace = true") || line.contains("workspace = true,");
            if !(from_workspace || line.contains("{ workspace = true }")) {
                found.push(line);
            }
        }
    }
    found
}

#[test]
fn every_crate_is_described_licensed_and_under_the_common_lints() {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    for package in metadata["packages"].as_array().unwrap() {
        let name = &package["name"];
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        assert!(manifest.with_file_name("README.md").is_file(), "{name} has no README.md");
        assert!(package["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} has no description");
        assert_eq!(package["license"], "Apache-2.0 OR MIT", "of {name}");
        // What is published goes without the rest of the repository.
        if package["publish"].is_null() {
            for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
                assert!(manifest.with_file_name(licence).is_file(), "{name} has no {licence}");
            }
            for key in ["keywords", "categories"] {
                assert!((1..=5).contains(&package[key].as_array().unwrap().len()), "{name} needs one to five {key}");
            }
        }
        let manifest = fs::read_to_string(manifest).unwrap();
        assert!(manifest.contains("\n[lints]\nworkspace = true\n"), "{name} does not take the workspace's lints");
        assert_eq!(
            not_from_the_workspace(&manifest),
            [""; 0],
            "in {name}: versions belong into the workspace's manifest"
        );
    }
}

#[test]
fn unsafe_code_is_forbidden() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let lints = manifest.split("\n[").find(|table| table.starts_with("workspace.lints.rust]")).unwrap();
    assert!(lints.contains("\nunsafe_code = \"forbid\""));
}

#[test]
fn a_dependency_with_a_version_of_its_own_is_found() {
    let manifest = r#"
[package]
version = "1"

[dependencies]
a.workspace = true
b = { workspace = true, features = ["x"] }
c = { workspace = true }
# why
d = "1"

[target.'cfg(unix)'.dev-dependencies]
e = { version = "1" }

[dev-dependencies.f]
workspace = true

[features]
g = []
"#;
    assert_eq!(not_from_the_workspace(manifest), ["d = \"1\"", "e = { version = \"1\" }", "[dev-dependencies.f]"]);
}
