//! Every promise that can be broken is found, and named.

use super::{Expected, misses};
use crate::observations::{Ended, Fleet, PodEnd};
use crate::scenario::Scenario;
use serde_json::json;
use std::time::Duration;

const EXPECTED: Expected =
    Expected { scenario: Scenario::Delete, clients: 2, stubborn: 0, grace: Duration::from_secs(30) };

fn report() -> serde_json::Value {
    json!({
        "outcome": "clean", "duration_ms": 5_200,
        "connections": {"at_signal": 2, "closed": 2, "peer_gone": 0, "timed_out": 0, "aborted": 0, "refused": 1},
        "messages": {"accepted": 9, "acked": 9, "rejected": 0}
    })
}

fn ended<const N: usize>(pods: [PodEnd; N]) -> Ended {
    Ended { pods: pods.into(), ..Ended::default() }
}

/// A pod that ended as it should.
fn pod() -> PodEnd {
    pod_with(&report())
}

fn pod_with(report: &serde_json::Value) -> PodEnd {
    let mut last = report.clone();
    last["message"] = json!("Chatbox service shutdown complete");
    let log = format!(
        "{}\n{}\n{}\nnot JSON\n{}\n{last}\n",
        json!({"message": "Shutting down WebSocket handler, closing all connections"}),
        json!({"message": "Closing WebSocket connection"}),
        json!({"message": "Closing WebSocket connection"}),
        json!({"message": "All WebSocket connections closed"}),
    );
    PodEnd {
        pod: "a".to_owned(),
        exit_code: Some(0),
        took: Duration::from_secs(6),
        restarts: 0,
        termination_message: report.to_string(),
        log,
        notices: vec![("readiness false", Some("2026-01-01T00:00:01Z".parse().unwrap()))],
        first_close: Some("2026-01-01T00:00:06Z".parse().unwrap()),
    }
}

fn fleet() -> Fleet {
    Fleet {
        ok: true,
        acked: 9,
        delivered: 18,
        ends: [("close 1001 server shutting down".to_owned(), 2), ("refused 503 draining".to_owned(), 1)].into(),
        ..Fleet::default()
    }
}

fn of_pod(change: impl FnOnce(&mut PodEnd)) -> String {
    let mut pod = pod();
    change(&mut pod);
    misses(&EXPECTED, &ended([pod]), &fleet()).join("; ")
}

fn of_report(field: [&str; 2], value: u64) -> String {
    let mut report = report();
    report[field[0]][field[1]] = json!(value);
    misses(&EXPECTED, &ended([pod_with(&report)]), &fleet()).join("; ")
}

fn of_fleet(change: impl FnOnce(&mut Fleet)) -> String {
    let mut fleet = fleet();
    change(&mut fleet);
    misses(&EXPECTED, &ended([pod()]), &fleet).join("; ")
}

#[test]
fn what_is_as_promised_is_no_miss() {
    assert_eq!(of_pod(|_| {}), "");
}

#[test]
fn a_pod_that_was_killed_is_found() {
    let found = of_pod(|pod| {
        pod.exit_code = Some(137);
        pod.termination_message.clear();
        pod.log = json!({"message": "Chatbox service listening"}).to_string();
    });
    assert!(found.starts_with("a: exit code 137: it was killed at the end of its grace period; "), "{found}");
    assert!(found.contains("a: the termination message is empty; a: its log lacks `Shutting down"), "{found}");
}

#[test]
fn an_exit_code_a_late_end_and_no_end_are_found() {
    assert_eq!(of_pod(|pod| pod.exit_code = Some(3)), "a: exit code 3");
    assert_eq!(of_pod(|pod| pod.exit_code = None), "a: it did not end");
    assert_eq!(of_pod(|pod| pod.took = Duration::from_secs(31)), "a: it took 31.0 s of a grace period of 30.0 s");
}

#[test]
fn readiness_that_is_late_or_never_lost_is_found() {
    let late = of_pod(|pod| pod.notices[0].1 = Some("2026-01-01T00:00:07Z".parse().unwrap()));
    assert_eq!(late, "a: readiness false: only 1.0 s after the first Close");
    assert_eq!(of_pod(|pod| pod.notices[0].1 = None), "a: readiness false: never seen");
}

#[test]
fn reports_that_tell_of_losses_or_do_not_add_up_are_found() {
    assert!(of_report(["connections", "aborted"], 1).starts_with("a: 1 connections were aborted; "));
    assert!(of_report(["connections", "at_signal"], 5).starts_with("a: the report's connections do not add up"));
    assert!(of_report(["messages", "acked"], 8).starts_with("a: the report's messages do not add up"));
    assert!(of_pod(|pod| pod.termination_message = "{}".to_owned()).contains("is no report: missing field"));
    let mut other = report();
    other["outcome"] = json!("forced");
    assert!(
        misses(&EXPECTED, &ended([pod_with(&other)]), &fleet())
            .contains(&"a: the report's outcome is `forced`, not `clean`".into())
    );
}

#[test]
fn lines_that_are_missing_or_out_of_order_are_found() {
    let lacking = of_pod(|pod| pod.log = pod.log.replace("All WebSocket connections closed", "x"));
    assert_eq!(lacking, "a: its log lacks `All WebSocket connections closed`");
    let swapped = of_pod(|pod| {
        let mut lines: Vec<&str> = pod.log.lines().collect();
        lines.swap(0, 4);
        pod.log = lines.join("\n");
    });
    assert_eq!(swapped, "a: its log lines are out of order");
    let fewer = of_pod(|pod| pod.log = pod.log.replacen("Closing WebSocket connection", "x", 1));
    assert_eq!(fewer, "a: 1 lines `Closing WebSocket connection` for 2 connections");
}

#[test]
fn a_fleet_that_met_1006_or_lost_something_is_found() {
    let abnormal = of_fleet(|fleet| _ = fleet.ends.insert("1006 connection reset".to_owned(), 3));
    assert_eq!(abnormal, "fleet: 3 connections ended with `1006 connection reset`");
    let lost = of_fleet(|fleet| {
        fleet.ok = false;
        fleet.violations.insert("lost".to_owned(), 1);
        fleet.details.push("lost: x".to_owned());
    });
    assert_eq!(lost, "fleet: 1 × lost (lost: x)");
    assert_eq!(of_fleet(|fleet| fleet.acked = 0), "fleet: no message was sent and delivered");
}

#[test]
fn a_close_that_did_not_arrive_and_a_client_without_one_are_found() {
    let fewer = of_fleet(|fleet| _ = fleet.ends.insert("close 1001 server shutting down".to_owned(), 1));
    assert_eq!(fewer, "fleet: 1 clients saw 1001, and the pods closed 2 connections");
    let expected = Expected { scenario: Scenario::Rollout, clients: 3, ..EXPECTED };
    assert_eq!(misses(&expected, &ended([pod()]), &fleet()), ["fleet: 2 clients saw 1001 of at least 3"]);
    assert_eq!(misses(&EXPECTED, &ended([]), &fleet())[0], "no pod ended");
}

#[test]
fn stubborn_clients_are_cut_and_that_is_called_a_deadline() {
    let expected = Expected { scenario: Scenario::Stubborn, stubborn: 4, ..EXPECTED };
    let mut stubborn = report();
    stubborn["outcome"] = json!("deadline");
    stubborn["connections"]["at_signal"] = json!(3);
    stubborn["connections"]["timed_out"] = json!(1);
    assert_eq!(misses(&expected, &ended([pod_with(&stubborn)]), &fleet()), [""; 0]);
    assert_eq!(misses(&expected, &ended([pod()]), &fleet()), ["0 of 4 stubborn clients were cut"]);
    stubborn["outcome"] = json!("clean");
    assert_eq!(
        misses(&expected, &ended([pod_with(&stubborn)]), &fleet()),
        ["a: the report's outcome is `clean`, not `deadline`"]
    );
}

#[test]
fn containers_that_were_restarted_are_found() {
    let restarts = [("b".to_owned(), 1)].into();
    let ended = Ended { restarts, ..ended([pod()]) };
    assert_eq!(misses(&EXPECTED, &ended, &fleet()), ["b: its container was restarted 1 times"]);
}
