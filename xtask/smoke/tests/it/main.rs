//! What holds `deploy/` together: its manifests and the API, its numbers and the program's, its metrics and those that exist.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod budgets;
mod documentation;
mod manifests;
mod monitoring;

use chatbox_smoke::manifests::root;
use std::path::{Path, PathBuf};

/// The files below a folder whose names end like that.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
