//! Tests of running programs, with the shell as the program.

use super::{run, run_within};
use std::process::Command;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

#[test]
fn success_is_success() {
    run(&mut shell("exit 0")).unwrap();
    run_within(&mut shell("exit 0"), LONG).unwrap();
}

#[test]
fn failure_names_the_program_and_its_status() {
    let error = run_within(&mut shell("exit 3"), LONG).unwrap_err();
    assert_eq!(error.to_string(), "sh ended with exit status: 3");
}

#[test]
fn a_missing_program_is_named() {
    let error = run(&mut Command::new("no-such-program")).unwrap_err();
    assert_eq!(error.to_string(), "no-such-program cannot be started");
}

#[test]
fn a_program_that_does_not_end_is_killed() {
    let error = run_within(&mut shell("exec sleep 1000"), Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.to_string(), "sh did not end within 50ms");
}
