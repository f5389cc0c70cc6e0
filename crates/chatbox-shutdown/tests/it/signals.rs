//! Signals to a running program: `examples/tcp.rs`.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use chatbox_shutdown::{Cause, Plan, Shutdown, Signal};

use crate::program::{Client, example, send, tcp};

#[test]
fn sigterm_says_goodbye_when_the_lame_duck_is_over() {
    let (mut program, address) = tcp(["100", "20000", "1000"]);
    let mut client = Client::connect(&address);
    program.signal("TERM");
    program.expect("phase lame_duck");
    assert_eq!(client.line(), "goodbye");
    assert_eq!(client.line(), "");
    drop(client);
    let (code, report, lines) = program.end();
    assert_eq!(code, 0);
    assert_eq!((&report["outcome"], &report["signal"]), (&"clean".into(), &"SIGTERM".into()));
    assert!(lines.iter().any(|line| line == "flushed"), "{lines:?}");
}

#[test]
fn the_lame_duck_serves_and_accepts_and_lasts_its_time_although_every_client_leaves() {
    let (mut program, address) = tcp(["500", "1000", "1000"]);
    let mut client = Client::connect(&address);
    program.signal("TERM");
    program.expect("phase lame_duck");
    assert_eq!(client.ask("still there?"), "still there?");
    drop(client);
    drop(Client::connect(&address));
    let (code, report, _) = program.end();
    assert_eq!((code, &report["outcome"]), (0, &"clean".into()));
    assert!(report["phases"][0]["duration_ms"].as_u64() >= Some(500), "{report}");
}

#[test]
fn sigint_and_sighup_skip_the_lame_duck_and_a_client_that_stays_is_cut_in_time() {
    for (signal, name) in [("INT", "SIGINT"), ("HUP", "SIGHUP")] {
        let (program, address) = tcp(["20000", "300", "1000"]);
        let mut client = Client::connect(&address);
        program.signal(signal);
        assert_eq!(client.line(), "goodbye");
        let (code, report, _) = program.end();
        assert_eq!((code, &report["outcome"], &report["signal"]), (0, &"deadline".into(), &name.into()));
        assert_eq!(report["phases"][0]["name"], "draining");
    }
}

#[test]
fn the_second_signal_decides_the_exit_code_and_the_flush_still_runs() {
    for (first, second, expected) in [("TERM", "INT", 130), ("INT", "TERM", 143), ("TERM", "QUIT", 131)] {
        let (mut program, address) = tcp(["10000", "10000", "1000"]);
        let _client = Client::connect(&address);
        program.signal(first);
        program.expect(if first == "TERM" { "phase lame_duck" } else { "phase draining" });
        program.signal(second);
        let (code, report, lines) = program.end();
        assert_eq!(code, expected, "{first} and {second}: {report}");
        assert_eq!(report["outcome"], "forced");
        assert_eq!(report["participants"], serde_json::json!([]));
        assert!(lines.iter().any(|line| line == "flushed"), "{lines:?}");
    }
}

#[test]
fn one_stop_that_arrives_as_several_signals_is_one_stop() {
    for signals in [["TERM", "TERM"], ["TERM", "HUP"], ["QUIT", "QUIT"]] {
        let (mut program, address) = tcp(["300", "10000", "1000"]);
        let mut client = Client::connect(&address);
        program.signal(signals[0]);
        program.expect("phase lame_duck");
        program.signal(signals[1]);
        assert_eq!(client.line(), "goodbye");
        drop(client);
        let (code, report, _) = program.end();
        assert_eq!((code, &report["outcome"]), (0, &"clean".into()), "{signals:?}: {report}");
    }
}

#[test]
fn a_process_that_is_stopped_over_the_end_of_a_phase_is_no_fault() {
    let (mut program, address) = tcp(["0", "1000", "1000"]);
    let client = Client::connect(&address);
    program.signal("TERM");
    program.expect("phase draining");
    program.signal("STOP");
    // Not a wait for anything: the time that must pass while the process does not run.
    sleep(Duration::from_millis(1_500));
    program.signal("CONT");
    let (code, report, lines) = program.end();
    assert_eq!((code, &report["outcome"]), (0, &"deadline".into()), "{report}");
    assert!(lines.iter().any(|line| line == "flushed"), "{lines:?}");
    drop(client);
}

#[test]
fn a_plan_that_does_not_fit_is_refused_before_anything_starts() {
    let output = Command::new(example("tcp")).args(["10000", "10000", "10000"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
}

#[tokio::test]
async fn a_signal_that_comes_before_run_is_kept() {
    // Sent to this process, in which only these tests listen for signals.
    let mut shutdown = Shutdown::on_signals(Plan::default().with_lame_duck(Duration::ZERO)).unwrap();
    send("TERM", std::process::id());
    let sigterm = Cause::Signal(Signal::Terminate);
    assert_eq!(shutdown.requested().await, sigterm);
    let report = shutdown.run().await;
    assert_eq!((report.signal, report.exit_code()), (Some(sigterm), 0));
}
