//! Every manifest is what the Kubernetes API takes, and nothing that could be deployed by mistake.

use crate::files;
use chatbox_smoke::manifests::{check, documents, kustomize, overlay, render, root, text};
use serde_json::{Value, json};
use std::fs;

const OVERLAYS: [&str; 3] = ["dev", "prod", "trial"];

/// Whether there is a renderer; `cargo xtask test` says that the step was not run where there is none.
fn can_render() -> bool {
    let can = kustomize().is_some();
    if !can {
        eprintln!("not run: neither kubectl nor kustomize is here");
    }
    can
}

#[test]
fn every_overlay_renders_in_a_fresh_checkout_to_objects_of_the_api() {
    if !can_render() {
        return;
    }
    for name in OVERLAYS {
        let objects = render(&overlay(name)).unwrap();
        assert!(objects.len() >= 5, "{name} renders to {} objects", objects.len());
        for object in objects {
            check(&object).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
    }
}

/// Patches and what no overlay uses, too.
#[test]
fn every_file_is_an_object_of_the_api() {
    let mut checked = 0;
    for path in files(&root().join("deploy/k8s"), ".yaml") {
        for object in documents(&fs::read_to_string(&path).unwrap()).unwrap() {
            // Kustomize refuses fields that it does not know by itself, and a list is a JSON patch.
            if object.is_object() && !text(&object, "apiVersion").starts_with("kustomize") {
                check(&object).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
                checked += 1;
            }
        }
    }
    assert!(checked > 8, "only {checked} objects were found");
}

#[test]
fn a_misspelt_field_is_found_wherever_it_is() {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {"spec": {
            "containers": [{"name": "a", "readinessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1}}]
        }}}
    });
    check(&object).unwrap();
    object["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["failureTreshold"] = json!(2);
    object["spec"]["template"]["spec"]["terminationGracePeriodSecond"] = json!(30);
    assert_eq!(
        check(&object).unwrap_err().to_string(),
        "Deployment a: the API does not know .spec.template.spec.containers[0].readinessProbe.failureTreshold, \
         .spec.template.spec.terminationGracePeriodSecond"
    );
}

#[test]
fn a_value_of_the_wrong_type_and_an_unknown_kind_are_found() {
    let object =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": [{"port": "80"}]}});
    assert!(format!("{:#}", check(&object).unwrap_err()).starts_with("Service a: invalid type: string \"80\""));
    let object = json!({"apiVersion": "apps/v1beta1", "kind": "Deployment"});
    assert_eq!(check(&object).unwrap_err().to_string(), "there is no type for Deployment of apps/v1beta1");
}

/// Everything in a pod's spec that a namespace with `pod-security.kubernetes.io/enforce: restricted` refuses, as far as these manifests could
/// ask for it (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>).
fn refused(spec: &Value) -> Vec<String> {
    let mut refused = Vec::new();
    let pod = &spec["securityContext"];
    let containers = ["initContainers", "containers"].map(|kind| spec[kind].as_array());
    for container in containers.into_iter().flatten().flatten() {
        let (name, own) = (text(container, "name"), &container["securityContext"]);
        let effective = |field: &str| if own[field].is_null() { &pod[field] } else { &own[field] };
        let dropped = own["capabilities"]["drop"].as_array();
        for (holds, what) in [
            (effective("runAsNonRoot") == true, "may run as root"),
            (effective("seccompProfile")["type"] == "RuntimeDefault", "has no seccomp profile"),
            (own["allowPrivilegeEscalation"] == false, "may gain privileges"),
            (dropped.is_some_and(|dropped| dropped.contains(&json!("ALL"))), "keeps capabilities"),
            (own["capabilities"]["add"].is_null() && own["privileged"].is_null(), "asks for capabilities"),
            (
                container["ports"].as_array().is_none_or(|ports| ports.iter().all(|port| port["hostPort"].is_null())),
                "has a host port",
            ),
        ] {
            if !holds {
                refused.push(format!("{name} {what}"));
            }
        }
    }
    let host = ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|field| !spec[*field].is_null());
    refused.extend(host.map(|field| format!("it asks for {field}")));
    let volumes = spec["volumes"].as_array().into_iter().flatten();
    refused.extend(volumes.filter(|volume| !volume["hostPath"].is_null()).map(|_| "it mounts a host path".to_owned()));
    refused
}

#[test]
fn every_pod_is_allowed_where_pod_security_is_restricted() {
    if !can_render() {
        return;
    }
    let mut checked = 0;
    for name in OVERLAYS {
        for object in render(&overlay(name)).unwrap() {
            let spec = &object["spec"]["template"]["spec"];
            if spec.is_object() {
                assert_eq!(refused(spec), [""; 0], "{name}: {}", text(&object, "kind"));
                checked += 1;
            }
        }
    }
    assert!(checked > OVERLAYS.len(), "only {checked} workloads were found");
    let open = json!({
        "hostNetwork": true, "volumes": [{"name": "a", "hostPath": {"path": "/"}}],
        "containers": [{"name": "c", "ports": [{"hostPort": 80}], "securityContext": {"privileged": true}}]
    });
    assert_eq!(refused(&open).len(), 8, "{:?}", refused(&open));
}

/// There is no placeholder that could be deployed by mistake.
#[test]
fn no_overlay_brings_a_secret_and_secrets_render_only_from_files_that_were_made() {
    if !can_render() {
        return;
    }
    for name in OVERLAYS {
        assert!(render(&overlay(name)).unwrap().iter().all(|object| text(object, "kind") != "Secret"), "{name}");
    }
    for (name, file) in [("jwt", "jwt-secret"), ("mongodb", "url")] {
        let folder = tempfile::tempdir().unwrap();
        let kustomization = root().join("deploy/k8s/secrets").join(name).join("kustomization.yaml");
        fs::copy(kustomization, folder.path().join("kustomization.yaml")).unwrap();
        let error = render(folder.path()).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("no such file"), "{error}");

        fs::write(folder.path().join(file), "s").unwrap();
        let objects = render(folder.path()).unwrap();
        let [secret] = objects.as_slice() else { panic!("{objects:?}") };
        check(secret).unwrap();
        assert_eq!(secret["metadata"]["name"], format!("chatbox-{name}"));
        assert_eq!(secret["data"][file], "cw==");
    }
}
