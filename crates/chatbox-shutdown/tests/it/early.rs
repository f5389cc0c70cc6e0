//! Signals that come before the runtime exists: this test program is started again as a child.

use std::io::{BufRead, stdin};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use chatbox_shutdown::{Cause, EarlySignals, Plan, Shutdown, Signal};

use crate::program::Program;

/// The environment variable that makes this program a child, and says what it does.
const ROLE: &str = "CHATBOX_SHUTDOWN_EARLY_SIGNALS";

/// What a child does; without a role, nothing.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let early = EarlySignals::register().unwrap();
    println!("\nregistered");
    // Blocked until the parent has sent what it wants to send.
    stdin().lock().lines().next().unwrap().unwrap();
    let early = match role.as_str() {
        "serve" => early,
        "reload" => early.without(Signal::Hangup),
        "command" => {
            early.restore_default();
            println!("restored");
            stdin().lock().lines().next().unwrap().unwrap();
            return;
        }
        role => panic!("no such role: {role}"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cause = runtime.block_on(async {
        let mut shutdown = Shutdown::on_early_signals(Plan::default(), early).unwrap();
        println!("listening");
        shutdown.requested().await
    });
    match cause {
        Cause::Signal(signal) => println!("requested by {}", signal.as_str()),
        cause => panic!("not a signal: {cause:?}"),
    }
}

fn start(role: &str) -> (Program, std::os::unix::net::UnixStream) {
    start_by(Command::new(std::env::current_exe().unwrap()), role)
}

fn start_by(mut command: Command, role: &str) -> (Program, std::os::unix::net::UnixStream) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    command.args(["early::child", "--exact", "--nocapture"]).env(ROLE, role);
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)));
    let mut program = Program::spawn(&mut command);
    while program.next_line() != "registered" {}
    (program, ours)
}

fn go_on(mut to: &std::os::unix::net::UnixStream) {
    use std::io::Write;
    to.write_all(b"go on\n").unwrap();
}

#[test]
fn a_signal_before_the_runtime_exists_requests_the_shutdown() {
    for (signal, name) in [("TERM", "SIGTERM"), ("QUIT", "SIGQUIT"), ("INT", "SIGINT"), ("HUP", "SIGHUP")] {
        let (mut program, stdin) = start("serve");
        program.signal(signal);
        go_on(&stdin);
        program.expect("listening");
        program.expect(&format!("requested by {name}"));
        assert!(program.wait().success());
    }
}

#[test]
fn a_signal_that_is_left_to_other_code_requests_nothing() {
    let (mut program, stdin) = start("reload");
    program.signal("HUP");
    go_on(&stdin);
    program.expect("listening");
    program.signal("HUP");
    program.signal("TERM");
    program.expect("requested by SIGTERM");
}

#[test]
fn a_command_that_does_not_serve_is_ended_by_signals_before_and_after_it_has_found_out() {
    let (program, stdin) = start("command");
    program.signal("TERM");
    go_on(&stdin);
    assert_eq!(program.wait().signal(), Some(15));

    let (mut program, stdin) = start("command");
    go_on(&stdin);
    program.expect("restored");
    program.signal("INT");
    assert_eq!(program.wait().signal(), Some(2));
}

#[cfg(target_os = "linux")]
#[test]
fn a_hangup_that_is_ignored_from_the_start_stays_ignored() {
    let mut nohup = Command::new("nohup");
    nohup.arg(std::env::current_exe().unwrap());
    let (mut program, stdin) = start_by(nohup, "serve");
    program.signal("HUP");
    go_on(&stdin);
    program.expect("listening");
    program.signal("HUP");
    program.signal("TERM");
    program.expect("requested by SIGTERM");
}
