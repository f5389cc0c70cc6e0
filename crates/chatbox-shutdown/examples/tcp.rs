//! A TCP server that sends every line back, and says goodbye to its clients before it ends.
//!
//! `cargo run --example tcp`, connect with `nc 127.0.0.1 PORT`, and press Ctrl-C or send SIGTERM.
//! The limits may be given in milliseconds: `cargo run --example tcp -- LAME_DUCK DRAIN FLUSH`.

use std::time::Duration;

use chatbox_shutdown::{BoxError, EarlySignals, Ending, Phases, Plan, Shutdown, Stage};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

fn main() -> Result<(), BoxError> {
    let signals = EarlySignals::register()?;
    let plan = plan_from_arguments()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(plan, signals))
}

async fn serve(plan: Plan, signals: EarlySignals) -> Result<(), BoxError> {
    let mut shutdown = Shutdown::on_early_signals(plan, signals)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);

    let connections = Connections::default();
    let open = connections.clone();
    shutdown.during(Stage::Draining, "connections", |budget| async move {
        tokio::select! {
            () = open.none() => Ok(Ending::Complete),
            () = budget.expired() => Ok(Ending::CutShort),
        }
    });
    shutdown.during(Stage::Flushing, "goodbye", |_budget| async {
        println!("flushed");
        Ok(())
    });

    tokio::spawn(announce(shutdown.phases()));
    shutdown.task(Stage::Draining, "listener", accept(listener, connections, shutdown.phases()));
    let report = shutdown.run().await;
    println!("{}", serde_json::to_string(&report)?);
    report.exit()
}

/// Accepts connections until the drain begins.
async fn accept(listener: TcpListener, connections: Connections, phases: Phases) -> std::io::Result<()> {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let guard = connections.opened();
                let phases = phases.clone();
                tokio::spawn(async move {
                    // An error is a client that went away, which this server has no use for.
                    let _ = echo(stream, phases).await;
                    drop(guard);
                });
            }
            () = phases.reached(Stage::Draining) => return Ok(()),
        }
    }
}

/// Sends lines back until the client closes the connection or the drain begins.
async fn echo(mut stream: TcpStream, phases: Phases) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => writer.write_all(format!("{line}\n").as_bytes()).await?,
                None => return Ok(()),
            },
            () = phases.reached(Stage::Draining) => {
                writer.write_all(b"goodbye\n").await?;
                writer.shutdown().await?;
                // Read to the end: unread input would reset the connection.
                while lines.next_line().await?.is_some() {}
                return Ok(());
            }
        }
    }
}

/// The number of open connections.
#[derive(Clone, Default)]
struct Connections(watch::Sender<usize>);

impl Connections {
    fn opened(&self) -> Guard {
        self.0.send_modify(|open| *open += 1);
        Guard(self.clone())
    }

    async fn none(&self) {
        let mut open = self.0.subscribe();
        open.wait_for(|open| *open == 0).await.expect("the sender is in self");
    }
}

/// One open connection.
struct Guard(Connections);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.send_modify(|open| *open -= 1);
    }
}

async fn announce(mut phases: Phases) {
    while let Some(phase) = phases.changed().await {
        println!("phase {phase}");
    }
}

fn plan_from_arguments() -> Result<Plan, BoxError> {
    let limits: Vec<u64> = std::env::args().skip(1).map(|limit| limit.parse()).collect::<Result<_, _>>()?;
    let [lame_duck, drain, flush] = limits[..] else { return Ok(Plan::default()) };
    let milliseconds = Duration::from_millis;
    Ok(Plan::default()
        .with_lame_duck(milliseconds(lame_duck))
        .with_drain(milliseconds(drain))
        .with_flush(milliseconds(flush)))
}
