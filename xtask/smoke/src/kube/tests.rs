//! The whole flow against an API server that is played: one replica, whose pod ends as a kubelet would have it.

use super::{Image, Kube};
use crate::flow::{self, Clients, Scenario};
use crate::manifests::kustomize;
use crate::prepare::Wanted;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::{Method, Request, Response};
use http_body_util::StreamBody;
use hyper::body::{Bytes, Frame};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// What the cluster was asked, and what it is like.
#[derive(Default)]
struct Cluster {
    requests: Mutex<Vec<String>>,
    /// The pod that was deleted.
    deleted: Mutex<bool>,
    /// How the pod ends when it is told to.
    exit_code: i32,
    /// Whether the namespace is there.
    namespace: Mutex<bool>,
    job_deleted: Notify,
}

type Frames = BoxStream<'static, Result<Frame<Bytes>, Infallible>>;

/// A part of an answer that comes when something has happened.
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
        "metadata": {"name": name, "resourceVersion": "7"},
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
        let current = if deleted { "chatbox-b" } else { "chatbox-a" };
        match (request.method(), path.rsplit('/').next().unwrap()) {
            (&Method::GET, "pods") if query.contains("watch=true") => self.end_of_the_pod(),
            (&Method::GET, "pods") if query.contains("job-name") => list("Pod", vec![pod("fleet", true, &json!({}))]),
            (&Method::GET, "pods") => list("Pod", vec![pod(current, true, &json!({}))]),
            (&Method::GET, "chatbox-a") => pod("chatbox-a", true, &json!({})).to_string(),
            (&Method::GET, "endpointslices") => list("EndpointSlice", vec![]),
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

    /// What a watch sees: the pod is told, it is not ready, its container ends, and it is gone.
    fn end_of_the_pod(&self) -> String {
        let told = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        let terminated = json!({"exitCode": self.exit_code, "message": REPORT});
        let container = json!({
            "name": "chatbox", "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
            "state": {"terminated": terminated}
        });
        let events = [
            ("MODIFIED", pod("chatbox-a", true, &json!({"metadata": told}))),
            ("MODIFIED", pod("chatbox-a", false, &json!({"metadata": told}))),
            (
                "DELETED",
                pod("chatbox-a", false, &json!({"metadata": told, "status": {"containerStatuses": [container]}})),
            ),
        ];
        events.iter().map(|(kind, pod)| format!("{}\n", json!({"type": kind, "object": pod}))).collect()
    }
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

/// Runs one scenario, and cleans up; returns the table and what was asked.
async fn run(cluster: Cluster) -> (crate::report::Table, Vec<String>) {
    use crate::flow::Runtime as _;
    let cluster = Arc::new(cluster);
    let server = Arc::clone(&cluster);
    let client = Client::new(
        tower::service_fn(move |request: Request<Body>| {
            let path = request.uri().path();
            let (status, frames) = if path.ends_with("/log") {
                (200, Arc::clone(&server).log(path))
            } else {
                let text = server.answer(&request);
                (if text.contains("\"NotFound\"") { 404 } else { 200 }, part(text, async {}))
            };
            let response = Response::builder().status(status).body(StreamBody::new(frames));
            async move { Ok::<_, Infallible>(response.unwrap()) }
        }),
        "default",
    );
    let wanted = Wanted { overlay: "dev".into(), image: "chatbox:1".into(), mongodb_url: None, inject: None };
    let mut kube = Kube::new(client, &wanted, Image::Pulled, Some("smoke-test".to_owned())).unwrap();
    let clients = Clients { count: 2, rooms: 1, rate: 1.0, stubborn: 0 };
    let table = flow::run(&mut kube, &[Scenario::Delete], clients).await.unwrap();
    kube.clean_up().await.unwrap();
    assert!(!*cluster.namespace.lock().unwrap(), "the namespace is still there");
    let requests = cluster.requests.lock().unwrap().clone();
    (table, requests)
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ends_as_promised_is_seen_through_the_api() {
    if kustomize().is_none() {
        eprintln!("not run: neither kubectl nor kustomize is here");
        return;
    }
    let (table, requests) = run(Cluster::default()).await;
    assert!(table.all_well(), "{table}");
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
    let (table, _) = run(Cluster { exit_code: 137, ..Cluster::default() }).await;
    let killed = "chatbox-a: exit code 137: it was killed at the end of its grace period";
    assert!(table.rows[0].misses.iter().any(|miss| miss == killed), "{table}");
}
