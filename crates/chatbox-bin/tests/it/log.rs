//! The log when it cannot be written, and its files.

use crate::harness::{Frame, Peer, Setup, TERMINATE, get, until};
use rustix::process::{Pid, kill_process};
use std::io::{PipeReader, pipe};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::SystemTime;
use tokio::process::{Child, Command};

/// A server whose log is not read. Its report is in the file `report`.
fn unread(setup: &Setup, at: SocketAddr) -> (Child, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    let mut command: Command = setup.command();
    command.args(["--set", &format!("listen={at}")]);
    // Both are read by one process in a container.
    let child = command.stdout(Stdio::from(writer.try_clone().unwrap())).stderr(Stdio::from(writer)).spawn().unwrap();
    (child, reader)
}

#[tokio::test]
async fn a_log_that_is_not_read_holds_up_neither_the_service_nor_its_end() {
    let at = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let setup = Setup::new().set("log.level=debug").set("shutdown.flush=500ms").file("report", "");
    let report = setup.path().join("report");
    let setup = setup.set(&format!("shutdown.termination_log={}", report.display()));
    let (mut child, reader) = unread(&setup, at);
    until("the service to be ready", async || get(at, "/chat/readyz").await.is_ok_and(|ready| ready.status == 200))
        .await;
    let mut alice = Peer::open(at, "/chat/ws?user=alice").await;
    // More lines than a pipe holds.
    for _ in 0..300 {
        drop(Peer::open(at, &format!("/chat/ws?user={}", "x".repeat(120))).await);
    }
    assert_eq!(get(at, "/chat/healthz").await.unwrap().status, 200);
    assert!(get(at, "/metrics").await.unwrap().body.contains("\nchatbox_log_lines_dropped_total 0\n"));
    kill_process(Pid::from_raw(child.id().unwrap().cast_signed()).unwrap(), TERMINATE).unwrap();
    alice.until("goodbye").await;
    assert!(matches!(alice.next().await, Ok(Frame::Close(1001, _))));
    let status = crate::harness::within("the process to end", child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!((&report["outcome"], &report["connections"]["closed"]), (&"clean".into(), &1.into()), "{report}");
    drop(reader);
}

#[tokio::test]
async fn log_files_past_their_days_are_removed_at_the_start() {
    let setup = Setup::new().set("log.directory=logs").set("log.keep_days=2");
    let logs = setup.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    for name in ["chatbox.2020-01-01.log", "chatbox.2020-01-02.log", "other.2020-01-01.log"] {
        std::fs::write(logs.join(name), "a line\n").unwrap();
    }
    let finished = setup.start().await.stop(TERMINATE).await;
    assert_eq!(finished.code(), 0);
    let mut names: Vec<_> =
        std::fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let today = humantime::format_rfc3339(SystemTime::now()).to_string();
    assert_eq!(names, [format!("chatbox.{}.log", &today[..10]), "other.2020-01-01.log".to_owned()]);
    let lines = std::fs::read_to_string(logs.join(&names[0])).unwrap();
    assert!(lines.lines().last().unwrap().contains("Chatbox service shutdown complete"), "{lines}");
}
