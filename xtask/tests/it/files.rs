//! Rules that hold for every file.

use crate::{files, root};
use std::fs;
use std::path::Path;

/// What no file may name: folders of one machine, and registry hosts, which differ from one network to the next.
/// Written in pieces, or this file would break the rule.
const NOT_OURS: &[&str] = &[
    concat!("/", "root/"),
    concat!("/", "home/"),
    concat!("/", "work/"),
    concat!("index.", "crates.io"),
    concat!("pypi", ".org"),
    concat!("registry.", "npmjs.org"),
];

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent: Vec<_> = ["crates", "xtask"]
        .iter()
        .flat_map(|folder| files(folder))
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| !fs::read_to_string(root().join(path)).unwrap().starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "without a first line that starts with `//!`: {silent:?}");
}

#[test]
fn no_file_names_a_machine_or_a_registry() {
    let mut found = Vec::new();
    for path in files(".").iter().filter(|path| *path != Path::new("Cargo.lock")) {
        // What is not text is not checked.
        let Ok(text) = fs::read_to_string(root().join(path)) else { continue };
        for (line, content) in (1..).zip(text.lines()) {
            found.extend(
                NOT_OURS
                    .iter()
                    .filter(|name| content.contains(**name))
                    .map(|name| format!("{}:{line}: {name}", path.display())),
            );
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
