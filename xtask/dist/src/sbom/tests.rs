//! The bill of materials of this very checkout, and the pieces that it is read from.

use super::{crates, edges, render};
use crate::checkout::Checkout;
use crate::libraries::{Library, Package, System};
use crate::target::Target;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

fn document() -> (String, Value) {
    let target = Target::parse("x86_64-unknown-linux-gnu").unwrap();
    let checkout = Checkout { version: "0.1.0".into(), commit: "c0ffee".into(), time: 1_700_000_000, dirty: true };
    let package = Package {
        name: "libc6".into(),
        version: "2.36-9+deb12u14".into(),
        architecture: "amd64".into(),
        copyright: None,
    };
    let library = Library { content: b"library".to_vec(), package: Some(package) };
    let system = System { loader: None, libraries: BTreeMap::from([("libc.so.6".to_owned(), library)]) };
    let text = render(&crates(&target).unwrap(), &system, &target, &checkout).unwrap();
    let document = serde_json::from_str(&text).unwrap();
    (text, document)
}

fn strings<'a>(values: &'a Value, key: &str) -> Vec<&'a str> {
    values.as_array().unwrap().iter().map(|value| value[key].as_str().unwrap()).collect()
}

#[test]
fn every_reference_is_unique_and_leads_to_a_component() {
    let (_, document) = document();
    let refs = strings(&document["components"], "bom-ref");
    let mut known: BTreeSet<&str> = refs.iter().copied().collect();
    assert_eq!(known.len(), refs.len());
    let program = document["metadata"]["component"]["bom-ref"].as_str().unwrap();
    assert!(known.insert(program));
    for dependency in document["dependencies"].as_array().unwrap() {
        assert!(known.contains(dependency["ref"].as_str().unwrap()), "{dependency}");
        for on in dependency["dependsOn"].as_array().unwrap() {
            assert!(known.contains(on.as_str().unwrap()), "{on}");
        }
    }
}

#[test]
fn what_is_linked_is_listed_and_what_only_builds_or_tests_is_not() {
    let (_, document) = document();
    let names = strings(&document["components"], "name");
    for linked in ["chatbox-core", "tokio", "libsqlite3-sys", "tikv-jemalloc-sys", "libc6", "/lib/libc.so.6"] {
        assert!(names.contains(&linked), "{linked} is missing");
    }
    for other in ["proptest", "serde_derive", "syn", "cc", "chatbox-bench", "oci-spec"] {
        assert!(!names.contains(&other), "{other} is not in the program");
    }
}

#[test]
fn crates_from_a_registry_have_a_digest_and_all_have_a_licence() {
    let (_, document) = document();
    for component in document["components"].as_array().unwrap() {
        let name = component["name"].as_str().unwrap();
        if component["bom-ref"].as_str().unwrap().starts_with("pkg:cargo/") {
            assert!(component["licenses"][0]["expression"].is_string(), "{name}");
            assert_eq!(component["hashes"].is_null(), name.starts_with("chatbox-"), "{name}");
        }
    }
}

#[test]
fn the_same_content_has_the_same_serial_number() {
    let ((first, document), (second, _)) = (document(), document());
    assert_eq!(first, second);
    let serial = document["serialNumber"].as_str().unwrap().strip_prefix("urn:uuid:").unwrap();
    assert_eq!(serial.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert!(first.contains("commit c0ffee-dirty") && first.contains("2023-11-14T22:13:20Z"));
}

#[test]
fn a_tree_that_shows_a_crate_once_still_has_all_edges() {
    let tree = "0 a v1.0.0 (/somewhere/a)\n1 b v2.0.0\n2 c v3.0.0+x\n1 c v3.0.0+x\n1 d v4.0.0\n2 b v2.0.0 (*)\n";
    let edges = edges(tree).unwrap();
    let of = |name: &str| {
        let (_, to) = edges.iter().find(|((from, _), _)| from == name).unwrap();
        to.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(of("a"), "b 2.0.0, c 3.0.0+x, d 4.0.0");
    assert_eq!(of("b"), "c 3.0.0+x");
    assert_eq!(of("c"), "");
    assert_eq!(of("d"), "b 2.0.0");
}
