//! The clients, as a Job in the cluster from the same image: no proxy that ends with a pod is on their way to it.

use super::state::{POLL, image_error};
use crate::observations::Fleet;
use crate::prepare::Prepared;
use crate::scenario::Clients;
use anyhow::{Context, Result, bail, ensure};
use futures_util::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, LogParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// How long the Job may take to run and its clients to connect, and to settle after its end.
const CONNECT: Duration = Duration::from_secs(180);
const SETTLE: Duration = Duration::from_secs(120);

/// A Job that runs clients. It ends, and prints its result, when it is deleted.
pub(super) fn job(prepared: &Prepared, name: &str, clients: Clients) -> Result<Job> {
    let spec = prepared.template().spec.as_ref().context("the pods have no spec")?;
    let container = spec.containers.first().context("the pods have no container")?;
    let job = json!({
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": "chatbox-smoke"}},
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": SETTLE.as_secs(),
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "securityContext": spec.security_context,
                    "containers": [{
                        "name": "soak",
                        "image": container.image,
                        "args": clients.arguments("ws://chatbox/chat"),
                        "env": [{"name": "CHATBOX_AUTH__JWT_SECRET_FILE", "value": "/run/secrets/chatbox/jwt-secret"}],
                        "securityContext": container.security_context,
                        "volumeMounts": [{"name": "jwt", "mountPath": "/run/secrets/chatbox", "readOnly": true}],
                    }],
                    "volumes": [{"name": "jwt", "secret": {"secretName": "chatbox-jwt"}}],
                },
            },
        },
    });
    Ok(serde_json::from_value(job)?)
}

/// A running Job.
pub(super) struct Running {
    jobs: Api<Job>,
    name: String,
    /// Ends with the log, and returns its last line.
    log: JoinHandle<Result<String>>,
}

impl Running {
    /// Returns when all clients are connected.
    pub(super) async fn start(client: Client, namespace: &str, job: &Job, clients: u32) -> Result<Self> {
        let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
        let name = jobs.create(&PostParams::default(), job).await?.name_any();
        let pods: Api<Pod> = Api::namespaced(client, namespace);
        let pod =
            timeout(CONNECT, started(&pods, &name)).await.with_context(|| format!("not within {CONNECT:?}"))??;
        let (connected, all) = oneshot::channel();
        let log = tokio::spawn(follow(pods, pod, format!(" {clients}/{clients} connected"), connected));
        let running = Self { jobs, name, log };
        if timeout(CONNECT, all).await.with_context(|| format!("not within {CONNECT:?}"))?.is_err() {
            bail!("the fleet ended: {}", running.log.await??);
        }
        Ok(running)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.log.is_finished()
    }

    /// Ends the clients, and returns what they found.
    pub(super) async fn stop(self) -> Result<Fleet> {
        self.jobs.delete(&self.name, &DeleteParams::background()).await?;
        let last = timeout(SETTLE, self.log).await.with_context(|| format!("not within {SETTLE:?}"))???;
        serde_json::from_str(&last).with_context(|| format!("not what `chatbox soak --json` prints: {last}"))
    }
}

/// Waits until the Job's container runs, and returns the name of its pod.
async fn started(pods: &Api<Pod>, job: &str) -> Result<String> {
    let begun = Instant::now();
    loop {
        let found = pods.list(&ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"))).await?;
        for pod in &found.items {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            if phase == Some("Running") {
                return Ok(pod.name_any());
            }
            if let Some(error) = image_error(pod) {
                bail!("an image is missing: {error}");
            }
            ensure!(phase != Some("Failed"), "the fleet failed at its start, after {:?}", begun.elapsed());
        }
        sleep(POLL).await;
    }
}

async fn follow(pods: Api<Pod>, pod: String, all: String, connected: oneshot::Sender<()>) -> Result<String> {
    let mut lines = pods.log_stream(&pod, &LogParams { follow: true, ..LogParams::default() }).await?.lines();
    let (mut last, mut connected) = (String::new(), Some(connected));
    while let Some(line) = lines.try_next().await? {
        if line.contains(&all)
            && let Some(connected) = connected.take()
        {
            // The receiver may have been dropped.
            let _ = connected.send(());
        }
        last = line;
    }
    Ok(last)
}
