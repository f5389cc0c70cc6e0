//! The manifests in `deploy/k8s`: rendered, and checked against the types of the Kubernetes API.

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the checkout.
///
/// # Panics
/// Never: this package lies two folders below it.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this package lies two folders below the root")
}

/// The folder of an overlay, by its name.
#[must_use]
pub fn overlay(name: &str) -> PathBuf {
    root().join("deploy/k8s/overlays").join(name)
}

/// The program that renders: `kubectl kustomize` or `kustomize build`, whichever is there.
#[must_use]
pub fn kustomize() -> Option<Command> {
    let is_there = |name: &str| Command::new(name).arg("version").arg("--help").output().is_ok();
    let mut command = [("kubectl", "kustomize"), ("kustomize", "build")].into_iter().filter(|(name, _)| is_there(name));
    command.next().map(|(name, verb)| {
        let mut command = Command::new(name);
        command.arg(verb);
        command
    })
}

/// Everything that the kustomization in a folder renders to.
///
/// # Errors
/// When nothing here can render, or the kustomization does not; the text is the renderer's own.
pub fn render(folder: &Path) -> Result<Vec<Value>> {
    let mut command = kustomize().context("neither kubectl nor kustomize is here, which render the manifests")?;
    let output = command.arg(folder).output()?;
    ensure!(output.status.success(), "{}: {}", folder.display(), String::from_utf8_lossy(&output.stderr).trim());
    let mut objects = documents(&String::from_utf8(output.stdout)?)?;
    objects.iter_mut().for_each(join_lines);
    Ok(objects)
}

/// Long values of a Secret are broken over lines by kustomize, which the API server takes and its types do not.
fn join_lines(object: &mut Value) {
    if object["kind"] == "Secret"
        && let Some(data) = object["data"].as_object_mut()
    {
        for value in data.values_mut().filter(|value| value.is_string()) {
            *value = value.as_str().unwrap_or_default().replace('\n', "").into();
        }
    }
}

/// The documents of a YAML file.
///
/// # Errors
/// When it is not YAML.
pub fn documents(yaml: &str) -> Result<Vec<Value>> {
    Ok(serde_saphyr::from_multiple(yaml)?)
}

/// Checks an object against the type that its `apiVersion` and `kind` name.
///
/// # Errors
/// When there is no such type, a value has the wrong type, or the type does not know a field: all of those are named.
pub fn check(object: &Value) -> Result<()> {
    let (version, kind) = (text(object, "apiVersion"), text(object, "kind"));
    let typed = match (version, kind) {
        ("apps/v1", "Deployment") => through::<Deployment>(object),
        ("apps/v1", "StatefulSet") => through::<StatefulSet>(object),
        ("autoscaling/v2", "HorizontalPodAutoscaler") => through::<HorizontalPodAutoscaler>(object),
        ("batch/v1", "Job") => through::<Job>(object),
        ("networking.k8s.io/v1", "NetworkPolicy") => through::<NetworkPolicy>(object),
        ("policy/v1", "PodDisruptionBudget") => through::<PodDisruptionBudget>(object),
        ("v1", "ConfigMap") => through::<ConfigMap>(object),
        ("v1", "PersistentVolumeClaim") => through::<PersistentVolumeClaim>(object),
        ("v1", "Pod") => through::<Pod>(object),
        ("v1", "Secret") => through::<Secret>(object),
        ("v1", "Service") => through::<Service>(object),
        _ => bail!("there is no type for {kind} of {version}"),
    };
    let typed = typed.with_context(|| format!("{kind} {}", name(object)))?;
    let mut lost = Vec::new();
    find_lost(object, &typed, "", &mut lost);
    ensure!(lost.is_empty(), "{kind} {}: the API does not know {}", name(object), lost.join(", "));
    Ok(())
}

/// The object of this kind; there must be exactly one.
///
/// # Errors
/// When there is none, or more than one, or it is not as the API has it.
pub fn one<T: DeserializeOwned>(objects: &[Value], kind: &str) -> Result<T> {
    let mut found = objects.iter().filter(|object| text(object, "kind") == kind);
    let object = found.next().with_context(|| format!("there is no {kind}"))?;
    ensure!(found.next().is_none(), "there is more than one {kind}");
    Ok(serde_json::from_value(object.clone())?)
}

/// The text of a field, empty if there is none.
#[must_use]
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

fn name(object: &Value) -> &str {
    text(&object["metadata"], "name")
}

fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value> {
    Ok(serde_json::to_value(serde_json::from_value::<T>(object.clone())?)?)
}

/// The paths of everything in `source` that is not the same in `typed`. A `null` says the same as nothing at all.
fn find_lost(source: &Value, typed: &Value, path: &str, lost: &mut Vec<String>) {
    match (source, typed) {
        (Value::Object(source), Value::Object(typed)) => {
            for (key, value) in source.iter().filter(|(_, value)| !value.is_null()) {
                let path = format!("{path}.{key}");
                match typed.get(key) {
                    Some(typed) => find_lost(value, typed, &path, lost),
                    None => lost.push(path),
                }
            }
        }
        (Value::Array(source), Value::Array(typed)) if source.len() == typed.len() => {
            for (index, (source, typed)) in source.iter().zip(typed).enumerate() {
                find_lost(source, typed, &format!("{path}[{index}]"), lost);
            }
        }
        _ if source == typed => {}
        _ => lost.push(path.to_owned()),
    }
}
