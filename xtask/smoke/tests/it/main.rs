//! What holds `deploy/` together: its manifests and the API, its numbers and the program's, its metrics and those that exist.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod budgets;
mod compose;
mod documentation;
mod manifests;
mod monitoring;

use chatbox_smoke::manifests::root;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// The program, away from any configuration file.
fn program() -> Command {
    let program = std::env::current_exe().unwrap().parent().unwrap().with_file_name("chatbox");
    assert!(program.exists(), "the program is not built: `cargo build -p chatbox-bin`");
    let mut command = Command::new(program);
    command.current_dir(std::env::temp_dir());
    command
}
