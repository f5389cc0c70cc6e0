//! What the report says about mistakes of a program: `examples/mistakes.rs`.

use std::process::Command;

use serde_json::{Value, json};

use crate::program::{Program, example};

fn report_on(mistake: &str) -> Value {
    let mut program = Program::spawn(Command::new(example("mistakes")).arg(mistake));
    program.expect("serving");
    if mistake != "panic" {
        program.signal("INT");
    }
    let (code, report, _) = program.end();
    assert_eq!((code, &report["outcome"]), (3, &json!("failed")), "{report}");
    report
}

#[test]
fn a_blocked_thread_does_not_outlive_the_report() {
    // The thread is blocked for an hour; `report_on` waits for the end of the process.
    let report = report_on("blocked");
    let fault = &report["participants"][0];
    assert_eq!((&fault["name"], &fault["kind"]), (&json!("reporter"), &json!("overrun")), "{report}");
}

#[test]
fn a_worker_that_panics_ends_the_program_and_is_named() {
    let report = report_on("panic");
    assert_eq!(
        report["participants"],
        json!([{ "name": "worker", "phase": "running", "kind": "panic", "message": "no job to take" }])
    );
    assert_eq!(report["signal"], Value::Null);
}

#[test]
fn connections_that_nothing_closes_are_reported() {
    let report = report_on("forgotten");
    assert_eq!(
        report["participants"],
        json!([{ "name": "connections", "phase": "stopped", "kind": "left_open", "message": "2 still open" }])
    );
}

#[test]
fn a_server_that_is_never_asked_to_stop_is_reported() {
    let report = report_on("server");
    assert_eq!(report["participants"][0]["name"], "http");
    assert_eq!(report["participants"][0]["kind"], "overrun");
}
