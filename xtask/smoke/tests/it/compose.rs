//! `deploy/compose.yaml`: an engine accepts it, and the program accepts the configuration in it.

use crate::{program, read};
use chatbox_smoke::manifests::root;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A compose file, as far as ours goes: a field that the specification does not have is not here either.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Compose {
    #[serde(rename = "name")]
    _name: String,
    services: BTreeMap<String, Service>,
    volumes: BTreeMap<String, Volume>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    image: String,
    build: Option<Build>,
    #[serde(rename = "command")]
    _command: Option<Vec<String>>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    ports: Vec<String>,
    #[serde(default)]
    depends_on: BTreeMap<String, Dependency>,
    healthcheck: Option<Healthcheck>,
    stop_grace_period: Option<String>,
    #[serde(rename = "restart")]
    _restart: Option<Restart>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    cap_drop: Vec<String>,
    #[serde(default)]
    security_opt: Vec<String>,
    #[serde(default)]
    volumes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Build {
    context: String,
    dockerfile: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dependency {
    condition: Condition,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Condition {
    ServiceStarted,
    ServiceHealthy,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Restart {
    UnlessStopped,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Healthcheck {
    test: Vec<String>,
    #[serde(rename = "interval")]
    _interval: String,
    #[serde(rename = "timeout")]
    _timeout: String,
    #[serde(rename = "start_period")]
    _start_period: Option<String>,
    #[serde(rename = "retries")]
    _retries: Option<u32>,
}

/// A volume of the engine's own, about which nothing is said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Volume {}

fn parse(yaml: &str) -> Result<Compose, String> {
    let value: Value = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn compose() -> Compose {
    parse(&read("deploy/compose.yaml")).unwrap()
}

#[test]
fn it_runs_this_version_as_the_manifests_do() {
    let compose = compose();
    let chatbox = &compose.services["chatbox"];
    assert_eq!(chatbox.image, concat!("chatbox:", env!("CARGO_PKG_VERSION")));
    assert_eq!(chatbox.stop_grace_period.as_deref(), Some("30s"));
    assert!(chatbox.read_only);
    assert_eq!((&*chatbox.cap_drop, &*chatbox.security_opt), (&["ALL".into()][..], &["no-new-privileges".into()][..]));
    assert_eq!(compose.services.keys().collect::<Vec<_>>(), ["chatbox", "mongodb", "prometheus"]);
}

#[test]
fn a_misspelt_field_is_found_wherever_it_is() {
    let good = read("deploy/compose.yaml");
    for (right, wrong) in [
        ("stop_grace_period:", "stop_grace_perod:"),
        ("condition:", "conditions:"),
        ("service_healthy", "service_helthy"),
        ("start_period:", "start_time:"),
        ("unless-stopped", "unless_stopped"),
        ("dockerfile:", "containerfile:"),
        ("\nvolumes:", "\nvolume:"),
    ] {
        let bad = good.replace(right, wrong);
        assert_ne!(bad, good, "{right} is not in the file");
        assert!(parse(&bad).is_err(), "{wrong} was not found");
    }
}

/// What a name leads to is there: services, volumes, folders and files.
#[test]
fn nothing_is_spoken_of_that_is_not_there() {
    let compose = compose();
    let folder = root().join("deploy");
    for (name, service) in &compose.services {
        for (other, dependency) in &service.depends_on {
            let watched = compose.services[other].healthcheck.is_some();
            assert!(watched || dependency.condition == Condition::ServiceStarted, "{name} waits for {other} for ever");
        }
        for volume in &service.volumes {
            let source = volume.split(':').next().unwrap();
            let there = if source.starts_with('.') {
                folder.join(source).is_dir()
            } else {
                compose.volumes.contains_key(source)
            };
            assert!(there, "{name} mounts {source}");
        }
        if let Some(build) = &service.build {
            assert!(folder.join(&build.context).join(&build.dockerfile).is_file(), "{build:?}");
        }
        if let Some(healthcheck) = &service.healthcheck {
            // Images from scratch have no shell for CMD-SHELL.
            assert_eq!(healthcheck.test[0], "CMD", "{name}");
        }
    }
}

/// The program accepts this configuration, and listens on the ports that are published and scraped.
#[test]
fn the_environment_is_a_configuration_of_the_program() {
    let compose = compose();
    let chatbox = &compose.services["chatbox"];
    let config = |more: &[(&str, &str)]| {
        let mut command = program();
        for (name, value) in &chatbox.environment {
            let given = value.strip_prefix("${").map_or(value.as_str(), |_| "a secret that is given, and long enough");
            command.env(name, given);
        }
        // The image's own.
        command.env("CHATBOX_LISTEN", "0.0.0.0:8080").envs(more.iter().copied()).arg("config").output().unwrap()
    };
    let output = config(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(!config(&[("CHATBOX_OPS_LISTN", "0.0.0.0:9090")]).status.success(), "a misspelt variable was taken");

    assert!(read("deploy/Containerfile").contains("\nENV CHATBOX_LISTEN=0.0.0.0:8080\n"));
    assert!(printed.contains("\nops_listen = \"0.0.0.0:9090\""), "{printed}");
    assert_eq!(chatbox.ports, ["127.0.0.1:8080:8080"]);
    assert_eq!(compose.services["prometheus"].ports, ["127.0.0.1:9090:9090"]);
    assert!(read("deploy/prometheus/prometheus.yml").contains("\"chatbox:9090\""));
    assert!(chatbox.environment["CHATBOX_STORE__URL"].starts_with("mongodb://mongodb:27017/"));

    let [cmd, path, arguments @ ..] = chatbox.healthcheck.as_ref().unwrap().test.as_slice() else { panic!() };
    assert_eq!((cmd.as_str(), path.as_str()), ("CMD", "/chatbox"));
    let help = program().args(arguments).arg("--help").output().unwrap();
    assert!(help.status.success(), "{}", String::from_utf8_lossy(&help.stderr));
}
