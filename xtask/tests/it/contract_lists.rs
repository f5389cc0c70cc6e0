//! Lists in the documentation, compared with what the code defines: each must name all that the other names.

use crate::{files, output, root};
use std::collections::BTreeSet;
use std::fs;

/// The longest runs of name characters that stand between two given marks: `"chatbox_ready"`, `` `listen` ``.
fn names_between<'a>(text: &'a str, open: char, close: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.match_indices(open).filter_map(move |(at, mark)| {
        let rest = &text[at + mark.len()..];
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "_.".contains(c)))?;
        (end > 0 && rest[end..].starts_with(close)).then_some(&rest[..end])
    })
}

fn assert_same(code: &BTreeSet<String>, docs: &BTreeSet<String>, file: &str) {
    let missing: Vec<_> = code.difference(docs).collect();
    let unknown: Vec<_> = docs.difference(code).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "{file} lacks {missing:?}, and knows of {unknown:?}, which the code does not"
    );
}

fn is_metric(name: &&str) -> bool {
    // A crate's name is a log target.
    name.starts_with("chatbox_") && !root().join("crates").join(name.replace('_', "-")).exists()
}

#[test]
fn the_documentation_lists_every_metric() {
    let mut code = BTreeSet::new();
    for path in files("crates") {
        let path = path.to_str().unwrap();
        if path.contains("/src/") && path.ends_with(".rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(root().join(path)).unwrap();
            code.extend(names_between(&text, '"', &['"']).filter(is_metric).map(str::to_owned));
        }
    }
    let file = "docs/metrics.md";
    let text = fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let docs = names_between(&text, '`', &['`', '{']).filter(is_metric).map(str::to_owned).collect();
    assert_same(&code, &docs, file);
}

/// The keys are those that `chatbox config` prints, which is built with the tests; the documentation's are the first
/// cells of its tables.
#[test]
fn the_documentation_lists_every_configuration_key() {
    let file = "docs/configuration.md";
    let Ok(text) = fs::read_to_string(root().join(file)) else {
        eprintln!("not run: there is no {file} yet");
        return;
    };
    let rows = text.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1));
    let docs = rows.flat_map(|cell| names_between(cell, '`', &['`'])).map(str::to_owned).collect();

    let program = std::env::current_exe().unwrap().parent().unwrap().with_file_name("chatbox");
    assert!(program.exists(), "the program is not built: `cargo xtask test` builds it before this test");
    let printed = output(program.to_str().unwrap(), &["config"]);
    let key = |line: &str| line.split([' ', '=']).next().unwrap_or_default().to_owned();
    let code = printed.lines().map(key).filter(|key| !key.is_empty()).collect();
    assert_same(&code, &docs, file);
}

#[test]
fn names_are_read_whole_and_only_between_their_marks() {
    let text = "gauge!(\"chatbox_ready\"); \"chatbox_core=info\" chatbox_no \"not a name\" \"\"";
    assert_eq!(names_between(text, '"', &['"']).collect::<Vec<_>>(), ["chatbox_ready"]);
    let text = "| `store.url` | `sqlite:x` | `chatbox_refused{reason}` |";
    assert_eq!(names_between(text, '`', &['`', '{']).collect::<Vec<_>>(), ["store.url", "chatbox_refused"]);
}
