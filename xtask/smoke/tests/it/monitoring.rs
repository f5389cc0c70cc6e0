//! Alerts and dashboard speak of metrics that exist, and the alerts fire when they should.

use crate::{files, read};
use chatbox_smoke::manifests::root;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// The names in a text that look like metrics of ours or of the `process_` family, without what Prometheus adds to histograms.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    let ours = words.filter(|word| word.starts_with("chatbox_") || word.starts_with("process_"));
    ours.map(|word| word.strip_suffix("_bucket").unwrap_or(word)).collect()
}

fn assert_documented(what: &str, text: &str) {
    let documentation = read("docs/metrics.md");
    let documented = metrics(&documentation);
    let used = metrics(text);
    assert!(!used.is_empty(), "{what} uses no metric");
    let unknown: Vec<_> =
        used.into_iter().filter(|name| !name.starts_with("process_") && !documented.contains(name)).collect();
    assert!(unknown.is_empty(), "{what} uses {unknown:?}, which docs/metrics.md does not know");
}

/// Every expression below a value: in Grafana's JSON, and in a file of rules.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| expressions(value, found));
        }
        Value::Array(list) => list.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn alerts_speak_of_metrics_that_exist() {
    let rules = serde_saphyr::from_str::<Value>(&read("deploy/prometheus/chatbox.rules.yaml")).unwrap();
    let mut found = Vec::new();
    expressions(&rules, &mut found);
    assert_documented("an alert", &found.join("\n"));
}

#[test]
fn the_dashboard_speaks_of_metrics_that_exist() {
    let dashboard = serde_json::from_str::<Value>(&read("deploy/grafana/rollout.json")).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    assert!(found.len() > 10, "{found:?}");
    assert_documented("the dashboard", &found.join("\n"));
}

#[test]
fn the_autoscaler_scales_on_a_metric_that_exists() {
    assert_documented("the autoscaler", &read("deploy/k8s/base/horizontalpodautoscaler.yaml"));
}

#[test]
fn alerts_fire_when_they_should_and_not_otherwise() {
    let folder = root().join("deploy/prometheus");
    let promtool = || {
        let mut command = Command::new("promtool");
        command.current_dir(&folder);
        command
    };
    if promtool().arg("--version").output().is_err() {
        eprintln!("not run: promtool is not here (Debian's package prometheus has it)");
        return;
    }
    for path in files(&folder, ".rules.test.yaml") {
        let output = promtool().args(["test", "rules"]).arg(&path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
    }
    // Each alert has been made to fire.
    let (rules, tests) =
        (read("deploy/prometheus/chatbox.rules.yaml"), read("deploy/prometheus/chatbox.rules.test.yaml"));
    for name in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("- alertname: {name}\n")), "no test makes {name} fire");
    }
}
