//! The command line, and a run from the deployment to the clean-up.

use crate::flow::{self, Runtime, step};
use crate::kube::{Image, Kube};
use crate::manifests::root;
use crate::podman::{self, Podman};
use crate::prepare::{Inject, Wanted};
use crate::report::Table;
use crate::scenario::{Clients, Scenario};
use ::kube::config::{KubeConfigOptions, Kubeconfig};
use ::kube::{Client, Config};
use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Deploys chatbox to a real pod runtime, ends pods under a fleet of clients, and checks what was promised about it.
#[derive(Parser)]
#[command(name = "cargo xtask k8s-smoke", bin_name = "cargo xtask k8s-smoke", max_term_width = 120)]
struct Options {
    /// What runs the pods
    #[arg(long, value_enum)]
    runtime: Kind,
    /// One of deploy/k8s/overlays [default: trial in a cluster, dev by podman]
    #[arg(long)]
    overlay: Option<String>,
    /// The cluster's context in the kubeconfig; by default the current one
    #[arg(long)]
    context: Option<String>,
    /// The namespace that is made in the cluster, and removed; by default one with a new name
    #[arg(long)]
    namespace: Option<String>,
    /// How an archive gets to the cluster's nodes, such as `ctr -n k8s.io images import {archive}`; kind and minikube need none
    #[arg(long, value_name = "COMMAND")]
    load_cmd: Option<String>,
    /// An image that the runtime has, or can pull; by default the archive is loaded
    #[arg(long, value_name = "REF", conflicts_with = "archive")]
    image: Option<String>,
    /// The image's archive; by default what `cargo xtask dist` left in dist/
    #[arg(long, value_name = "FILE")]
    archive: Option<PathBuf>,
    /// A MongoDB that pods can reach, for the overlays that store messages there
    #[arg(long, value_name = "URL")]
    mongodb_url: Option<String>,
    /// Clients that chat
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Rooms they are spread over
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rooms: u32,
    /// Messages a second from each
    #[arg(long, default_value_t = 1.0)]
    rate: f64,
    /// Clients for each replica that never answer a Close, where that is tried
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    stubborn: u32,
    /// Only these, in this order
    #[arg(long, value_enum, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    /// The result as JSON
    #[arg(long)]
    json: bool,
    /// Print the Debian packages that this needs and that are not here
    #[arg(long, hide = true)]
    needs: bool,
    /// Break something on purpose: the run has to fail
    #[arg(long, value_enum, hide = true)]
    inject: Option<Inject>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The cluster of the kubeconfig
    Kube,
    /// podman on this machine
    Podman,
}

/// Runs what the command line asks for: exit code 0 if everything was as promised, 1 if not, 2 if it could not be tried.
pub async fn run() -> ExitCode {
    let options = Options::parse();
    if options.needs {
        println!("{}", podman::missing().join(" "));
        return ExitCode::SUCCESS;
    }
    match smoke(&options).await {
        Ok(table) => {
            if options.json {
                println!("{}", table.to_json());
            } else {
                print!("\n{table}");
            }
            if table.all_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("k8s-smoke: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn smoke(options: &Options) -> Result<Table> {
    const TRIAL: &str = "mongodb://mongodb-0.mongodb:27017/?replicaSet=rs0";
    let overlay = options.overlay.as_deref().unwrap_or(match options.runtime {
        Kind::Kube => "trial",
        Kind::Podman => "dev",
    });
    let brought = (overlay == "trial").then(|| TRIAL.to_owned());
    let mongodb_url = options.mongodb_url.clone().or(brought);
    if overlay == "prod" && mongodb_url.is_none() {
        bail!("the overlay `prod` needs a MongoDB: --mongodb-url");
    }
    if overlay == "trial" && options.runtime == Kind::Podman {
        bail!("podman runs no StatefulSet, which the overlay `trial` has: `dev`, or `prod` with a --mongodb-url");
    }
    let archive = match (&options.image, &options.archive) {
        (Some(_), _) => None,
        (None, Some(archive)) => Some(archive.clone()),
        (None, None) => Some(newest_archive()?),
    };
    let wanted = Wanted {
        overlay: overlay.to_owned(),
        image: options.image.clone().unwrap_or_else(|| concat!("chatbox:", env!("CARGO_PKG_VERSION")).to_owned()),
        mongodb_url,
        inject: options.inject,
    };
    match options.runtime {
        Kind::Kube => {
            let kubeconfig = Kubeconfig::read().context("there is no cluster")?;
            let context = options.context.clone().or_else(|| kubeconfig.current_context.clone());
            let context = context.context("the kubeconfig has no current context: --context")?;
            let image = match &archive {
                Some(archive) => Image::archive(archive, &context, options.load_cmd.as_deref())?,
                None => Image::Pulled,
            };
            let chosen = KubeConfigOptions { context: Some(context), ..KubeConfigOptions::default() };
            let client = Client::try_from(Config::from_custom_kubeconfig(kubeconfig, &chosen).await?)?;
            go(Kube::new(client, &wanted, image, options.namespace.clone())?, options).await
        }
        Kind::Podman => {
            let missing = podman::missing();
            if !missing.is_empty() {
                let names = missing.join(" ");
                bail!("not everything is here; on Debian: apt-get install --no-install-recommends {names}");
            }
            if !rustix::process::geteuid().is_root() {
                bail!("pods are reached by their addresses, which takes root");
            }
            go(Podman::new(&wanted, archive).await?, options).await
        }
    }
}

/// Runs the scenarios, and removes what they made: also when one fails, and on SIGINT and SIGTERM.
async fn go(mut runtime: impl Runtime, options: &Options) -> Result<Table> {
    let scenarios = if options.scenario.is_empty() { &Scenario::ALL[..] } else { &options.scenario };
    let clients =
        Clients { count: options.clients, rooms: options.rooms, rate: options.rate, stubborn: options.stubborn };
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let result = tokio::select! {
        result = flow::run(&mut runtime, scenarios, clients) => result,
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("terminated")),
    };
    if result.is_err() {
        // What follows removes the evidence.
        eprint!("{}", runtime.describe().await);
    }
    step("removing what was made");
    let removed = runtime.clean_up().await.context("not everything could be removed");
    let table = result?;
    removed?;
    Ok(table)
}

/// What `cargo xtask dist` made last for this kind of machine.
fn newest_archive() -> Result<PathBuf> {
    let begin = concat!("chatbox-", env!("CARGO_PKG_VERSION"), "-");
    let of_this_machine = |name: &str| {
        name.starts_with(begin) && name.contains(std::env::consts::ARCH) && name.ends_with("-linux-gnu.oci.tar")
    };
    let entries = std::fs::read_dir(root().join("dist")).into_iter().flatten().flatten();
    let archives = entries.filter(|entry| of_this_machine(&entry.file_name().to_string_lossy()));
    let newest = archives.max_by_key(|entry| entry.metadata().and_then(|metadata| metadata.modified()).ok());
    newest
        .map(|entry| entry.path())
        .context("there is no image in dist/: `cargo xtask dist` makes it, or name an --image")
}
