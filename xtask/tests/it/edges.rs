//! Dependencies between our crates, compared with the picture in the architecture.

use crate::cargo;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// One crate's edges to our other crates.
struct Edges {
    from: &'static str,
    /// Exactly these, for its users.
    to: &'static [&'static str],
    /// At most these besides, for its own tests and examples.
    dev: &'static [&'static str],
    /// Whether `to` is a bound rather than a description.
    at_most: bool,
}

const PICTURE: &[Edges] = &[
    // Measures the program from outside.
    edges("chatbox-bench", &[], &[]),
    edges(
        "chatbox-bin",
        &[
            "chatbox-client",
            "chatbox-core",
            "chatbox-drill",
            "chatbox-health",
            "chatbox-protocol",
            "chatbox-rooms",
            "chatbox-shutdown",
            "chatbox-soak",
            "chatbox-store",
            "chatbox-ws",
        ],
        &["chatbox-testing"],
    ),
    edges("chatbox-client", &["chatbox-protocol"], &[]),
    edges("chatbox-core", &[], &[]),
    // Builds the program, and reads it as a file.
    edges("chatbox-dist", &[], &[]),
    // Black box: others trust its verdicts because it shares no code with our server.
    edges("chatbox-drill", &[], &[]),
    edges("chatbox-health", &[], &[]),
    edges("chatbox-protocol", &[], &[]),
    edges("chatbox-rooms", &["chatbox-core", "chatbox-protocol", "chatbox-store"], &[]),
    edges("chatbox-shutdown", &[], &[]),
    edges("chatbox-soak", &["chatbox-client"], &[]),
    // Deploys the program, and sees it from outside.
    edges("chatbox-smoke", &[], &[]),
    edges("chatbox-store", &[], &[]),
    // Client frames for tests, and for nothing else.
    edges("chatbox-testing", &[], &[]),
    edges("chatbox-ws", &["chatbox-core"], &["chatbox-shutdown", "chatbox-testing"]),
    Edges { at_most: true, ..edges("xtask", &["chatbox-client", "chatbox-soak"], &[]) },
];

const fn edges(from: &'static str, to: &'static [&'static str], dev: &'static [&'static str]) -> Edges {
    Edges { from, to, dev, at_most: false }
}

/// Everything in `metadata` (of `cargo metadata --no-deps`) that the picture does not show, a sentence each.
/// Crates of the picture that do not exist are left out of it.
fn differences(picture: &[Edges], metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    let mut differences = Vec::new();
    for package in packages {
        let from = package["name"].as_str().unwrap();
        let Some(edges) = picture.iter().find(|edges| edges.from == from) else {
            differences.push(format!("{from} is not in the picture"));
            continue;
        };
        let mut actual: BTreeMap<bool, BTreeSet<&str>> = BTreeMap::new();
        for dependency in package["dependencies"].as_array().unwrap() {
            let to = dependency["name"].as_str().unwrap();
            if ours.contains(to) && to != from {
                actual.entry(dependency["kind"] == "dev").or_default().insert(to);
            }
        }
        let normal = actual.remove(&false).unwrap_or_default();
        let dev = actual.remove(&true).unwrap_or_default();
        let unexpected = |to: &&&str| !edges.to.contains(*to);
        differences.extend(normal.iter().filter(unexpected).map(|to| format!("{from} may not depend on {to}")));
        let unexpected_dev = |to: &&&str| unexpected(to) && !edges.dev.contains(*to);
        differences
            .extend(dev.iter().filter(unexpected_dev).map(|to| format!("tests of {from} may not depend on {to}")));
        let missing = |to: &&&str| ours.contains(*to) && !normal.contains(*to) && !edges.at_most;
        differences.extend(edges.to.iter().filter(missing).map(|to| format!("{from} does not depend on {to}")));
    }
    differences
}

#[test]
fn crates_depend_on_each_other_as_the_architecture_shows() {
    let metadata = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let differences = differences(PICTURE, &metadata);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_difference_from_the_picture_is_reported() {
    let picture =
        [edges("a", &["b", "c", "later"], &["d"]), edges("b", &[], &[]), edges("c", &[], &["b"]), edges("d", &[], &[])];
    let metadata = json!({"packages": [
        {"name": "a", "dependencies": [
            {"name": "b", "kind": null},
            {"name": "d", "kind": "dev"},
            {"name": "b", "kind": "dev"},
            {"name": "serde", "kind": null},
        ]},
        {"name": "b", "dependencies": [{"name": "c", "kind": "build"}, {"name": "d", "kind": "dev"}]},
        {"name": "c", "dependencies": [{"name": "b", "kind": "dev"}]},
        {"name": "d", "dependencies": []},
        {"name": "e", "dependencies": []},
    ]});
    assert_eq!(
        differences(&picture, &metadata),
        [
            "a does not depend on c",
            "b may not depend on c",
            "tests of b may not depend on d",
            "e is not in the picture"
        ]
    );
}

#[test]
fn a_bound_need_not_be_reached() {
    let picture = [Edges { at_most: true, ..edges("a", &["b"], &[]) }, edges("b", &[], &[])];
    let metadata = json!({"packages": [{"name": "a", "dependencies": []}, {"name": "b", "dependencies": []}]});
    assert_eq!(differences(&picture, &metadata), [""; 0]);
}
