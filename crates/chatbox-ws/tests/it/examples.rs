//! The examples as programs: what their last lines say, and how they exit.

use crate::handshake::upgrade;
use crate::wire::{self, Got};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

struct Program {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts an example, and returns it with the address it listens on.
    async fn start(name: &str, arguments: &[&str]) -> (Self, std::net::SocketAddr) {
        let mut command = Command::new(path(name));
        let mut process = command.args(arguments).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = output.next_line().await.unwrap().expect("the address");
        let address = first.strip_prefix("listening on ws://").expect("the address").parse().unwrap();
        (Self { process, output }, address)
    }

    async fn terminate(&self) {
        let process = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &process]).status().await.unwrap().success());
    }

    async fn end(mut self) -> (ExitStatus, String) {
        let last = self.output.next_line().await.unwrap().expect("a report");
        (self.process.wait().await.unwrap(), last)
    }
}

/// The path of an example, which lies beside the folder of this test's program.
fn path(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let path = this.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is missing: build the examples first", path.display());
    path
}

#[tokio::test]
async fn echo_echoes_large_messages_and_drains_on_sigterm() {
    let (program, address) = Program::start("echo", &["--listen", "127.0.0.1:0"]).await;
    let mut client = upgrade(address).await;
    let payload = vec![0xff; 16 * 1024 * 1024];
    client.send(&wire::binary(&payload)).await;
    assert!(client.next().await == Got::Binary(payload));
    program.terminate().await;
    assert_eq!(client.next().await, Got::Close(1001, "server shutting down".to_owned()));
    client.close(1001).await;
    assert_eq!(client.rest().await, []);
    let (status, last) = program.end().await;
    assert!(status.success());
    assert!(last.contains("at_signal: 1, closed: 1,"), "{last}");
}

#[tokio::test]
async fn echo_reports_wrong_arguments() {
    for arguments in [&["--listen"][..], &["--listen", "nowhere"], &["--port", "1"]] {
        let output = Command::new(path("echo")).args(arguments).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stderr.starts_with(b"echo: "), "{arguments:?}");
    }
}

#[tokio::test]
async fn graceful_serves_clients_in_the_lame_duck_and_reports_a_clean_end() {
    let (program, address) = Program::start("graceful", &[]).await;
    let mut client = upgrade(address).await;
    program.terminate().await;
    for count in 1..=3 {
        client.text("hello").await;
        assert_eq!(client.next().await, Got::text(count.to_string()));
    }
    client.close(1000).await;
    assert_eq!(client.rest().await, [Got::Close(1000, String::new())]);
    let (status, report) = program.end().await;
    assert!(status.success());
    assert!(report.contains("outcome: Clean"), "{report}");
}
