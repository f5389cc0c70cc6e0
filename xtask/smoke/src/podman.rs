//! Podman as a cluster of one node: the rendered manifests by `podman kube play`, one pod a replica.
//!
//! Podman runs pods and no more. What a kubelet and a Service do besides is done here: the readiness probe of the manifest is
//! asked ([`service`]), new connections go to pods that are ready, a pod is stopped and killed after its grace period, and
//! its termination message is a file of ours.

mod cli;
mod pod;
mod service;

use crate::assertions::CLOSING;
use crate::flow::{Runtime, step};
use crate::observations::{Ended, Fleet, PodEnd, message};
use crate::prepare::{Inject, Prepared, Wanted, prepare};
use crate::scenario::{Clients, Scenario};
use anyhow::{Context, Result, bail, ensure};
use cli::Podman as Cli;
use jiff::Timestamp;
use pod::Names;
use service::Service;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

pub(crate) use cli::missing;

/// How long a pod may take to be ready, as the startup probe allows.
const START: Duration = Duration::from_secs(60);

/// How long the fleet may take to connect, and to settle after its end.
const CONNECT: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(90);

/// Pods of one run.
pub(crate) struct Podman {
    cli: Cli,
    prepared: Prepared,
    names: Names,
    image: String,
    archive: Option<PathBuf>,
    inject: Option<Inject>,
    service: Service,
    pods: Vec<Pod>,
    started: usize,
    fleet: Option<Child>,
    before: Vec<String>,
}

/// A running pod.
struct Pod {
    name: String,
    files: pod::Files,
}

impl Podman {
    /// Prepares a run; nothing is there yet that would have to be removed but files.
    pub(crate) async fn new(wanted: &Wanted, archive: Option<PathBuf>) -> Result<Self> {
        let prepared = prepare(wanted)?;
        let cli = Cli::new(prepared.folder.path())?;
        let (path, port) = prepared.readiness()?;
        Ok(Self {
            cli,
            names: Names::new(),
            image: wanted.image.clone(),
            archive,
            inject: wanted.inject,
            service: Service::open(path, port).await?,
            pods: Vec::new(),
            started: 0,
            fleet: None,
            before: Vec::new(),
            prepared,
        })
    }

    /// Starts a pod and waits until it is ready.
    async fn start(&self, number: usize) -> Result<Pod> {
        let name = self.names.pod(number);
        let files = pod::write(&self.prepared, &self.names, &name, &self.image)?;
        let play = files.manifest.to_string_lossy();
        self.cli.run(&["kube", "play", "--network", &self.names.network(), &play]).await?;
        let infra = self.cli.run(&["pod", "inspect", &name, "--format", "{{.InfraContainerID}}"]).await?;
        let format = format!("{{{{(index .NetworkSettings.Networks {:?}).IPAddress}}}}", self.names.network());
        let address = self.cli.run(&["inspect", &infra, "--format", &format]).await?;
        self.service.add(&name, address.parse().with_context(|| format!("{name} has no address: `{address}`"))?);
        let pod = Pod { name, files };
        if timeout(START, self.service.ready(&pod.name)).await.is_err() {
            let log = self.cli.output(&["logs", &pod.files.container]).await.unwrap_or_default();
            bail!("{} was not ready within {START:?}: {log}", pod.name);
        }
        Ok(pod)
    }

    /// Stops a pod, kills it when its grace period is over, and collects what it leaves behind.
    ///
    /// The container is stopped rather than the pod: podman would take the pod's network away at once, a kubelet does so last.
    async fn stop(&self, pod: Pod) -> Result<PodEnd> {
        let (begun, requested) = (Instant::now(), Timestamp::now());
        let container = &pod.files.container;
        let grace = self.prepared.grace().as_secs().to_string();
        self.cli.run(&["stop", "--time", &grace, container]).await?;
        let took = begun.elapsed();
        let exit_code = self.cli.run(&["inspect", container, "--format", "{{.State.ExitCode}}"]).await?;
        let log = self.cli.output(&["logs", container]).await?;
        let mut end = PodEnd {
            exit_code: exit_code.parse().ok(),
            took,
            restarts: 0,
            termination_message: std::fs::read_to_string(&pod.files.termination_log)?.trim().to_owned(),
            log,
            notices: vec![("readiness false", self.service.unready_since(&pod.name, requested))],
            first_close: None,
            pod: pod.name,
        };
        let first_close = end.lines().find(|line| message(line) == CLOSING);
        end.first_close = first_close.and_then(|line| line["timestamp"].as_str()?.parse().ok());
        self.service.remove(&end.pod);
        self.remove(&end.pod, &pod.files).await?;
        Ok(end)
    }

    async fn remove(&self, name: &str, files: &pod::Files) -> Result<()> {
        self.cli.run(&["pod", "rm", "--force", name]).await?;
        for volume in &files.volumes {
            self.cli.run(&["volume", "rm", volume]).await?;
        }
        Ok(())
    }

    /// Replaces a pod in the order that the Deployment's strategy asks for.
    async fn replace(&mut self, old: Pod) -> Result<PodEnd> {
        let number = self.next();
        let (end, new) = if self.prepared.recreates() {
            let end = self.stop(old).await?;
            (end, self.start(number).await?)
        } else {
            tokio::try_join!(self.stop(old), self.start(number))?
        };
        self.pods.push(new);
        Ok(end)
    }

    fn next(&mut self) -> usize {
        self.started += 1;
        self.started
    }

    async fn start_all(&mut self) -> Result<()> {
        while self.pods.len() < self.prepared.replicas {
            let number = self.next();
            let pod = self.start(number).await?;
            self.pods.push(pod);
        }
        Ok(())
    }

    async fn end_pods(&mut self, scenario: Scenario) -> Result<Vec<PodEnd>> {
        let mut ends = Vec::new();
        match scenario {
            Scenario::Delete | Scenario::Stubborn => {
                let old = self.pods.remove(0);
                if self.inject == Some(Inject::Abort) {
                    self.service.abort(&old.name, 3);
                }
                ends.push(self.replace(old).await?);
            }
            Scenario::Rollout => {
                for old in std::mem::take(&mut self.pods) {
                    if self.prepared.recreates() {
                        ends.push(self.replace(old).await?);
                    } else {
                        // One more than there are to be, and the old one goes when the new one is ready.
                        let number = self.next();
                        let new = self.start(number).await?;
                        self.pods.push(new);
                        ends.push(self.stop(old).await?);
                    }
                }
            }
            Scenario::ScaleToZero => {
                let stopping = std::mem::take(&mut self.pods).into_iter().map(|pod| self.stop(pod));
                ends = futures_util::future::try_join_all(stopping).await?;
                self.start_all().await?;
            }
        }
        Ok(ends)
    }
}

impl Runtime for Podman {
    async fn deploy(&mut self) -> Result<usize> {
        self.before = self.cli.images().await?;
        if let Some(archive) = &self.archive {
            let loaded = self.cli.run(&["load", "--quiet", "--input", &archive.to_string_lossy()]).await?;
            let image = loaded.lines().find_map(|line| line.strip_prefix("Loaded image: "));
            self.image = image.with_context(|| format!("podman loaded no image: {loaded}"))?.to_owned();
        }
        self.cli.run(&["network", "create", "--disable-dns", &self.names.network()]).await?;
        for claim in pod::claims(&self.prepared) {
            // What `fsGroup` asks for in a cluster.
            let volume = self.names.object(&claim);
            self.cli.run(&["volume", "create", "--opt", "o=uid=65532,gid=65532", &volume]).await?;
        }
        pod::write_secrets(&self.prepared)?;
        for kind in pod::left_out(&self.prepared) {
            step(&format!("{kind}: left to a cluster"));
        }
        self.start_all().await?;
        Ok(self.pods.len())
    }

    fn grace(&self) -> Duration {
        self.prepared.grace()
    }

    async fn connect(&mut self, clients: Clients) -> Result<()> {
        let gateway = self.cli.gateway(&self.names.network()).await?;
        let secret = format!("{}:/run/secrets/jwt-secret:ro", self.prepared.jwt_secret().display());
        let mut command = self.cli.command(&["run", "--rm", "--name", &self.names.fleet()]);
        command
            .args(["--network", &self.names.network(), "--read-only", "--log-driver", "none", "--volume", &secret])
            .args(["--env", "CHATBOX_AUTH__JWT_SECRET_FILE=/run/secrets/jwt-secret", &self.image])
            .args(clients.arguments(&format!("ws://{gateway}:{}/chat", self.service.port())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut fleet = command.spawn().context("podman cannot be started")?;
        let lines = BufReader::new(fleet.stderr.take().context("its stderr is a pipe")?).lines();
        self.fleet = Some(fleet);
        timeout(CONNECT, watch(lines, clients.count)).await.with_context(|| format!("not within {CONNECT:?}"))?
    }

    async fn carry_out(&mut self, scenario: Scenario) -> Result<Ended> {
        let pods = self.end_pods(scenario).await?;
        let fleet = self.fleet.as_mut().context("there is no fleet")?;
        ensure!(fleet.try_wait()?.is_none(), "the fleet ended before the pods did");
        // `podman kube play` restarts no container before its pod is ready: `start` fails instead.
        Ok(Ended { pods, ..Ended::default() })
    }

    async fn disconnect(&mut self) -> Result<Fleet> {
        let mut fleet = self.fleet.take().context("there is no fleet")?;
        self.cli.run(&["kill", "--signal", "INT", &self.names.fleet()]).await?;
        let mut text = String::new();
        let mut stdout = fleet.stdout.take().context("its stdout is a pipe")?;
        let read = async {
            stdout.read_to_string(&mut text).await?;
            fleet.wait().await
        };
        timeout(SETTLE, read).await.with_context(|| format!("not within {SETTLE:?}"))??;
        serde_json::from_str(text.trim()).with_context(|| format!("not what `chatbox soak --json` prints: {text}"))
    }

    async fn describe(&mut self) -> String {
        let list = ["ps", "--all", "--format", "{{.PodName}} {{.Names}}: {{.Status}}"];
        let mut text =
            self.cli.output(&list).await.unwrap_or_else(|error| format!("no list of containers: {error:#}\n"));
        for Pod { name, files } in &self.pods {
            let log = self.cli.output(&["logs", "--tail", "20", &files.container]).await.unwrap_or_default();
            text.push_str(&format!("{name}:\n{log}"));
        }
        text
    }

    async fn clean_up(&mut self) -> Result<()> {
        self.fleet = None;
        self.service.close();
        self.cli.remove_all(&self.names, &self.before).await
    }
}

/// Reads a fleet's progress until all are connected; what comes later is read and thrown away.
async fn watch(mut lines: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>, clients: u32) -> Result<()> {
    let all = format!(" {clients}/{clients} connected");
    let mut last = String::new();
    while let Some(line) = lines.next_line().await? {
        if line.contains(&all) {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(());
        }
        last = line;
    }
    bail!("the fleet ended: {last}")
}
