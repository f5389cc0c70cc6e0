//! The benchmark itself, run small: its peers work, its books add up. Nothing here looks at a time.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use serde_json::Value;
use std::fs;
use std::process::Command;

/// The results of a quick run of these scenarios on the peers that are part of the benchmark.
fn quick(scenarios: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_chatbox-bench"));
    bench.current_dir(&folder).args(["--quick", "--peers", "epoll,tungstenite", "--json", "results.json"]);
    let output = bench.args(scenarios.iter().flat_map(|name| ["--only", name])).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&fs::read(folder.path().join("results.json")).unwrap()).unwrap()
}

/// A measure in every result.
fn values(results: &Value, name: &str) -> Vec<f64> {
    let results = results["results"].as_array().unwrap().iter();
    let measures = results.flat_map(|result| result["measures"].as_array().unwrap());
    measures.filter(|measure| measure["name"] == name).map(|measure| measure["value"].as_f64().unwrap()).collect()
}

#[test]
fn fleet_of_the_benchmark_receives_every_message_in_order() {
    let results = quick(&["fanout", "rooms"]);
    assert_eq!(results["notes"].as_array().unwrap().len(), 0, "{results:#}");
    // Two peers, three cases.
    assert_eq!(values(&results, "gaps"), [0.0; 6]);
    assert_eq!(values(&results, "lost"), [0.0; 6]);
}

#[test]
fn drain_of_the_peers_ends_every_connection_properly() {
    let results = quick(&["drain"]);
    assert_eq!(values(&results, "closed with 1001"), [200.0; 2], "{results:#}");
    assert_eq!(values(&results, "resets"), [0.0; 2]);
    assert_eq!(values(&results, "exit code"), [0.0; 2]);
}
