//! The program under test, as a process in a directory of its own.

use super::{Finished, Peer, Response, get, within};
use rustix::process::{Pid, kill_process};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use rustix::process::Signal;

pub(crate) const TERMINATE: Signal = Signal::TERM;
pub(crate) const INTERRUPT: Signal = Signal::INT;

/// How the program is started: its directory, its arguments, its environment.
#[derive(Clone)]
pub(crate) struct Setup {
    program: PathBuf,
    directory: Arc<TempDir>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// By what query a user is let in.
    pass: fn(&str) -> String,
}

impl Setup {
    /// An empty directory, no arguments, no environment.
    pub(crate) fn bare() -> Self {
        Self::of(env!("CARGO_BIN_EXE_chatbox").into())
    }

    /// An example of this crate, which lies beside the folder of this test's program.
    pub(crate) fn example(name: &str) -> Self {
        let this = std::env::current_exe().unwrap();
        let path = this.parent().and_then(Path::parent).unwrap().join("examples").join(name);
        assert!(path.exists(), "{} is missing: build the examples first", path.display());
        Self::of(path)
    }

    fn of(program: PathBuf) -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        Self { program, directory, arguments: Vec::new(), environment: Vec::new(), pass: |user| format!("user={user}") }
    }

    /// A server on a port of its own that keeps messages in memory.
    pub(crate) fn new() -> Self {
        Self::over("memory:")
    }

    /// The same, over this store. Without a lame duck, which lasts its time even when no client is connected.
    pub(crate) fn over(store: &str) -> Self {
        let setup = Self::bare().args(["--listen", "127.0.0.1:0", "--log-format", "json", "--store", store]);
        setup.set("shutdown.lame_duck=0s")
    }

    pub(crate) fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.arguments.extend(arguments.into_iter().map(str::to_owned));
        self
    }

    pub(crate) fn set(self, key_value: &str) -> Self {
        self.args(["--set", key_value])
    }

    /// Users come with this query, rather than with a name that is believed.
    pub(crate) fn pass(mut self, pass: fn(&str) -> String) -> Self {
        self.pass = pass;
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file in the directory.
    pub(crate) fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.path().join(name), content).unwrap();
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(self.path())
            .env_clear()
            .env("HOSTNAME", "chatbox-0")
            .envs(self.environment.iter().cloned())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs a command that ends by itself.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        within("the command to end", self.command().args(arguments).output()).await.unwrap()
    }

    /// Starts the service and waits until it listens.
    pub(crate) async fn start(&self) -> Server {
        let mut server = self.launch();
        let line = server.line(|line| line["message"] == "Chatbox service listening").await;
        let page = line["page"].as_str().unwrap();
        let (at, prefix) = page.strip_prefix("http://").unwrap().split_once('/').unwrap();
        server.at = at.parse().unwrap();
        server.prefix = format!("/{prefix}").trim_end_matches('/').to_owned();
        server
    }

    /// Starts the service and waits for nothing.
    pub(crate) fn launch(&self) -> Server {
        let mut child = self.command().spawn().unwrap();
        let (log, lines) = watch::channel(Vec::new());
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = tokio::spawn(read(child.stderr.take().unwrap()));
        tokio::spawn(async move {
            let mut stdout = stdout.lines();
            while let Some(line) = stdout.next_line().await.unwrap() {
                // What is not JSON stays visible as text.
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                log.send_modify(|lines| lines.push(line));
            }
        });
        let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        let at = ([127, 0, 0, 1], 0).into();
        Server { child, pid, lines, stderr, at, prefix: String::new(), setup: self.clone() }
    }
}

/// A running server. Killed when dropped.
pub(crate) struct Server {
    child: Child,
    pid: Pid,
    /// The lines of its log so far; closed at their end.
    lines: watch::Receiver<Vec<Value>>,
    stderr: JoinHandle<String>,
    pub(crate) at: SocketAddr,
    pub(crate) prefix: String,
    pub(crate) setup: Setup,
}

impl Server {
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits for a line of the log, or finds it among those that have come.
    pub(crate) async fn line(&mut self, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let found = within("a line of the log", self.lines.wait_for(|lines| lines.iter().any(&mut wanted))).await;
        let found = found.map(|lines| lines.iter().find(|line| wanted(line)).unwrap().clone());
        match found {
            Ok(line) => line,
            Err(_) => {
                let stderr = (&mut self.stderr).await.unwrap();
                panic!("the program has ended: {:?}\n{stderr}", self.lines.borrow())
            }
        }
    }

    /// Waits for a line with this message.
    pub(crate) async fn message(&mut self, message: &str) -> Value {
        self.line(|line| line["message"] == message).await
    }

    /// Waits until the process has ended by itself and everything that it wrote has been read.
    pub(crate) async fn wait(mut self) -> Finished {
        let status = within("the process to end", self.child.wait()).await.unwrap();
        let stderr = within("the end of stderr", self.stderr).await.unwrap();
        // An error is the end of the lines.
        let _ = within("the end of the log", self.lines.wait_for(|_| false)).await;
        let lines = self.lines.borrow().clone();
        Finished { status, lines, stderr, setup: self.setup }
    }

    /// Tells it to stop, and waits.
    pub(crate) async fn stop(self, signal: Signal) -> Finished {
        self.signal(signal);
        self.wait().await
    }

    /// The path of the WebSocket for a user.
    pub(crate) fn ws(&self, user: &str) -> String {
        format!("{}/ws?{}", self.prefix, (self.setup.pass)(user))
    }

    /// Connects a user, and returns the peer with its `welcome` read.
    pub(crate) async fn connect(&self, user: &str) -> Peer {
        let mut peer = Peer::open(self.at, &self.ws(user)).await;
        assert_eq!(peer.message().await["type"], "welcome");
        peer
    }

    /// GET of a route below the prefix.
    pub(crate) async fn get(&self, route: &str) -> Response {
        get(self.at, &format!("{}{route}", self.prefix)).await.unwrap()
    }
}

async fn read(mut from: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).await.unwrap();
    text
}
