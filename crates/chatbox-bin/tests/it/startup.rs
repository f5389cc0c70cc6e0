//! Signals that come while the program is starting.

use crate::harness::{INTERRUPT, Server, Setup, TERMINATE, until, within};
use rustix::process::{Pid, Signal};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::Duration;

/// A signal before the handlers are installed ends the process, which has touched nothing. From then on the process ends by itself:
/// with 0, and with nothing half-open.
#[tokio::test]
async fn a_signal_at_any_moment_of_the_start_ends_it_cleanly() {
    for millisecond in 0..60 {
        let setup = Setup::over("sqlite:chat.db");
        let signal = if millisecond % 2 == 0 { TERMINATE } else { INTERRUPT };
        let server = setup.launch();
        // Not a wait for anything: it spreads the signals over the start.
        tokio::time::sleep(Duration::from_millis(millisecond)).await;
        let finished = server.stop(signal).await;
        assert_eq!(finished.stderr, "");
        match finished.status.signal() {
            Some(number) => {
                assert_eq!(number, signal.as_raw());
                assert!(finished.lines.is_empty(), "{:?}", finished.lines);
                assert!(!setup.path().join("chat.db").exists());
            }
            None => {
                assert_eq!(finished.code(), 0);
                assert_eq!(finished.report()["outcome"], "clean");
                let files = ["chat.db-wal", "chat.db-shm"].map(|file| setup.path().join(file).exists());
                assert_eq!(files, [false, false], "the store was left open");
                // What there is of the store can be opened.
                let finished = setup.start().await.stop(INTERRUPT).await;
                assert_eq!(finished.code(), 0);
            }
        }
    }
}

/// Two services that differ only in the number of their workers differ by as many threads.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn as_many_workers_serve_as_are_set() {
    let start = async |workers: usize| Setup::new().set(&format!("server.workers={workers}")).start().await;
    let (one, five) = (start(1).await, start(5).await);
    let threads = |server: &Server| std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count();
    until("five workers are four more than one", async || threads(&five) == threads(&one) + 4).await;
}

/// SIGHUP and SIGQUIT end the program in order, like SIGINT and SIGTERM.
#[tokio::test]
async fn every_terminating_signal_shuts_down() {
    for (signal, name, phases) in [
        (Signal::HUP, "SIGHUP", &["draining", "flushing"][..]),
        (Signal::QUIT, "SIGQUIT", &["lame_duck", "draining", "flushing"]),
    ] {
        let server = Setup::new().set("shutdown.lame_duck=10ms").start().await;
        let finished = server.stop(signal).await;
        let report = finished.report();
        assert_eq!((finished.code(), report["signal"].as_str()), (0, Some(name)), "{report}");
        let names = report["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), phases);
    }
}

/// Handlers are installed before the configuration is read: it comes from a pipe here, which the test fills after the signal.
#[tokio::test]
async fn a_signal_before_the_configuration_was_read_ends_the_program_in_order() {
    let (setup, pipe) = configured_by_a_pipe();
    let server = setup.launch();
    let pipe = opened(pipe).await;
    server.signal(TERMINATE);
    configure(pipe);
    let finished = server.wait().await;
    assert_eq!((finished.code(), finished.report()["signal"].as_str()), (0, Some("SIGTERM")), "{}", finished.stderr);
}

/// The same as the first process of a container, for which the kernel discards signals that have no handler.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_first_process_of_a_container_is_ended_by_a_signal_before_its_configuration_was_read() {
    let (setup, pipe) = configured_by_a_pipe();
    let plain = setup.command();
    let plain = plain.as_std();
    let mut command = tokio::process::Command::new("unshare");
    command
        .args(["--pid", "--fork", "--kill-child", "--map-root-user"])
        .arg(plain.get_program())
        .args(plain.get_args());
    command.current_dir(setup.path()).stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let allowed = std::process::Command::new("unshare").args(["--pid", "--fork", "--map-root-user", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        // Past the test harness, which hides what a passing test prints with a macro.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"not run: unshare --pid is not allowed here\n");
        return;
    }
    let unshare = command.spawn().unwrap();
    let pipe = opened(pipe).await;
    let pid = unshare.id().unwrap();
    let child = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    rustix::process::kill_process(Pid::from_raw(child.trim().parse().unwrap()).unwrap(), TERMINATE).unwrap();
    configure(pipe);
    let output = within("the program to end", unshare.wait_with_output()).await.unwrap();
    let log = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains(r#""signal":"SIGTERM""#), "{log}");
}

/// A setup whose configuration file is a pipe, and the path of the pipe.
fn configured_by_a_pipe() -> (Setup, PathBuf) {
    let setup = Setup::new().args(["--config", "chatbox.toml"]);
    let path = setup.path().join("chatbox.toml");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    (setup, path)
}

/// The pipe, once the program has opened its end of it.
async fn opened(pipe: PathBuf) -> std::fs::File {
    let open = tokio::task::spawn_blocking(move || std::fs::File::create(pipe).unwrap());
    within("the program to read its configuration", open).await.unwrap()
}

fn configure(mut pipe: std::fs::File) {
    std::io::Write::write_all(&mut pipe, b"[log]\nlevel = \"info\"\n").unwrap();
}

/// Commands that end by themselves are ended by signals as before.
#[tokio::test]
async fn a_command_that_does_not_serve_is_ended_by_a_signal() {
    // Nothing answers at that address, so that the command is still waiting when the signal comes.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/chat", listener.local_addr().unwrap());
    let mut probe = Setup::bare().command().args(["probe", "live", "--url", &url]).spawn().unwrap();
    let connection = within("the probe to connect", listener.accept()).await.unwrap();
    rustix::process::kill_process(Pid::from_raw(probe.id().unwrap().cast_signed()).unwrap(), TERMINATE).unwrap();
    let status = within("the probe to end", probe.wait()).await.unwrap();
    assert_eq!(status.signal(), Some(TERMINATE.as_raw()));
    drop(connection);
}
