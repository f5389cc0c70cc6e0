//! Watches one pod to its end. All times are those at which an event arrived here: one clock, whatever those of the nodes say.

use super::state::{POLL, is_ending, is_ready, restarts};
use crate::assertions::CLOSING;
use crate::observations::{PodEnd, message};
use anyhow::{Context, Result, bail};
use futures_util::{AsyncBufReadExt, StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, LogParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Time for the log's last lines to arrive once the pod is gone.
const LAST_LINES: Duration = Duration::from_secs(10);

/// Follows a pod's object, its log and its place in the Service.
pub(super) struct PodWatcher {
    pod: String,
    life: JoinHandle<Result<Life>>,
    log: JoinHandle<Result<(String, Option<Timestamp>)>>,
    endpoints: JoinHandle<Result<Timestamp>>,
}

/// What the events of the pod's object show.
#[derive(Default)]
struct Life {
    deleted: Option<Instant>,
    unready: Option<Timestamp>,
    ended: Option<(Instant, ContainerStateTerminated)>,
    restarts: i32,
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

    /// Waits for the pod's end, and returns what was observed.
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
            took: life.deleted.zip(ended).map(|(deleted, ended)| ended - deleted).unwrap_or_default(),
            restarts: life.restarts,
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
///
/// The API server ends every watch after some minutes. The next one begins at the resource version of the last event; where the server has
/// forgotten that one (410 Gone), at the version of the object as it is now.
async fn watch(pods: Api<Pod>, name: String, mut version: String) -> Result<Life> {
    const GONE: u16 = 410;
    let only = WatchParams::default().fields(&format!("metadata.name={name}"));
    let mut life = Life::default();
    loop {
        let mut events = pods.watch(&only, &version).await?.boxed();
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(pod) | WatchEvent::Modified(pod) => {
                    life.take(&pod);
                    version = pod.resource_version().unwrap_or(version);
                }
                WatchEvent::Deleted(pod) => {
                    life.take(&pod);
                    return Ok(life);
                }
                WatchEvent::Bookmark(bookmark) => version = bookmark.metadata.resource_version,
                WatchEvent::Error(status) if status.code == GONE => {
                    let Some(pod) = pods.get_opt(&name).await? else { return Ok(life) };
                    life.take(&pod);
                    version = pod.resource_version().context("the pod has no version")?;
                    break;
                }
                WatchEvent::Error(status) => bail!("{name} cannot be watched: {}", status.message),
            }
        }
        sleep(POLL).await;
    }
}

impl Life {
    fn take(&mut self, pod: &Pod) {
        if is_ending(pod) {
            self.deleted.get_or_insert_with(Instant::now);
        }
        self.restarts = restarts(pod);
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

/// Waits until the Service sends no new connections to the pod.
async fn leave(slices: Api<EndpointSlice>, pod: String) -> Result<Timestamp> {
    while endpoints(&slices).await?.contains(&pod) {
        sleep(POLL).await;
    }
    Ok(Timestamp::now())
}

/// The names of the pods to which the Service sends new connections.
pub(super) async fn endpoints(slices: &Api<EndpointSlice>) -> Result<BTreeSet<String>> {
    let of_the_service = ListParams::default().labels("kubernetes.io/service-name=chatbox");
    let slices = slices.list(&of_the_service).await?;
    let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints.into_iter().flatten());
    let ready = endpoints.filter(|endpoint| {
        // Unknown means ready.
        endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false)
    });
    Ok(ready.filter_map(|endpoint| endpoint.target_ref?.name).collect())
}
