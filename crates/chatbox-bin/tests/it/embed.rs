//! The service as a part of another program.

use crate::harness::{Finished, Frame, Peer, Server, Setup, TERMINATE, get, request, until};
use axum::Router;
use chatbox::{
    AuthenticationError, Budget, CloseCode, CloseReason, Config, Ending, Identity, Retention, Secret, Service,
};
use http::request::Parts;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

#[tokio::test]
async fn a_program_that_embeds_the_service_shuts_it_down_and_serves_its_own_routes_meanwhile() {
    let mut server = Setup::example("embed").args(["127.0.0.1:0"]).launch();
    let line = server.line(|line| line.as_str().is_some_and(|line| line.starts_with("listening on "))).await;
    let at = line.as_str().unwrap()["listening on ".len()..].parse().unwrap();
    let own = async || get(at, "/").await.unwrap().body;
    assert_eq!(own().await, "everything but the chat");
    for page in ["/support/chat", "/support/chat/"] {
        assert!(get(at, page).await.unwrap().body.contains("/support/chat/ws"));
    }
    get(at, "/support/chat/nothing").await.unwrap().refusal(404, "not_found");
    let mut alice = Peer::open(at, "/support/chat/ws?user=alice").await;
    let mut late = Peer::open(at, "/support/chat/ws?user=late").await;
    alice.send(r#"{"type":"send","room":"lobby","id":"1","body":"x"}"#).await;
    alice.until("ack").await;

    server.signal(TERMINATE);
    let phase = async || get(at, "/support/chat/readyz").await.unwrap().json()["phase"].clone();
    until("the lame duck", async || phase().await != "running").await;
    assert_eq!(own().await, "everything but the chat");
    alice.finish().await.slot();
    // `late` has not answered: the drain goes on, and so do the routes.
    late.polite = false;
    late.until("goodbye").await;
    assert_eq!(late.next().await, Ok(Frame::Close(1001, "server shutting down".into())));
    until("the drain", async || phase().await == "draining").await;
    assert_eq!(own().await, "everything but the chat");
    let newcomer = Peer::handshake(at, "/support/chat/ws?user=newcomer", "").await;
    newcomer.err().unwrap().refusal(503, "draining");
    late.close(1001).await;

    let finished = server.wait().await;
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let report = finished.lines.last().unwrap();
    assert_eq!((&report["outcome"], &report["signal"]), (&json!("clean"), &json!("request")), "{report}");
    assert_eq!(
        report["connections"],
        json!({ "at_signal": 2, "closed": 2, "peer_gone": 0, "timed_out": 0, "aborted": 0, "refused": 1 })
    );
    assert_eq!(report["messages"], json!({ "accepted": 1, "acked": 1, "rejected": 0 }));
}

fn config(store: &str) -> Config {
    let mut config = Config::default();
    config.store.url = Secret::new(store);
    config.shutdown.close_handshake = Duration::from_secs(1);
    config
}

/// Serves a service as another program does, without `ConnectInfo`.
async fn serve(service: &Service) -> (SocketAddr, JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let app: Router = Router::new().nest_service("/chat", service.router::<()>());
    (at, tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }))
}

#[tokio::test]
async fn a_dropped_service_leaves_no_task_and_its_store_can_be_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&format!("sqlite:{}", directory.path().join("chat.db").display()));
    config.store.retention = Retention::For(Duration::from_secs(3_600));
    let tasks = Handle::current().metrics();
    let before = tasks.num_alive_tasks();
    let service = Service::start(config.clone()).await.unwrap();
    let (ours, theirs) = tokio::io::duplex(4_096);
    tokio::spawn(service.serve_stream(theirs, "alice").unwrap());
    let mut alice = Peer::on(ours);
    alice.send(r#"{"type":"join","room":"lobby"}"#).await;
    alice.send(r#"{"type":"send","room":"lobby","id":"1","body":"x"}"#).await;
    alice.until("ack").await;
    let router = service.router::<()>();
    drop(service);
    // The routes are a handle, too.
    alice.send(r#"{"type":"send","room":"lobby","id":"2","body":"x"}"#).await;
    alice.until("ack").await;
    assert!(tasks.num_alive_tasks() > before);
    drop(router);
    until("the tasks to end", async || tasks.num_alive_tasks() == before).await;
    let again = Service::start(config).await.unwrap();
    assert_eq!(again.shutdown(Duration::from_secs(5)).await.exit_code(), 0);
}

/// Knows users by a cookie.
fn by_cookie(request: &Parts) -> impl Future<Output = Result<Identity, AuthenticationError>> + Send + use<> {
    let cookie = request.headers.get("cookie").and_then(|value| value.to_str().ok()).map(str::to_owned);
    async move {
        tokio::task::yield_now().await;
        let in_an_hour = SystemTime::now() + Duration::from_secs(3_600);
        match cookie.as_deref() {
            Some("session=alice") => Ok(Identity {
                user: "alice".to_owned(),
                rooms: Some(Arc::new(|room: &str| room == "lobby")),
                expires: Some(in_an_hour),
            }),
            Some("session=brief") => {
                Ok(Identity { expires: Some(SystemTime::now() + Duration::from_millis(300)), ..Identity::new("brief") })
            }
            Some("session=old") => Ok(Identity { expires: Some(SystemTime::UNIX_EPOCH), ..Identity::new("old") }),
            Some("session=nameless") => Ok(Identity::new("")),
            Some("session=banned") => Err(AuthenticationError::Forbidden("you are banned".into())),
            Some("session=down") => Err(AuthenticationError::Unavailable("no sessions now".into())),
            _ => Err(AuthenticationError::Unauthenticated("log in first".into())),
        }
    }
}

#[tokio::test]
async fn a_hook_authenticates_the_websocket_and_the_history() {
    let service = Service::builder(config("memory:")).authenticate(by_cookie).start().await.unwrap();
    let (at, server) = serve(&service).await;
    let cookie = |name: &str| format!("Cookie: session={name}\r\n");
    for (name, status, code) in [
        ("nobody", 401, "unauthorized"),
        ("old", 401, "unauthorized"),
        ("nameless", 403, "not_allowed"),
        ("banned", 403, "not_allowed"),
        ("down", 503, "authentication_unavailable"),
    ] {
        // Names in the address are not trusted any more.
        let refused = Peer::handshake(at, "/chat/ws?user=alice", &cookie(name)).await.err().unwrap();
        refused.refusal(status, code);
        assert_eq!(refused.header("retry-after").is_some(), status == 503);
        let history =
            format!("GET /chat/rooms/lobby/messages?user=alice HTTP/1.1\r\nHost: {at}\r\n{}\r\n", cookie(name));
        request(at, &history).await.unwrap().refusal(status, code);
    }
    let mut alice = Peer::handshake(at, "/chat/ws", &cookie("alice")).await.unwrap_or_else(|_| panic!("refused"));
    assert_eq!(alice.until("welcome").await["user"], "alice");
    alice.send(r#"{"type":"join","room":"office"}"#).await;
    assert_eq!(alice.until("error").await["code"], "not_allowed");
    alice.send(r#"{"type":"send","room":"lobby","id":"1","body":"x"}"#).await;
    alice.until("ack").await;
    for (room, status) in [("lobby", 200), ("office", 403)] {
        let history = format!("GET /chat/rooms/{room}/messages HTTP/1.1\r\nHost: {at}\r\n{}\r\n", cookie("alice"));
        assert_eq!(request(at, &history).await.unwrap().status, status, "{room}");
    }
    let mut brief = Peer::handshake(at, "/chat/ws", &cookie("brief")).await.unwrap_or_else(|_| panic!("refused"));
    brief.until("welcome").await;
    assert_eq!(brief.next().await, Ok(Frame::Close(1008, "token expired".into())));
    server.abort();
}

#[tokio::test]
async fn a_hook_authenticates_streams_of_other_transports() {
    let service = Service::builder(config("memory:")).authenticate(by_cookie).start().await.unwrap();
    let head = |cookie: &str| http::Request::get("/").header("cookie", cookie).body(()).unwrap().into_parts().0;
    let refused = service.authenticate(&head("session=banned")).await.unwrap_err();
    assert_eq!(refused, AuthenticationError::Forbidden("you are banned".into()));
    let identity = service.authenticate(&head("session=alice")).await.unwrap();
    let (ours, theirs) = tokio::io::duplex(4_096);
    tokio::spawn(service.serve_stream(theirs, identity).unwrap());
    let mut alice = Peer::on(ours);
    alice.send(r#"{"type":"join","room":"office"}"#).await;
    assert_eq!(alice.until("error").await["code"], "not_allowed");
}

#[tokio::test]
async fn the_connections_of_a_user_are_counted_and_closed_with_a_reason() {
    let service = Service::start(config("memory:")).await.unwrap();
    let mut peers = Vec::new();
    for user in ["alice", "bob", "alice"] {
        let (ours, theirs) = tokio::io::duplex(4_096);
        tokio::spawn(service.serve_stream(theirs, user).unwrap());
        peers.push(Peer::on(ours));
    }
    let count = || service.connections().into_iter().map(|(user, count)| (user.to_string(), count)).collect::<Vec<_>>();
    assert_eq!(count(), [("alice".to_owned(), 2), ("bob".to_owned(), 1)]);
    assert_eq!(service.close_user("carol", CloseReason::new(CloseCode::POLICY, "logged out")), 0);
    assert_eq!(service.close_user("alice", CloseReason::new(CloseCode::POLICY, "logged out")), 2);
    let _bob = peers.remove(1);
    for peer in peers {
        peer.finish().await.assert_closed(1008, "logged out");
    }
    until("both to be gone", async || count() == [("bob".to_owned(), 1)]).await;
}

#[tokio::test]
async fn the_stages_can_be_run_one_by_one_and_a_drain_can_be_forced() {
    let service = Service::start(config("memory:")).await.unwrap();
    let (ours, theirs) = tokio::io::duplex(4_096);
    tokio::spawn(service.serve_stream(theirs, "mute").unwrap());
    let mut mute = Peer::on(ours);
    mute.polite = false;
    mute.send(r#"{"type":"send","room":"lobby","id":"1","body":"x"}"#).await;
    mute.until("ack").await;
    assert!(service.readiness().await.is_ready());
    service.enter_lame_duck();
    let readiness = service.readiness().await;
    assert!(!readiness.is_ready() && readiness.phase == "lame_duck");
    assert!(service.serve_stream(tokio::io::duplex(1).0, "bob").is_err());
    // The peer does not answer its Close: without the end by force this would take an hour.
    let draining = tokio::spawn({
        let service = service.clone();
        async move { service.drain(Budget::lasting(Duration::from_secs(3_600))).await.unwrap() }
    });
    mute.until("goodbye").await;
    service.force().await;
    assert_eq!(draining.await.unwrap(), Ending::CutShort);
    service.flush(Budget::lasting(Duration::from_secs(10))).await.unwrap();
    assert_eq!(service.readiness().await.phase, "flushing");
}

#[tokio::test]
async fn a_shutdown_that_is_dropped_is_forced_and_still_closes_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(&format!("sqlite:{}", directory.path().join("chat.db").display()));
    let hour = Duration::from_secs(3_600);
    (config.shutdown.grace, config.shutdown.drain, config.shutdown.close_handshake) = (2 * hour, hour, hour);
    let service = Service::start(config.clone()).await.unwrap();
    let (ours, theirs) = tokio::io::duplex(4_096);
    tokio::spawn(service.serve_stream(theirs, "mute").unwrap());
    let mut mute = Peer::on(ours);
    mute.polite = false;
    let shutdown = service.shutdown(2 * hour);
    tokio::select! {
        _ = shutdown => panic!("the peer has not answered"),
        _ = mute.until("goodbye") => {}
    }
    // The handle is still there: only the flush lets go of the file.
    until("the store to be closed", async || Service::start(config.clone()).await.is_ok()).await;
    drop(service);
}

#[tokio::test]
async fn a_program_registers_the_service_in_its_own_shutdown() {
    let (server, at) = own_shutdown().await;
    let mut alice =
        Peer::handshake(at, "/chat/ws", "Cookie: session=alice\r\n").await.unwrap_or_else(|_| panic!("refused"));
    alice.send(r#"{"type":"send","room":"lobby","id":"1","body":"x"}"#).await;
    alice.until("ack").await;
    let job = "POST /jobs HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    assert_eq!(request(at, job).await.unwrap().status, 202);
    server.signal(TERMINATE);
    alice.finish().await.slot();
    let finished = server.wait().await;
    let report = report(&finished);
    assert_eq!(report["outcome"], "clean", "{report}");
    assert_eq!(report["connections"]["closed"], 1, "{report}");
    assert_eq!(report["messages"], json!({ "accepted": 1, "acked": 1, "rejected": 0 }));
    assert!(finished.lines.iter().any(|line| line == "done: abc"), "{:?}", finished.lines);
    assert_eq!(finished.code(), 0);
}

#[tokio::test]
async fn a_second_signal_to_such_a_program_forces_the_service_and_still_flushes_it() {
    let (server, at) = own_shutdown().await;
    let mut mute =
        Peer::handshake(at, "/chat/ws", "Cookie: session=alice\r\n").await.unwrap_or_else(|_| panic!("refused"));
    mute.polite = false;
    mute.send(r#"{"type":"send","room":"lobby","id":"1","body":"x"}"#).await;
    mute.until("ack").await;
    server.signal(TERMINATE);
    mute.until("goodbye").await;
    server.signal(crate::harness::INTERRUPT);
    let finished = server.wait().await;
    let report = report(&finished);
    assert_eq!(report["outcome"], "forced", "{report}");
    assert_eq!(report["participants"], json!([]), "{report}");
    assert_eq!(report["phases"].as_array().unwrap().last().unwrap()["name"], "flushing");
    assert_eq!(report["messages"], json!({ "accepted": 1, "acked": 1, "rejected": 0 }));
    assert_eq!(finished.code(), 130);
}

async fn own_shutdown() -> (Server, SocketAddr) {
    let mut server = Setup::example("own_shutdown").args(["127.0.0.1:0"]).launch();
    let line = server.line(|line| line.as_str().is_some_and(|line| line.starts_with("listening on "))).await;
    let at = line.as_str().unwrap()["listening on ".len()..].parse().unwrap();
    (server, at)
}

fn report(finished: &Finished) -> &serde_json::Value {
    finished.lines.iter().find(|line| line["outcome"].is_string()).unwrap_or_else(|| panic!("{}", finished.stderr))
}
