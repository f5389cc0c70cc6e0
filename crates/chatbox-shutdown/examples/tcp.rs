//! A TCP server that sends every line back, and whose clients are not cut off when it is told to end.
//!
//! `cargo run --example tcp`, connect with `nc 127.0.0.1 PORT`, and press Ctrl-C or send SIGTERM.
//! The limits may be given in milliseconds: `cargo run --example tcp -- LAME_DUCK DRAIN FLUSH`.

use std::process::ExitCode;
use std::time::Duration;

use chatbox_shutdown::{BoxError, Ending, Phase, Phases, Plan, Shutdown};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, BoxError> {
    let mut shutdown = Shutdown::plan(plan_from_arguments()?)?.on_signals()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);

    let connections = Connections::default();
    let nobody = connections.clone();
    shutdown.lame_duck_until(|| async move { nobody.none().await });
    let open = connections.clone();
    shutdown.during(Phase::Draining, "connections", |budget| async move {
        tokio::select! {
            () = open.none() => Ok(Ending::Complete),
            () = budget.expired() => Ok(Ending::CutShort),
        }
    });
    shutdown.during(Phase::Flushing, "goodbye", |_budget| async {
        println!("flushed");
        Ok(())
    });

    tokio::spawn(announce(shutdown.phases()));
    let phases = shutdown.phases();
    let report = shutdown.run(accept(listener, connections, phases)).await;
    println!("{}", serde_json::to_string(&report)?);
    Ok(ExitCode::from(report.exit_code()))
}

/// Accepts connections until newcomers should go elsewhere.
async fn accept(listener: TcpListener, connections: Connections, phases: Phases) -> Result<(), BoxError> {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let guard = connections.opened();
                let phases = phases.clone();
                tokio::spawn(async move {
                    // A client that went away in the middle is no concern of this server.
                    let _ = serve(stream, phases).await;
                    drop(guard);
                });
            }
            () = phases.reached(Phase::LameDuck) => return Ok(()),
        }
    }
}

/// Sends lines back until the client has had enough, or the connections are drained.
async fn serve(mut stream: TcpStream, phases: Phases) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => writer.write_all(format!("{line}\n").as_bytes()).await?,
                None => return Ok(()),
            },
            () = phases.reached(Phase::Draining) => {
                writer.write_all(b"goodbye\n").await?;
                writer.shutdown().await?;
                // What the client still sends is read, as unread input would reset the connection.
                while lines.next_line().await?.is_some() {}
                return Ok(());
            }
        }
    }
}

/// How many connections are open.
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
    Ok(Plan {
        lame_duck: Duration::from_millis(lame_duck),
        drain: Duration::from_millis(drain),
        flush: Duration::from_millis(flush),
        ..Plan::default()
    })
}
