//! An example as a child process, and a client of `examples/tcp.rs`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A child process, and its output line by line. Killed when dropped.
pub(crate) struct Program {
    process: Child,
    output: std::io::Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, output }
    }

    pub(crate) fn signal(&self, name: &str) {
        send(name, self.process.id());
    }

    pub(crate) fn next_line(&mut self) -> String {
        self.output.next().expect("more output").unwrap()
    }

    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(self.next_line(), line);
    }

    /// Waits for the end of the process; returns the exit code, the report and the lines before it.
    pub(crate) fn end(mut self) -> (i32, Value, Vec<String>) {
        let mut lines: Vec<_> = self.output.by_ref().map(Result::unwrap).collect();
        let report = serde_json::from_str(&lines.pop().expect("a report")).unwrap();
        let status = self.process.wait().unwrap();
        (status.code().expect("ended by itself"), report, lines)
    }

    pub(crate) fn wait(mut self) -> std::process::ExitStatus {
        self.process.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Only a failed test leaves it running.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `examples/tcp.rs` with these limits, in milliseconds, and its address.
pub(crate) fn tcp(limits: [&str; 3]) -> (Program, String) {
    let mut program = Program::spawn(Command::new(example("tcp")).args(limits));
    let address = program.next_line().strip_prefix("listening on ").expect("the address").to_owned();
    (program, address)
}

/// A connection to `examples/tcp.rs`.
pub(crate) struct Client(BufReader<TcpStream>);

impl Client {
    pub(crate) fn connect(address: &str) -> Self {
        let mut client = Self(BufReader::new(TcpStream::connect(address).unwrap()));
        assert_eq!(client.ask("hello"), "hello");
        client
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        writeln!(self.0.get_mut(), "{line}").unwrap();
        self.line()
    }

    /// The next line, empty at the end of the stream.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

pub(crate) fn send(signal: &str, process: u32) {
    let status = Command::new("kill").args(["-s", signal, &process.to_string()]).status();
    assert!(status.unwrap().success());
}

/// The path of an example, which lies beside the folder of this test's program.
pub(crate) fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let profile = this.parent().and_then(Path::parent).unwrap();
    let path = profile.join("examples").join(name);
    assert!(path.exists(), "{} is missing: build the examples first", path.display());
    path
}
