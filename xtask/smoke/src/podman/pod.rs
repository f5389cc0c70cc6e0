//! One replica of the Deployment as a manifest that podman plays: the template as it was rendered, but for what podman does not do.

use crate::prepare::Prepared;
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{HostPathVolumeSource, Pod, Secret, Volume, VolumeMount};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Names that begin alike for everything that a run makes, and that no other run has.
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub(super) fn new() -> Self {
        Self { prefix: format!("chatbox-smoke-{}", std::process::id()) }
    }

    pub(super) fn pod(&self, number: usize) -> String {
        format!("{}-{number}", self.prefix)
    }

    pub(super) fn network(&self) -> String {
        self.prefix.clone()
    }

    pub(super) fn fleet(&self) -> String {
        format!("{}-fleet", self.prefix)
    }

    /// For what outlives pods.
    pub(super) fn object(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub(super) fn is_ours(&self, name: &str) -> bool {
        name == self.prefix || name.starts_with(&format!("{}-", self.prefix))
    }
}

/// What belongs to one pod.
pub(super) struct Files {
    pub(super) manifest: PathBuf,
    pub(super) termination_log: PathBuf,
    /// The name that podman gives the pod's container.
    pub(super) container: String,
    /// Podman's copies of the pod's configuration.
    pub(super) volumes: Vec<String>,
}

/// The volumes that the manifests claim.
pub(super) fn claims(prepared: &Prepared) -> Vec<String> {
    let claims = prepared.objects.iter().filter(|object| object["kind"] == "PersistentVolumeClaim");
    claims.filter_map(|claim| Some(claim["metadata"]["name"].as_str()?.to_owned())).collect()
}

/// The kinds that only a cluster knows what to do with.
pub(super) fn left_out(prepared: &Prepared) -> Vec<&str> {
    const PLAYED: [&str; 4] = ["Deployment", "ConfigMap", "Secret", "PersistentVolumeClaim"];
    let kinds = prepared.objects.iter().filter_map(|object| object["kind"].as_str());
    kinds.filter(|kind| !PLAYED.contains(kind)).collect()
}

/// Writes the secrets as the files that they are for pods. Podman 4.3 would mount them still encoded.
pub(super) fn write_secrets(prepared: &Prepared) -> Result<()> {
    for object in prepared.objects.iter().filter(|object| object["kind"] == "Secret") {
        let secret: Secret = serde_json::from_value(object.clone())?;
        let folder = prepared.folder.path().join(secret.metadata.name.context("a secret has a name")?);
        fs::create_dir(&folder)?;
        for (key, value) in secret.data.into_iter().flatten() {
            fs::write(folder.join(key), value.0)?;
        }
    }
    Ok(())
}

/// Writes the manifest of one replica, and the file for its termination message.
pub(super) fn write(prepared: &Prepared, names: &Names, name: &str, image: &str) -> Result<Files> {
    let folder = prepared.folder.path();
    let termination_log = folder.join(format!("{name}.termination-log"));
    fs::write(&termination_log, "")?;
    // The program runs under an id that this machine has no user for.
    fs::set_permissions(&termination_log, fs::Permissions::from_mode(0o666))?;

    let pod = pod(prepared, names, name, image, &termination_log)?;
    let container = format!("{name}-{}", pod.spec.as_ref().context("the pod has a spec")?.containers[0].name);
    let (mut documents, mut volumes) = (Vec::new(), Vec::new());
    for object in prepared.objects.iter().filter(|object| object["kind"] == "ConfigMap") {
        // Podman keeps it by its name, for all pods of the machine.
        let mut object = object.clone();
        let own = format!("{name}-{}", object["metadata"]["name"].as_str().unwrap_or_default());
        object["metadata"]["name"] = json!(own);
        documents.push(object);
        volumes.push(own);
    }
    documents.push(serde_json::to_value(&pod)?);
    let manifest = folder.join(format!("{name}.yaml"));
    // JSON is YAML.
    let documents: Vec<String> = documents.iter().map(Value::to_string).collect();
    fs::write(&manifest, documents.join("\n---\n"))?;
    Ok(Files { manifest, termination_log, container, volumes })
}

fn pod(prepared: &Prepared, names: &Names, name: &str, image: &str, termination_log: &Path) -> Result<Pod> {
    let template = prepared.template().clone();
    let mut metadata = template.metadata.unwrap_or_default();
    metadata.name = Some(name.to_owned());
    let mut spec = template.spec.context("the template has a spec")?;
    // A container that ended is not restarted by podman: replacing pods is done here.
    spec.restart_policy = Some("Never".to_owned());
    for volume in spec.volumes.iter_mut().flatten() {
        if let Some(map) = &mut volume.config_map {
            map.name = format!("{name}-{}", map.name);
        }
        if let Some(secret) = volume.secret.take().and_then(|secret| secret.secret_name) {
            volume.host_path = Some(host_path(&prepared.folder.path().join(secret), "Directory"));
        }
        if let Some(claim) = &mut volume.persistent_volume_claim {
            claim.claim_name = names.object(&claim.claim_name);
        }
    }
    let container = spec.containers.first_mut().context("the pod has a container")?;
    container.image = Some(image.to_owned());
    container.image_pull_policy = Some("Never".to_owned());
    // Podman would publish them all on this machine.
    container.ports = None;
    // Podman would run these with tools that the image does not have; they are asked from outside.
    (container.startup_probe, container.liveness_probe, container.readiness_probe) = (None, None, None);
    // Podman knows no termination message: a file of ours is mounted where the manifest says it is written to.
    let path = container.termination_message_path.clone().context("it says where its termination message is")?;
    container.volume_mounts.get_or_insert_default().push(VolumeMount {
        name: "termination-log".to_owned(),
        mount_path: path,
        ..VolumeMount::default()
    });
    spec.volumes.get_or_insert_default().push(Volume {
        name: "termination-log".to_owned(),
        host_path: Some(host_path(termination_log, "File")),
        ..Volume::default()
    });
    Ok(Pod { metadata, spec: Some(spec), status: None })
}

fn host_path(path: &Path, kind: &str) -> HostPathVolumeSource {
    HostPathVolumeSource { path: path.to_string_lossy().into_owned(), type_: Some(kind.to_owned()) }
}
