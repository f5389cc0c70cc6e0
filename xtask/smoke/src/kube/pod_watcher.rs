//! Watching one pod to its end. All times are those at which news arrived here: one clock, whatever those of the nodes say.

use crate::assertions::CLOSING;
use crate::observations::{PodEnd, message};
use anyhow::{Context, Result, bail};
use futures_util::{AsyncBufReadExt, StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, LogParams, WatchEvent, WatchParams};
use kube::{Api, Client, Resource};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Time for the log's last lines to arrive once the pod is gone.
const LAST_LINES: Duration = Duration::from_secs(10);

/// Whether a pod's condition says that it is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Sees what becomes of a pod.
pub(super) struct PodWatcher {
    pod: String,
    life: JoinHandle<Result<Life>>,
    log: JoinHandle<Result<(String, Option<Timestamp>)>>,
    endpoints: JoinHandle<Result<Timestamp>>,
}

/// What the pod's own object tells.
#[derive(Default)]
struct Life {
    told: Option<Instant>,
    unready: Option<Timestamp>,
    ended: Option<(Instant, ContainerStateTerminated)>,
}

impl PodWatcher {
    /// Begins to watch.
    pub(super) async fn begin(client: Client, namespace: &str, pod: &str) -> Result<Self> {
        let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
        let version = pods.get(pod).await?.metadata.resource_version.context("the pod has no version")?;
        Ok(Self {
            pod: pod.to_owned(),
            life: tokio::spawn(watch(pods.clone(), pod.to_owned(), version)),
            log: tokio::spawn(follow(pods, pod.to_owned())),
            endpoints: tokio::spawn(leave(Api::namespaced(client, namespace), pod.to_owned())),
        })
    }

    /// Waits for the pod's end, and tells what was seen.
    pub(super) async fn report(self, bound: Duration) -> Result<PodEnd> {
        let life = timeout(bound, self.life)
            .await
            .with_context(|| format!("{} did not end within {bound:?}", self.pod))???;
        let (log, first_close) = timeout(LAST_LINES, self.log).await.context("its log does not end")???;
        let left = if self.endpoints.is_finished() { Some(self.endpoints.await??) } else { None };
        let (ended, terminated) = life.ended.unzip();
        Ok(PodEnd {
            pod: self.pod,
            exit_code: terminated.as_ref().map(|terminated| terminated.exit_code.into()),
            took: life.told.zip(ended).map(|(told, ended)| ended - told).unwrap_or_default(),
            termination_message: terminated
                .and_then(|terminated| terminated.message)
                .unwrap_or_default()
                .trim()
                .to_owned(),
            log,
            notices: vec![("readiness false", life.unready), ("out of its EndpointSlice", left)],
            first_close,
        })
    }
}

/// Follows the pod's object until it is gone.
async fn watch(pods: Api<Pod>, name: String, version: String) -> Result<Life> {
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut events = pods.watch(&only, &version).await?.boxed();
    let mut life = Life::default();
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => life.take(&pod),
            WatchEvent::Deleted(pod) => {
                life.take(&pod);
                return Ok(life);
            }
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => bail!("{name} cannot be watched: {}", status.message),
        }
    }
    bail!("the watch of {name} ended before the pod did")
}

impl Life {
    fn take(&mut self, pod: &Pod) {
        if pod.meta().deletion_timestamp.is_some() {
            self.told.get_or_insert_with(Instant::now);
        }
        if !is_ready(pod) {
            self.unready.get_or_insert_with(Timestamp::now);
        }
        let containers = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let terminated = containers.filter_map(|container| container.state.as_ref()?.terminated.clone()).next();
        if let (Some(terminated), None) = (terminated, &self.ended) {
            self.ended = Some((Instant::now(), terminated));
        }
    }
}

/// Follows the pod's log to its end, and notes when the first connection was closed.
async fn follow(pods: Api<Pod>, name: String) -> Result<(String, Option<Timestamp>)> {
    let mut lines = pods.log_stream(&name, &LogParams { follow: true, ..LogParams::default() }).await?.lines();
    let (mut log, mut first_close) = (String::new(), None);
    while let Some(line) = lines.try_next().await? {
        if first_close.is_none() && serde_json::from_str::<Value>(&line).is_ok_and(|line| message(&line) == CLOSING) {
            first_close = Some(Timestamp::now());
        }
        log.push_str(&line);
        log.push('\n');
    }
    Ok((log, first_close))
}

/// Waits until no EndpointSlice sends newcomers to the pod.
async fn leave(slices: Api<EndpointSlice>, pod: String) -> Result<Timestamp> {
    let of_the_service = ListParams::default().labels("kubernetes.io/service-name=chatbox");
    loop {
        let slices = slices.list(&of_the_service).await?;
        let endpoints = slices.items.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        let is_there = endpoints.into_iter().any(|endpoint| {
            let target = endpoint.target_ref.as_ref().and_then(|target| target.name.as_ref());
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
            // Unknown means ready.
            target == Some(&pod) && ready != Some(false)
        });
        if !is_there {
            return Ok(Timestamp::now());
        }
        sleep(super::LOOK).await;
    }
}
