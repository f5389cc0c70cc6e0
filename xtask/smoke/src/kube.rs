//! A cluster, through its API: a namespace of its own is made for the run and removed with everything in it.

mod fleet;
mod image;
mod pod_watcher;

use crate::flow::{Clients, Runtime, Scenario, step};
use crate::manifests::text;
use crate::observations::{Fleet, PodEnd};
use crate::prepare::{Inject, Prepared, Wanted, prepare};
use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

pub(crate) use image::Image;

/// Between two looks at something for which there is no event.
const LOOK: Duration = Duration::from_millis(250);

/// How long the replicas may take to be ready: images are pulled, and a MongoDB may have to start first.
const READY: Duration = Duration::from_secs(300);

/// How long the namespace may take to be empty.
const EMPTY: Duration = Duration::from_secs(180);

/// Who owns the fields that are applied.
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

    /// The replicas that are ready and there to stay.
    async fn ready(&self) -> Result<Vec<String>> {
        let pods = self.pods().list(&ListParams::default().labels("app.kubernetes.io/name=chatbox")).await?;
        let staying =
            pods.items.iter().filter(|pod| pod.meta().deletion_timestamp.is_none() && pod_watcher::is_ready(pod));
        Ok(staying.map(ResourceExt::name_any).collect())
    }

    async fn wait_until_ready(&self) -> Result<Vec<String>> {
        let (begun, wanted) = (Instant::now(), self.prepared.replicas);
        loop {
            let ready = self.ready().await?;
            if ready.len() == wanted {
                return Ok(ready);
            }
            ensure!(begun.elapsed() < READY, "{} of {wanted} replicas are ready after {READY:?}", ready.len());
            sleep(LOOK).await;
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
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": self.namespace}}))?;
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

    async fn connect(&mut self, clients: Clients, expected: Duration) -> Result<()> {
        self.fleets += 1;
        let name = format!("{MANAGER}-{}", self.fleets);
        let job = fleet::job(&self.prepared, &name, clients, expected)?;
        self.fleet = Some(fleet::Running::start(self.client.clone(), &self.namespace, &job, clients.count).await?);
        Ok(())
    }

    async fn carry_out(&mut self, scenario: Scenario) -> Result<Vec<PodEnd>> {
        let ready = self.wait_until_ready().await?;
        let ending = if scenario.ends_every_pod() { &ready[..] } else { &ready[..1] };
        let mut witnesses = Vec::new();
        for pod in ending {
            witnesses.push(pod_watcher::PodWatcher::begin(self.client.clone(), &self.namespace, pod).await?);
        }
        self.end_pods(scenario, &ready).await?;
        // In a rollout, the last one waits for all others.
        let bound = (self.grace() + READY) * (ending.len() as u32);
        let ends = try_join_all(witnesses.into_iter().map(|witness| witness.report(bound))).await?;
        if scenario == Scenario::ScaleToZero {
            self.scale(self.prepared.replicas).await?;
        }
        self.wait_until_ready().await?;
        if self.fleet.as_ref().is_none_or(fleet::Running::has_ended) {
            bail!("the fleet ended before the pods did");
        }
        Ok(ends)
    }

    async fn disconnect(&mut self) -> Result<Fleet> {
        self.fleet.take().context("there is no fleet")?.stop().await
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
            sleep(LOOK).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
