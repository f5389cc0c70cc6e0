//! How much a user of one library takes on: the number of crates it brings.

use crate::cargo;
use std::collections::BTreeSet;

/// `cargo tree` of a package without features: depth, and name with version, one a line.
fn tree(package: &str) -> Vec<(usize, String)> {
    let tree = cargo(&[
        "tree",
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "depth",
        "--no-dedupe",
        "--format",
        " {p}",
    ]);
    tree.lines()
        .map(|line| {
            let (depth, package) = line.split_once(' ').unwrap();
            let mut words = package.split(' ');
            (depth.parse().unwrap(), format!("{} {}", words.next().unwrap(), words.next().unwrap()))
        })
        .collect()
}

/// The distinct crates of a tree, without its root.
fn crates(tree: &[(usize, String)]) -> BTreeSet<&str> {
    tree.iter().filter(|(depth, _)| *depth > 0).map(|(_, package)| package.as_str()).collect()
}

#[test]
fn shutdown_brings_at_most_30_crates() {
    let tree = tree("chatbox-shutdown");
    let crates = crates(&tree);
    assert!(crates.len() <= 30, "{}: {crates:?}", crates.len());
}

#[test]
fn health_brings_at_most_8_crates_beside_axum() {
    let tree = tree("chatbox-health");
    let mut below_axum = false;
    let axum: BTreeSet<&str> = tree
        .iter()
        .filter(|(depth, package)| {
            if *depth <= 1 {
                below_axum = package.starts_with("axum ");
            }
            below_axum
        })
        .map(|(_, package)| package.as_str())
        .collect();
    assert!(!axum.is_empty(), "axum is not a dependency of chatbox-health any more");
    let crates = crates(&tree);
    let besides: Vec<_> = crates.difference(&axum).collect();
    assert!(besides.len() <= 8, "{}: {besides:?}", besides.len());
}
