//! Real signals, sent to a real program: `examples/tcp.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use chatbox_shutdown::{Cause, Plan, Shutdown};
use serde_json::Value;

/// The example as a process, and its output line by line.
struct Program {
    process: Child,
    output: std::io::Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Program {
    /// Starts the example with these limits, in milliseconds.
    fn start(limits: [&str; 3]) -> Self {
        let mut process = Command::new(example("tcp")).args(limits).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = output.next().unwrap().unwrap();
        let address = first.strip_prefix("listening on ").expect("the address").to_owned();
        Self { process, output, address }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(&self.address).unwrap();
        let mut client = Client(BufReader::new(stream));
        assert_eq!(client.ask("hello"), "hello");
        client
    }

    fn signal(&self, name: &str) {
        send(name, self.process.id());
    }

    fn expect(&mut self, line: &str) {
        assert_eq!(self.output.next().expect("more output").unwrap(), line);
    }

    /// Waits for the end; returns the exit code, the report and whatever came before it.
    fn end(mut self) -> (i32, Value, Vec<String>) {
        let mut lines: Vec<_> = self.output.by_ref().map(Result::unwrap).collect();
        let report = serde_json::from_str(&lines.pop().expect("a report")).unwrap();
        let status = self.process.wait().unwrap();
        (status.code().expect("ended by itself"), report, lines)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nothing but a failed test leaves it running.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn ask(&mut self, line: &str) -> String {
        writeln!(self.0.get_mut(), "{line}").unwrap();
        self.line()
    }

    /// The next line, empty at the end of the stream.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

fn send(signal: &str, process: u32) {
    let status = Command::new("kill").args(["-s", signal, &process.to_string()]).status();
    assert!(status.unwrap().success());
}

/// The path of an example, which lies beside the folder of this test's program.
fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(name);
    assert!(path.exists(), "{} is missing: build the examples first", path.display());
    path
}

#[test]
fn sigterm_says_goodbye_when_the_lame_duck_is_over() {
    let mut program = Program::start(["100", "20000", "1000"]);
    let mut client = program.connect();
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
fn the_lame_duck_serves_on_and_ends_when_the_last_client_leaves() {
    let mut program = Program::start(["20000", "1000", "1000"]);
    let mut client = program.connect();
    program.signal("TERM");
    program.expect("phase lame_duck");
    assert_eq!(client.ask("still there?"), "still there?");
    drop(client);
    let (code, report, _) = program.end();
    assert_eq!((code, &report["outcome"]), (0, &"clean".into()));
    assert!(report["duration_ms"].as_u64() < Some(20_000), "{report}");
}

#[test]
fn sigint_skips_the_lame_duck_and_a_client_that_stays_is_cut_in_time() {
    let program = Program::start(["20000", "300", "1000"]);
    let mut client = program.connect();
    program.signal("INT");
    assert_eq!(client.line(), "goodbye");
    let (code, report, _) = program.end();
    assert_eq!((code, &report["outcome"]), (0, &"deadline".into()));
    assert_eq!(report["phases"][0]["name"], "draining");
}

#[test]
fn the_second_signal_decides_the_exit_code_and_the_flush_still_runs() {
    for (first, second, expected) in
        [("TERM", "TERM", 143), ("TERM", "INT", 130), ("INT", "TERM", 143), ("INT", "INT", 130)]
    {
        let mut program = Program::start(["10000", "10000", "1000"]);
        let _client = program.connect();
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
fn a_plan_that_does_not_fit_is_refused_before_anything_starts() {
    let output = Command::new(example("tcp")).args(["10000", "10000", "10000"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
}

#[tokio::test]
async fn a_signal_that_comes_before_run_is_kept() {
    // This process is the one that is told to end: nothing else here listens for signals.
    let plan = Plan { lame_duck: std::time::Duration::ZERO, ..Plan::default() };
    let mut armed = Shutdown::plan(plan).unwrap().on_signals().unwrap();
    send("TERM", std::process::id());
    assert_eq!(armed.requested().await, Cause::Sigterm);
    let report = armed.run(std::future::pending()).await;
    assert_eq!((report.signal, report.exit_code()), (Some(Cause::Sigterm), 0));
}
