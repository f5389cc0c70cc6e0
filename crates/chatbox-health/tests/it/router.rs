//! The probe routes, through the router's own service.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use chatbox_health::{Gate, Health};
use tower_service::Service;

async fn request(app: &Router, method: Method, path: &str) -> Response {
    let request = Request::builder().method(method).uri(path);
    // A router is always ready, so nothing has to be awaited before the call.
    let answer = app.clone().call(request.body(Body::empty()).unwrap());
    answer.await.unwrap()
}

/// Asserts what both probes promise of every answer, and returns status and body.
async fn probe(app: &Router, method: Method, path: &str) -> (StatusCode, String) {
    let answer = request(app, method, path).await;
    assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn both_probes_answer_under_a_prefix_of_any_service() {
    #[derive(Clone)]
    struct State;
    let gate = Gate::new("starting");
    let health = Health::builder().gate(gate.clone()).build();
    let app = Router::<State>::new().nest("/chat", health.router()).with_state(State);

    let alive = (StatusCode::OK, r#"{"status":"healthy"}"#.to_owned());
    let ready = |code, status, phase| {
        let body = format!(r#"{{"status":"{status}","phase":"{phase}","checks":{{}}}}"#);
        (code, body)
    };
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    for (phase, open) in [("starting", false), ("running", true), ("draining", false)] {
        let readiness = if open {
            gate.open(phase);
            ready(StatusCode::OK, "ready", phase)
        } else {
            gate.close(phase);
            ready(unavailable, "not ready", phase)
        };
        assert_eq!(probe(&app, Method::GET, "/chat/healthz").await, alive);
        assert_eq!(probe(&app, Method::GET, "/chat/readyz").await, readiness);

        let head = probe(&app, Method::HEAD, "/chat/healthz").await;
        assert_eq!(head, (alive.0, String::new()));
        let head = probe(&app, Method::HEAD, "/chat/readyz").await;
        assert_eq!(head, (readiness.0, String::new()));
    }
}

#[tokio::test]
async fn a_failing_check_is_not_a_reason_to_restart_the_service() {
    let down = || async { Err("down") };
    let app = Health::builder().check("store", down).build().router();
    assert_eq!(probe(&app, Method::GET, "/healthz").await.0, StatusCode::OK);
    let (status, body) = probe(&app, Method::GET, "/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains(r#""error":"down""#), "{body}");
}

#[tokio::test]
async fn probes_are_only_read() {
    let app = Health::builder().build().router();
    for path in ["/healthz", "/readyz"] {
        let status = request(&app, Method::POST, path).await.status();
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }
}
