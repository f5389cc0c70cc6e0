//! The manifests of a run: an overlay of `deploy/k8s` with generated secrets, the image, and the faults that are injected.

use crate::manifests::{one, render, root};
use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{PodTemplateSpec, Probe};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Which overlay, from which image, and how it is broken.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) overlay: String,
    pub(crate) image: String,
    /// Where messages are stored, for the overlays that do not say so themselves.
    pub(crate) mongodb_url: Option<String>,
    pub(crate) inject: Option<Inject>,
}

/// Something that is broken on purpose, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Inject {
    /// A grace period that is shorter than the drain
    Grace,
    /// A readiness probe that does not fail when the shutdown begins
    Readyz,
    /// Connections that end without a Close
    Abort,
}

/// Rendered manifests, and the folder that they were rendered in.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) folder: TempDir,
    pub(crate) objects: Vec<Value>,
    pub(crate) deployment: Deployment,
    pub(crate) replicas: usize,
}

/// Renders the overlay that is wanted. The checkout is left as it is.
///
/// # Errors
/// When there is no such overlay, or nothing here that renders it.
pub(crate) fn prepare(wanted: &Wanted) -> Result<Prepared> {
    let folder = tempfile::Builder::new().prefix("chatbox-smoke-").tempdir()?;
    let manifests = folder.path().join("k8s");
    copy(&root().join("deploy/k8s"), &manifests)?;
    fs::write(manifests.join("secrets/jwt/jwt-secret"), secret())?;
    let mut resources = vec![format!("../overlays/{}", wanted.overlay), "../secrets/jwt".to_owned()];
    if let Some(url) = &wanted.mongodb_url {
        fs::write(manifests.join("secrets/mongodb/url"), url)?;
        resources.push("../secrets/mongodb".to_owned());
    }
    let (name, tag) = split_image(&wanted.image);
    let patches: Vec<Value> = wanted.inject.and_then(patch).into_iter().collect();
    let kustomization = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
        "images": [{"name": "chatbox", "newName": name, "newTag": tag}],
        "patches": patches,
    });
    let run = manifests.join("smoke");
    fs::create_dir(&run)?;
    // JSON is YAML.
    fs::write(run.join("kustomization.yaml"), kustomization.to_string())?;
    let objects = render(&run)?;
    let deployment: Deployment = one(&objects, "Deployment")?;
    // An autoscaler has the minimum where the Deployment has no number.
    let replicas = deployment.spec.replicas.or_else(|| {
        let autoscaler: HorizontalPodAutoscaler = one(&objects, "HorizontalPodAutoscaler").ok()?;
        autoscaler.spec.min_replicas
    });
    Ok(Prepared { folder, objects, deployment, replicas: usize::try_from(replicas.unwrap_or(1))? })
}

impl Prepared {
    /// The file that holds the key for users' tokens.
    pub(crate) fn jwt_secret(&self) -> PathBuf {
        self.folder.path().join("k8s/secrets/jwt/jwt-secret")
    }

    pub(crate) fn template(&self) -> &PodTemplateSpec {
        &self.deployment.spec.template
    }

    pub(crate) fn grace(&self) -> Duration {
        const DEFAULT: i64 = 30;
        let spec = self.template().spec.as_ref();
        let seconds = spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(DEFAULT);
        Duration::from_secs(seconds.unsigned_abs())
    }

    /// The readiness probe's path, and its port as a number.
    pub(crate) fn readiness(&self) -> Result<(String, u16)> {
        let spec = self.template().spec.as_ref().context("the pods have no spec")?;
        let container = spec.containers.first().context("the pods have no container")?;
        let get = container.readiness_probe.as_ref().and_then(|probe: &Probe| probe.http_get.as_ref());
        let get = get.context("there is no readiness probe over HTTP")?;
        let ports = container.ports.iter().flatten();
        let port = ports.filter(|port| port.name.as_deref() == Some("http")).map(|port| port.container_port).next();
        Ok((get.path.clone().unwrap_or_default(), u16::try_from(port.context("there is no port `http`")?)?))
    }

    /// Whether the old pods end before the new ones begin.
    pub(crate) fn recreates(&self) -> bool {
        let strategy = self.deployment.spec.strategy.as_ref();
        strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
    }
}

fn patch(inject: Inject) -> Option<Value> {
    let container = |field: Value| json!({"containers": [{"name": "chatbox", "readinessProbe": field}]});
    let spec = match inject {
        // The lame duck alone is longer.
        Inject::Grace => json!({"terminationGracePeriodSeconds": 3}),
        Inject::Readyz => container(json!({"httpGet": {"path": "/chat/healthz", "port": "http"}})),
        Inject::Abort => return None,
    };
    let patch = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "chatbox"},
        "spec": {"template": {"spec": spec}},
    });
    Some(json!({"patch": patch.to_string()}))
}

/// Everything in a folder that git would track: no secret that was made there.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "toml") {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

fn secret() -> String {
    rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `registry:5000/name:tag` in two; the tag is `latest` where there is none.
fn split_image(image: &str) -> (&str, &str) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Inject, Wanted, prepare, split_image};
    use crate::manifests::{check, kustomize};
    use std::time::Duration;

    fn wanted(overlay: &str, inject: Option<Inject>) -> Wanted {
        let mongodb_url = (overlay != "dev").then(|| "mongodb://db".to_owned());
        Wanted { overlay: overlay.to_owned(), image: "registry:5000/chat:9".to_owned(), mongodb_url, inject }
    }

    #[test]
    fn a_run_is_the_overlay_with_secrets_and_the_image() {
        if kustomize().is_none() {
            eprintln!("not run: neither kubectl nor kustomize is here");
            return;
        }
        let prepared = prepare(&wanted("prod", None)).unwrap();
        for object in &prepared.objects {
            check(object).unwrap();
        }
        assert_eq!(prepared.objects.iter().filter(|object| object["kind"] == "Secret").count(), 2);
        let container = &prepared.template().spec.as_ref().unwrap().containers[0];
        assert_eq!(container.image.as_deref(), Some("registry:5000/chat:9"));
        assert_eq!((prepared.replicas, prepared.recreates()), (3, false));
        assert_eq!(prepared.grace(), Duration::from_secs(30));
        assert_eq!(prepared.readiness().unwrap(), ("/chat/readyz".to_owned(), 8080));

        let dev = prepare(&wanted("dev", None)).unwrap();
        assert_eq!((dev.replicas, dev.recreates()), (1, true));
    }

    #[test]
    fn what_is_broken_on_purpose_is_broken_in_the_manifests() {
        if kustomize().is_none() {
            eprintln!("not run: neither kubectl nor kustomize is here");
            return;
        }
        assert_eq!(prepare(&wanted("dev", Some(Inject::Grace))).unwrap().grace(), Duration::from_secs(3));
        assert_eq!(prepare(&wanted("dev", Some(Inject::Readyz))).unwrap().readiness().unwrap().0, "/chat/healthz");
    }

    #[test]
    fn an_image_has_a_tag_or_a_port_or_both() {
        assert_eq!(split_image("chatbox:1"), ("chatbox", "1"));
        assert_eq!(split_image("registry:5000/chatbox"), ("registry:5000/chatbox", "latest"));
        assert_eq!(split_image("registry:5000/chatbox:1"), ("registry:5000/chatbox", "1"));
    }
}
