//! What the documentation for operators and embedders quotes is what is there.

use crate::{files, read};
use chatbox_smoke::manifests::root;

/// The fenced blocks of Rust in a text.
fn rust_blocks(text: &str) -> Vec<&str> {
    let blocks = text.split("```rust\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The examples themselves are compiled and run by other tests.
#[test]
fn what_is_quoted_for_embedders_stands_in_an_example() {
    let examples: String = files(&root().join("crates"), ".rs")
        .iter()
        .filter(|path| path.to_string_lossy().contains("/examples/"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let page = read("docs/embedding.md");
    let blocks = rust_blocks(&page);
    assert!(blocks.len() >= 4, "{blocks:?}");
    for block in blocks {
        assert!(examples.contains(block), "no example has:\n{block}");
    }
}

#[test]
fn the_files_that_operators_are_led_to_are_there() {
    for page in ["docs/operations.md", "docs/embedding.md", "deploy/README.md"] {
        let folder = root().join(page);
        for link in read(page).split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            assert!(folder.with_file_name(target).exists(), "{page} leads to {target}");
        }
    }
}
