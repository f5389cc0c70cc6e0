//! A cluster, through its API. A run has a namespace of its own, which is removed with everything in it.

mod fleet;
mod image;
mod pod_watcher;
mod state;

use crate::flow::{Runtime, step};
use crate::manifests::text;
use crate::observations::{Ended, Fleet};
use crate::prepare::{Inject, Prepared, Wanted, prepare};
use crate::scenario::{Clients, Scenario};
use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use state::POLL;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::time::sleep;

pub(crate) use image::Image;

/// How long the replicas may take to be ready: images are pulled, and a MongoDB may have to start first.
const READY: Duration = Duration::from_secs(300);

/// From the moment when a replica is in its EndpointSlice to the one when every node sends connections to it.
const REACHABLE: Duration = Duration::from_secs(1);

/// How long the namespace may take to be empty.
const EMPTY: Duration = Duration::from_secs(180);

/// The owner of the fields that are applied.
const MANAGER: &str = "chatbox-smoke";

/// Pods of one run.
pub(crate) struct Kube {
    client: Client,
    namespace: String,
    prepared: Prepared,
    image: Image,
    inject: Option<Inject>,
    fleet: Option<fleet::Running>,
    fleets: usize,
}

impl Kube {
    /// Prepares a run; nothing is in the cluster yet.
    pub(crate) fn new(client: Client, wanted: &Wanted, image: Image, namespace: Option<String>) -> Result<Self> {
        Ok(Self {
            client,
            namespace: namespace.unwrap_or_else(|| format!("chatbox-smoke-{}", std::process::id())),
            prepared: prepare(wanted)?,
            image,
            inject: wanted.inject,
            fleet: None,
            fleets: 0,
        })
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn apply(&self, object: &Value) -> Result<()> {
        let (group, version) = match text(object, "apiVersion").split_once('/') {
            Some((group, version)) => (group, version),
            None => ("", text(object, "apiVersion")),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text(object, "kind")));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let name = text(&object["metadata"], "name");
        let applied = api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await;
        applied.with_context(|| format!("{} {name}", resource.kind))?;
        Ok(())
    }

    /// The replicas, without those that are being deleted.
    async fn replicas(&self) -> Result<Vec<Pod>> {
        let pods = self.pods().list(&ListParams::default().labels("app.kubernetes.io/name=chatbox")).await?;
        Ok(pods.items.into_iter().filter(|pod| !state::is_ending(pod)).collect())
    }

    /// Returns when as many replicas as wanted are ready and the Service sends connections to each, with their names.
    async fn wait_until_ready(&self) -> Result<Vec<String>> {
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &self.namespace);
        let (begun, wanted) = (Instant::now(), self.prepared.replicas);
        loop {
            let replicas = self.replicas().await?;
            if let Some(error) = replicas.iter().find_map(state::image_error) {
                bail!("an image is missing: {error}");
            }
            let ready: BTreeSet<String> =
                replicas.iter().filter(|pod| state::is_ready(pod)).map(ResourceExt::name_any).collect();
            let reachable = pod_watcher::endpoints(&slices).await?;
            if ready.len() == wanted && ready.is_subset(&reachable) {
                sleep(REACHABLE).await;
                return Ok(ready.into_iter().collect());
            }
            let reachable = ready.intersection(&reachable).count();
            ensure!(
                begun.elapsed() < READY,
                "of {wanted} replicas, {} are ready and {reachable} reachable after {READY:?}",
                ready.len()
            );
            sleep(POLL).await;
        }
    }

    async fn scale(&self, replicas: usize) -> Result<()> {
        let patch = json!({"spec": {"replicas": replicas}});
        let name = self.prepared.deployment.name_any();
        self.deployments().patch_scale(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// What `kubectl rollout restart` does.
    async fn roll(&self) -> Result<()> {
        let now = Timestamp::now().to_string();
        let annotations = json!({"kubectl.kubernetes.io/restartedAt": now});
        let patch = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        let name = self.prepared.deployment.name_any();
        self.deployments().patch(&name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
        Ok(())
    }

    async fn end_pods(&self, scenario: Scenario, ready: &[String]) -> Result<()> {
        match scenario {
            Scenario::Delete | Scenario::Stubborn => {
                let mut how = DeleteParams::default();
                if self.inject == Some(Inject::Abort) {
                    how = how.grace_period(1);
                }
                self.pods().delete(&ready[0], &how).await?;
                Ok(())
            }
            Scenario::Rollout => self.roll().await,
            Scenario::ScaleToZero => self.scale(0).await,
        }
    }
}

impl Runtime for Kube {
    async fn deploy(&mut self) -> Result<usize> {
        self.image.load().await?;
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {
            "name": self.namespace,
            // As strict as the strictest cluster: what the manifests ask for has to be allowed there.
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        }}))?;
        Api::<Namespace>::all(self.client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("the namespace {} cannot be made", self.namespace))?;
        for object in &self.prepared.objects {
            self.apply(object).await?;
        }
        Ok(self.wait_until_ready().await?.len())
    }

    fn grace(&self) -> Duration {
        self.prepared.grace()
    }

    async fn connect(&mut self, clients: Clients) -> Result<()> {
        self.fleets += 1;
        let name = format!("{MANAGER}-{}", self.fleets);
        let job = fleet::job(&self.prepared, &name, clients)?;
        self.fleet = Some(fleet::Running::start(self.client.clone(), &self.namespace, &job, clients.count).await?);
        Ok(())
    }

    async fn carry_out(&mut self, scenario: Scenario) -> Result<Ended> {
        let ready = self.wait_until_ready().await?;
        let ending = if scenario.ends_every_pod() { &ready[..] } else { &ready[..1] };
        let mut watchers = Vec::new();
        for pod in ending {
            watchers.push(pod_watcher::PodWatcher::begin(self.client.clone(), &self.namespace, pod).await?);
        }
        self.end_pods(scenario, &ready).await?;
        // In a rollout, the last one waits for all others.
        let bound = (self.grace() + READY) * (ending.len() as u32);
        let pods = try_join_all(watchers.into_iter().map(|watcher| watcher.report(bound))).await?;
        if scenario == Scenario::ScaleToZero {
            self.scale(self.prepared.replicas).await?;
        }
        self.wait_until_ready().await?;
        if self.fleet.as_ref().is_none_or(fleet::Running::has_ended) {
            bail!("the clients ended before the pods did");
        }
        let counts = self.replicas().await?.into_iter().map(|pod| (pod.name_any(), state::restarts(&pod)));
        let counts = counts.chain(pods.iter().map(|end| (end.pod.clone(), end.restarts)));
        let restarts = counts.filter(|(_, count)| *count > 0).collect();
        Ok(Ended { pods, restarts })
    }

    async fn disconnect(&mut self) -> Result<Fleet> {
        self.fleet.take().context("there is no fleet")?.stop().await
    }

    async fn describe(&mut self) -> String {
        let mut lines = Vec::new();
        match self.pods().list(&ListParams::default()).await {
            Ok(pods) => lines.extend(pods.items.iter().map(state::describe)),
            Err(error) => lines.push(format!("no list of pods: {error}")),
        }
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        match events.list(&ListParams::default()).await {
            Ok(events) => lines.extend(events.items.iter().filter_map(state::warning)),
            Err(error) => lines.push(format!("no list of events: {error}")),
        }
        lines.into_iter().map(|line| line + "\n").collect()
    }

    async fn clean_up(&mut self) -> Result<()> {
        self.fleet = None;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        match namespaces.delete(&self.namespace, &DeleteParams::background()).await {
            Ok(_) => {}
            // It was never made.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        step(&format!("waiting for the namespace {} to be gone", self.namespace));
        let begun = Instant::now();
        while namespaces.get_opt(&self.namespace).await?.is_some() {
            ensure!(begun.elapsed() < EMPTY, "the namespace {} is still there after {EMPTY:?}", self.namespace);
            sleep(POLL).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
