//! A whole run against a fake API server: one replica, whose pod ends as under a kubelet.

use super::{Image, Kube};
use crate::flow::{self, Runtime as _};
use crate::manifests::kustomize;
use crate::prepare::Wanted;
use crate::report::Table;
use crate::scenario::{Clients, Scenario};
use anyhow::Result;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// The requests to the fake, and its state.
#[derive(Default)]
struct Cluster {
    requests: Mutex<Vec<String>>,
    /// What was created.
    created: Mutex<Vec<Value>>,
    /// Whether the pod was deleted.
    deleted: Mutex<bool>,
    /// The exit code of the pod's container.
    exit_code: i32,
    /// How often the container of the pod's successor was restarted.
    restarts: i32,
    /// Whether the image cannot be pulled.
    image_missing: bool,
    /// Whether the namespace exists.
    namespace: Mutex<bool>,
    job_deleted: Notify,
}

type Frames = BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

/// A part of an answer that is sent after an event.
fn part(text: String, after: impl Future<Output = ()> + Send + 'static) -> Frames {
    let frame = async move {
        after.await;
        Ok(Frame::data(text.into()))
    };
    stream::once(frame).boxed()
}

const REPORT: &str = r#"{"outcome":"clean","duration_ms":5100,"connections":{"at_signal":2,"closed":2,"peer_gone":0,"timed_out":0,"aborted":0,"refused":0},"messages":{"accepted":4,"acked":4,"rejected":0}}"#;

const FOUND: &str = r#"{"ok":true,"acked":4,"delivered":8,"ends":{"close 1001":2},"violations":{},"details":[]}"#;

fn pod(name: &str, ready: bool, more: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "resourceVersion": "1"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        pod[key].as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
    }
    pod
}

impl Cluster {
    /// The log of a pod, as it is followed.
    fn log(self: Arc<Self>, path: &str) -> Frames {
        if path.contains("/fleet/") {
            let connected = part("   0.1 s  2/2 connected  0 sent\n".to_owned(), async {});
            let ended = async move { self.job_deleted.notified().await };
            connected.chain(part(FOUND.to_owned() + "\n", ended)).boxed()
        } else {
            // The lame duck: what must be noticed before the first Close is noticed meanwhile.
            part(log(), tokio::time::sleep(Duration::from_secs(5)))
        }
    }

    fn answer(&self, request: &Request<Body>) -> String {
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        self.requests.lock().unwrap().push(format!("{} {path}", request.method()));
        let list = |kind: &str, items: Vec<Value>| {
            json!({"apiVersion": "v1", "kind": format!("{kind}List"), "metadata": {}, "items": items}).to_string()
        };
        let deleted = *self.deleted.lock().unwrap();
        let current = if deleted { self.successor() } else { self.first() };
        let endpoint = json!({"addresses": ["10.0.0.1"], "targetRef": {"name": current["metadata"]["name"]}});
        let slice = json!({"metadata": {"name": "chatbox-x"}, "addressType": "IPv4", "endpoints": [endpoint]});
        match (request.method(), path.rsplit('/').next().unwrap()) {
            (&Method::GET, "pods") if query.contains("watch=true") => self.watch(query),
            (&Method::GET, "pods") if query.contains("job-name") => list("Pod", vec![pod("fleet", true, &json!({}))]),
            (&Method::GET, "pods") => list("Pod", vec![current]),
            (&Method::GET, "chatbox-a") => self.first().to_string(),
            (&Method::GET, "endpointslices") => list("EndpointSlice", vec![slice]),
            (&Method::GET, "events") => list("Event", vec![event("Normal", "Pulling"), event("Warning", "Failed")]),
            (&Method::DELETE, "chatbox-a") => {
                *self.deleted.lock().unwrap() = true;
                pod("chatbox-a", true, &json!({})).to_string()
            }
            (&Method::DELETE, "smoke-test") => {
                *self.namespace.lock().unwrap() = false;
                json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}).to_string()
            }
            (&Method::DELETE, "fleet-1") => {
                self.job_deleted.notify_one();
                json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}).to_string()
            }
            (&Method::DELETE, _) => json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}).to_string(),
            (&Method::POST, "namespaces") => {
                *self.namespace.lock().unwrap() = true;
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "smoke-test"}}).to_string()
            }
            (&Method::POST, "jobs") => {
                json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "fleet-1"}, "spec": {"template": {}}})
                    .to_string()
            }
            // Whatever is applied is what it is then.
            (&Method::PATCH, name) => {
                json!({"apiVersion": "v1", "kind": "Any", "metadata": {"name": name}}).to_string()
            }
            _ => json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"})
                .to_string(),
        }
    }

    /// The replica that is deleted.
    fn first(&self) -> Value {
        let waiting = json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image"});
        let container = json!({
            "name": "chatbox", "image": "chatbox:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": waiting}
        });
        match (self.image_missing, *self.deleted.lock().unwrap()) {
            (true, _) => {
                pod("chatbox-a", false, &json!({"status": {"phase": "Pending", "containerStatuses": [container]}}))
            }
            (false, true) => pod("chatbox-a", false, &deleting(3)),
            (false, false) => pod("chatbox-a", true, &json!({})),
        }
    }

    /// The replica that takes its place.
    fn successor(&self) -> Value {
        let container = json!({
            "name": "chatbox", "image": "i", "imageID": "i", "ready": true, "restartCount": self.restarts, "state": {}
        });
        pod("chatbox-b", true, &json!({"status": {"containerStatuses": [container]}}))
    }

    /// The events of the pod's object: it is deleted, it is not ready, its container ends, and it is gone.
    ///
    /// The first watch ends after one event, as an API server ends one that has lasted too long. The server no longer knows the version
    /// that the second begins at.
    fn watch(&self, query: &str) -> String {
        let terminated = json!({"exitCode": self.exit_code, "message": REPORT});
        let container = json!({
            "name": "chatbox", "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
            "state": {"terminated": terminated}
        });
        let mut last = deleting(4);
        last["status"] = json!({"containerStatuses": [container]});
        let gone =
            json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"});
        let begin = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")).unwrap();
        let events = match begin {
            "1" => vec![("MODIFIED", pod("chatbox-a", true, &deleting(2)))],
            "2" => vec![("ERROR", gone)],
            "3" => {
                vec![("MODIFIED", pod("chatbox-a", false, &deleting(3))), ("DELETED", pod("chatbox-a", false, &last))]
            }
            other => panic!("a watch begins at version {other}"),
        };
        events.iter().map(|(kind, pod)| format!("{}\n", json!({"type": kind, "object": pod}))).collect()
    }
}

/// The metadata of a pod that is being deleted, at a resource version.
fn deleting(version: u32) -> Value {
    json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": version.to_string()}})
}

fn event(kind: &str, reason: &str) -> Value {
    json!({
        "metadata": {"name": reason}, "type": kind, "reason": reason, "message": "of the image",
        "involvedObject": {"kind": "Pod", "name": "chatbox-a"}
    })
}

fn log() -> String {
    let line = |message: &str| json!({"message": message}).to_string();
    let mut last: Value = serde_json::from_str(REPORT).unwrap();
    last["message"] = json!("Chatbox service shutdown complete");
    [
        line("Shutting down WebSocket handler, closing all connections"),
        line("Closing WebSocket connection"),
        line("Closing WebSocket connection"),
        line("All WebSocket connections closed"),
        format!("{last}\n"),
    ]
    .join("\n")
}

/// Runs one scenario, and cleans up; returns the result, and the description of the pods after it.
async fn run(cluster: &Arc<Cluster>) -> (Result<Table>, String) {
    let server = Arc::clone(cluster);
    let client = Client::new(
        tower::service_fn(move |mut request: Request<Body>| {
            let server = Arc::clone(&server);
            async move {
                let path = request.uri().path().to_owned();
                let (status, frames) = if path.ends_with("/log") {
                    (200, server.log(&path))
                } else {
                    if request.method() == Method::POST {
                        let body = request.body_mut().collect().await.unwrap().to_bytes();
                        server.created.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                    }
                    let text = server.answer(&request);
                    (if text.contains("\"NotFound\"") { 404 } else { 200 }, part(text, async {}))
                };
                Ok::<_, Infallible>(Response::builder().status(status).body(StreamBody::new(frames)).unwrap())
            }
        }),
        "default",
    );
    let wanted = Wanted { overlay: "dev".into(), image: "chatbox:1".into(), mongodb_url: None, inject: None };
    let mut kube = Kube::new(client, &wanted, Image::Pulled, Some("smoke-test".to_owned())).unwrap();
    let clients = Clients { count: 2, rooms: 1, rate: 1.0, stubborn: 0 };
    let table = flow::run(&mut kube, &[Scenario::Delete], clients).await;
    let description = kube.describe().await;
    kube.clean_up().await.unwrap();
    assert!(!*cluster.namespace.lock().unwrap(), "the namespace is still there");
    (table, description)
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_as_promised_is_seen_through_the_api() {
    if kustomize().is_none() {
        eprintln!("not run: neither kubectl nor kustomize is here");
        return;
    }
    let cluster = Arc::new(Cluster::default());
    let table = run(&cluster).await.0.unwrap();
    assert!(table.all_well(), "{table}");
    let namespace = &cluster.created.lock().unwrap()[0];
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted", "{namespace}");
    let requests = cluster.requests.lock().unwrap();
    let asked = |request: &str| requests.iter().any(|asked| asked == request);
    assert!(asked("POST /api/v1/namespaces"), "{requests:#?}");
    assert!(asked("PATCH /apis/apps/v1/namespaces/smoke-test/deployments/chatbox"), "{requests:#?}");
    assert!(asked("PATCH /apis/networking.k8s.io/v1/namespaces/smoke-test/networkpolicies/chatbox"), "{requests:#?}");
    assert!(asked("POST /apis/batch/v1/namespaces/smoke-test/jobs"), "{requests:#?}");
    assert!(asked("DELETE /api/v1/namespaces/smoke-test/pods/chatbox-a"), "{requests:#?}");
    assert!(asked("DELETE /apis/batch/v1/namespaces/smoke-test/jobs/fleet-1"), "{requests:#?}");
    assert!(asked("DELETE /api/v1/namespaces/smoke-test"), "{requests:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_killed_is_seen_through_the_api() {
    if kustomize().is_none() {
        eprintln!("not run: neither kubectl nor kustomize is here");
        return;
    }
    let table = run(&Arc::new(Cluster { exit_code: 137, ..Cluster::default() })).await.0.unwrap();
    let killed = "chatbox-a: exit code 137: it was killed at the end of its grace period";
    assert!(table.rows[0].misses.iter().any(|miss| miss == killed), "{table}");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_was_restarted_is_seen_through_the_api() {
    if kustomize().is_none() {
        eprintln!("not run: neither kubectl nor kustomize is here");
        return;
    }
    let table = run(&Arc::new(Cluster { restarts: 2, ..Cluster::default() })).await.0.unwrap();
    assert_eq!(table.rows[0].misses, ["chatbox-b: its container was restarted 2 times"]);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_missing_ends_the_run_and_is_described() {
    if kustomize().is_none() {
        eprintln!("not run: neither kubectl nor kustomize is here");
        return;
    }
    let begun = tokio::time::Instant::now();
    let (result, description) = run(&Arc::new(Cluster { image_missing: true, ..Cluster::default() })).await;
    let error = format!("{:#}", result.unwrap_err());
    let missing = "an image is missing: chatbox-a: ImagePullBackOff chatbox:1 Back-off pulling image";
    assert_eq!(error, format!("cannot deploy: {missing}"));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(
        description,
        "pod chatbox-a: Pending, not ready; container chatbox, 0 restarts, waiting: ImagePullBackOff Back-off pulling image\n\
         Pod chatbox-a: Failed: of the image\n"
    );
}
