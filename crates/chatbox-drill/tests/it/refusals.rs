//! Servers that cannot be drilled: a clear error within the bounds, and nothing left running.

use crate::{free_port, peer};
use chatbox_drill::{DrillError, Options, Server, Target, run};
use std::ffi::OsString;
use std::time::Duration;

fn options(command: &[&str]) -> Options {
    let target: Target = format!("ws://127.0.0.1:{}/", free_port()).parse().unwrap();
    let mut options = Options::new(target, Server::Command(command.iter().map(OsString::from).collect()));
    options.start = Duration::from_millis(500);
    options.grace = Duration::from_secs(5);
    options
}

/// Waits for the end of a process. One that has ended may be left as a zombie: its new parent reaps it in its own time.
async fn until_ended(pid: &str) {
    let ended = async {
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap_or_else(|_| panic!("{pid} is left running"));
}

async fn refusal(options: &Options) -> DrillError {
    run(options, |_| {}).await.expect_err("it cannot be drilled")
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_named() {
    let error = refusal(&options(&["/nowhere/server"])).await;
    assert!(matches!(&error, DrillError::Start { command, .. } if command == "/nowhere/server"), "{error}");
}

#[tokio::test]
async fn a_server_that_ends_at_once_is_told_with_its_last_words() {
    let error = refusal(&options(&["sh", "-c", "echo no such database >&2; exit 7"])).await;
    let text = error.to_string();
    assert!(
        matches!(error, DrillError::Ended { .. }) && text.contains('7') && text.contains("no such database"),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_never_listens_is_given_up_and_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let script = format!("sleep 600 & echo $! $$ > {}; wait", pids.display());
    let error = refusal(&options(&["sh", "-c", &script])).await;
    assert!(matches!(error, DrillError::NotReady { .. }), "{error}");
    for pid in std::fs::read_to_string(pids).unwrap().split_whitespace() {
        until_ended(pid).await;
    }
}

#[tokio::test]
async fn an_interrupted_drill_leaves_no_server_behind() {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let pid_file = folder.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 600", pid_file.display());
    let mut drill = tokio::process::Command::new(env!("CARGO_BIN_EXE_chatbox-drill"))
        .args(["--url", &format!("ws://127.0.0.1:{port}/"), "--", "sh", "-c", &script])
        .spawn()
        .unwrap();
    let pid = loop {
        match std::fs::read_to_string(&pid_file) {
            Ok(pid) if pid.ends_with('\n') => break pid.trim().to_owned(),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let drill_pid = drill.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &drill_pid]).status().unwrap().success());
    assert_eq!(drill.wait().await.unwrap().code(), Some(3));
    until_ended(&pid).await;
}

#[tokio::test]
async fn a_server_that_writes_without_end_is_read_without_end() {
    let error = refusal(&options(&["sh", "-c", "yes 0123456789"])).await;
    assert!(error.to_string().len() < 8_192, "{}", error.to_string().len());
}

#[tokio::test]
async fn a_server_that_speaks_http_only_is_told_by_its_answer() {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let mut options = options(&[]);
    options.start = Duration::from_secs(20);
    options.target = format!("ws://127.0.0.1:{port}/ready").parse().unwrap();
    let log: OsString = folder.path().join("log").into();
    options.server = Server::Command(vec![peer().into(), port.to_string().into(), log]);
    let error = refusal(&options).await.to_string();
    assert!(error.contains("the handshake was answered 200"), "{error}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_not_drilled_in_the_servers_place() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut options = options(&["sleep", "600"]);
    options.target = format!("ws://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let error = refusal(&options).await;
    assert!(matches!(error, DrillError::Taken { .. }), "{error}");
}

#[tokio::test]
async fn a_process_that_is_not_there_is_named() {
    let mut options = options(&[]);
    options.server = Server::Pid(i32::MAX);
    assert!(refusal(&options).await.to_string().contains("2147483647"));
}
