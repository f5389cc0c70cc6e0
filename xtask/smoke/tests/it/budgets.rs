//! The numbers in the manifests fit those of the program.

use crate::{program, read};
use chatbox_smoke::manifests::{documents, kustomize, one, overlay, render, root};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, PodSpec, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

/// The program's configuration under the file that the manifests mount, as `chatbox config` prints it.
fn configuration() -> BTreeMap<String, String> {
    let output = program()
        .arg("--config")
        .arg(root().join("deploy/k8s/base/chatbox.toml"))
        .arg("config")
        // In the place of the mounted one: any file will do.
        .env("CHATBOX_AUTH__JWT_SECRET_FILE", root().join("LICENSE-MIT"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let value = |line: &str| {
        let (key, rest) = line.split_once('=')?;
        let value = rest.split_once('#').map_or(rest, |(value, _)| value);
        Some((key.trim().to_owned(), value.trim().trim_matches('"').to_owned()))
    };
    text.lines().filter_map(value).collect()
}

fn seconds(configuration: &BTreeMap<String, String>, key: &str) -> i64 {
    let value = configuration.get(key).unwrap_or_else(|| panic!("{key} is not in {configuration:?}"));
    value.strip_suffix('s').and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{key} is {value}"))
}

fn pod() -> PodSpec {
    let objects = documents(&read("deploy/k8s/base/deployment.yaml")).unwrap();
    one::<Deployment>(&objects, "Deployment").unwrap().spec.template.spec.unwrap()
}

fn container() -> Container {
    let [container] = <[_; 1]>::try_from(pod().containers).unwrap();
    container
}

#[test]
fn the_grace_period_is_the_configured_one_and_longer_than_the_budgets() {
    let configuration = configuration();
    let grace = pod().termination_grace_period_seconds.unwrap();
    assert_eq!(grace, seconds(&configuration, "shutdown.grace"));
    let budgets: i64 =
        ["lame_duck", "drain", "flush"].iter().map(|key| seconds(&configuration, &format!("shutdown.{key}"))).sum();
    assert!(budgets < grace, "{budgets} s of budgets in {grace} s of grace");
}

#[test]
fn probes_ask_the_documented_routes_on_the_port_that_is_listened_on() {
    let (configuration, container) = (configuration(), container());
    let prefix = &configuration["path_prefix"];
    let port = container.ports.unwrap().into_iter().find(|port| port.name.as_deref() == Some("http")).unwrap();
    assert!(configuration["listen"].ends_with(&format!(":{}", port.container_port)));
    let path = |probe: Option<Probe>| {
        let get = probe.unwrap().http_get.unwrap();
        assert_eq!(get.port, IntOrString::String("http".to_owned()));
        get.path.unwrap()
    };
    assert_eq!(path(container.startup_probe), format!("{prefix}/healthz"));
    assert_eq!(path(container.liveness_probe), format!("{prefix}/healthz"));
    assert_eq!(path(container.readiness_probe), format!("{prefix}/readyz"));
    assert_eq!(container.termination_message_path.unwrap(), configuration["shutdown.termination_log"]);
}

/// A check behind `readyz` has two seconds, and load balancers should know before the drain begins.
#[test]
fn readiness_is_lost_within_the_lame_duck_and_not_by_one_slow_check() {
    let probe = container().readiness_probe.unwrap();
    assert!(probe.timeout_seconds.unwrap() > 2);
    let noticed = i64::from(probe.period_seconds.unwrap() * probe.failure_threshold.unwrap());
    assert!(noticed < seconds(&configuration(), "shutdown.lame_duck"), "{noticed} s");
}

#[test]
fn the_image_is_that_of_this_version() {
    if kustomize().is_none() {
        eprintln!("not run: neither kubectl nor kustomize is here");
        return;
    }
    let deployment: Deployment = one(&render(&overlay("prod")).unwrap(), "Deployment").unwrap();
    let image = deployment.spec.template.spec.unwrap().containers.remove(0).image.unwrap();
    assert_eq!(image, concat!("chatbox:", env!("CARGO_PKG_VERSION")));
}
