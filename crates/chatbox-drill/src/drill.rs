//! A drill from the first start of the server to the report.

use crate::act::{self, Cast};
use crate::judge::{self, Drill};
use crate::process::Process;
use crate::profile::{Level, Profile};
use crate::report::Report;
use crate::target::Target;
use crate::wire::{self, Answer, Wire};
use rustix::process::Signal;
use std::ffi::OsString;
use std::io;
use std::str::FromStr;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What to drill, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The WebSocket endpoint.
    pub target: Target,
    /// The server.
    pub server: Server,
    /// How to talk to it. Default: [`Profile::default`], level L0.
    pub profile: Profile,
    /// A readiness probe: 200 while the server is ready. Default: none; a server is ready when it accepts connections.
    pub ready: Option<Target>,
    /// A liveness probe. Default: none.
    pub live: Option<Target>,
    /// The signal that asks the server to end. Default: SIGTERM.
    pub signal: Stop,
    /// How long the server may take to end; then it is killed. Default: 30 s, as in Kubernetes.
    pub grace: Duration,
    /// How long it may take to start. Default: 30 s.
    pub start: Duration,
}

impl Options {
    /// A drill of that server at level L0.
    #[must_use]
    pub fn new(target: Target, server: Server) -> Self {
        Self {
            target,
            server,
            profile: Profile::default(),
            ready: None,
            live: None,
            signal: Stop::Term,
            grace: Duration::from_secs(30),
            start: Duration::from_secs(30),
        }
    }
}

/// The server under test.
#[derive(Clone, Debug)]
pub enum Server {
    /// A command and its arguments; started anew for each act.
    Command(Vec<OsString>),
    /// The id of a process that runs already: one act only.
    Pid(i32),
}

/// A signal that asks a process to end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM.
    #[default]
    Term,
    /// SIGINT.
    Int,
    /// SIGQUIT.
    Quit,
    /// SIGHUP.
    Hup,
}

impl Stop {
    pub(crate) fn number(self) -> Signal {
        match self {
            Self::Term => Signal::TERM,
            Self::Int => Signal::INT,
            Self::Quit => Signal::QUIT,
            Self::Hup => Signal::HUP,
        }
    }
}

impl FromStr for Stop {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.trim_start_matches("SIG") {
            "TERM" => Ok(Self::Term),
            "INT" => Ok(Self::Int),
            "QUIT" => Ok(Self::Quit),
            "HUP" => Ok(Self::Hup),
            _ => Err("must be TERM, INT, QUIT or HUP".to_owned()),
        }
    }
}

/// Why a server could not be drilled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrillError {
    /// The command cannot be started.
    #[error("{command} cannot be started")]
    Start {
        /// Its first word.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// There is no such process.
    #[error("there is no process {pid}")]
    NoProcess {
        /// The id that was named.
        pid: i32,
    },
    /// Something answers at the address before the server is started: it would be drilled in the server's place.
    #[error("{target} is taken: something listens there before the server is started")]
    Taken {
        /// The address.
        target: String,
    },
    /// The server did not become ready in time.
    #[error("the server was not ready within {within:?}: {what}{}", last_output(output))]
    NotReady {
        /// How long it had.
        within: Duration,
        /// What was waited for.
        what: String,
        /// The end of its output.
        output: String,
    },
    /// The server ended before it was told to.
    #[error("the server ended before the signal, with {status}{}", last_output(output))]
    Ended {
        /// Its exit status.
        status: String,
        /// The end of its output.
        output: String,
    },
    /// The server does not talk as the profile has it.
    #[error("{reason}{}", last_output(output))]
    Conversation {
        /// Which client, and what happened.
        reason: String,
        /// The end of the server's output.
        output: String,
    },
    /// The signal cannot be sent.
    #[error("the process cannot be signalled")]
    Signal(#[source] io::Error),
}

fn last_output(output: &str) -> String {
    match output.lines().rev().take(5).collect::<Vec<_>>() {
        lines if lines.is_empty() => String::new(),
        mut lines => {
            lines.reverse();
            format!("; its output ends with:\n{}", lines.join("\n"))
        }
    }
}

/// Drills a server. Says on stderr, by `progress`, which act it is at.
///
/// Takes up to four starts of the server and, for each, up to its grace period. Whatever happens, no process that was started is left running;
/// dropping the future kills it, too.
///
/// # Errors
/// [`DrillError`] when the server cannot be drilled: it does not start, ends early, or does not talk as the profile has it.
pub async fn run(options: &Options, mut progress: impl FnMut(&str)) -> Result<Report, DrillError> {
    let mut drill = Drill::default();
    progress("drain: all clients behave");
    drill.drain = act::play(options, start(options).await?, Cast::Polite).await?;
    drill.drain.name = "drain";
    if let Server::Command(_) = options.server {
        if options.profile.level == Level::L2 && options.profile.resume.is_some() {
            progress("restart: members come back");
            let mut process = start(options).await?;
            drill.restart = Some(act::restart(options, &drill.drain).await);
            process.kill().await;
        }
        progress("hold-outs: some read nothing, or answer nothing");
        let mut act = act::play(options, start(options).await?, Cast::Holdouts { second_signal: false }).await?;
        act.name = "hold-outs";
        drill.holdouts = Some(act);
        progress("impatience: a second signal");
        let mut act = act::play(options, start(options).await?, Cast::Holdouts { second_signal: true }).await?;
        act.name = "impatience";
        drill.impatience = Some(act);
    }
    let verdicts = judge::judge(&drill, &options.profile);
    Ok(Report::new(&options.profile, verdicts, &drill.drain))
}

/// Starts the server, or finds it, and waits until it is ready.
async fn start(options: &Options) -> Result<Process, DrillError> {
    let mut process = match &options.server {
        Server::Pid(pid) => Process::find(*pid).ok_or(DrillError::NoProcess { pid: *pid })?,
        Server::Command(command) => {
            if Wire::connect(&options.target, None).await.is_ok() {
                return Err(DrillError::Taken { target: options.target.to_string() });
            }
            Process::start(command).map_err(|source| DrillError::Start {
                command: command.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default(),
                source,
            })?
        }
    };
    let deadline = Instant::now() + options.start;
    loop {
        if let Some(status) = process.has_ended() {
            return Err(DrillError::Ended { status: format!("{status:?}"), output: process.output().await });
        }
        let what = match &options.ready {
            _ if Wire::connect(&options.target, None).await.is_err() => {
                format!("{} accepts no connection", options.target)
            }
            None => return Ok(process),
            Some(ready) => match wire::get(ready, Duration::from_secs(2)).await {
                Answer::Head(head) if head.status == 200 => return Ok(process),
                Answer::Head(head) => format!("{ready} answers {}", head.status),
                answer => format!("{ready} does not answer: {answer:?}"),
            },
        };
        if Instant::now() > deadline {
            process.kill().await;
            let output = process.output().await;
            return Err(DrillError::NotReady { within: options.start, what, output });
        }
        sleep(Duration::from_millis(50)).await;
    }
}
