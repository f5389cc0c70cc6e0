//! Keys that change while the service runs.

use crate::auth::{encode, signed, unix, upgrade};
use crate::harness::{Peer, Server, Setup, TERMINATE, until};
use jsonwebtoken::{EncodingKey, Header};
use rustix::process::Signal;
use serde_json::json;

const OLD: &str = "the-old-key-of-at-least-thirty-two-bytes";
const NEW: &str = "the-new-key-of-at-least-thirty-two-bytes";

fn token(key: &str) -> String {
    signed(key, json!({ "sub": "alice", "exp": unix() + 600 }))
}

async fn lets_in(server: &Server, token: &str) -> bool {
    Peer::handshake(server.at, &format!("/chat/ws?token={token}"), "").await.is_ok()
}

#[tokio::test]
async fn keys_are_added_and_removed_while_the_service_runs() {
    let setup = Setup::new().set("auth.jwt_keys_dir=keys");
    let keys = setup.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    let setup = setup.file("keys/old.secret", OLD);
    let mut server = setup.start().await;
    let mut open = Peer::open(server.at, &format!("/chat/ws?token={}", token(OLD))).await;
    assert_eq!(open.message().await["user"], "alice");
    upgrade(&server, &token(NEW)).await.refusal(401, "unauthorized");

    // Without SIGHUP the files are read at intervals.
    std::fs::write(keys.join("new.secret"), NEW).unwrap();
    until("the new key to be known", async || lets_in(&server, &token(NEW)).await).await;
    assert!(lets_in(&server, &token(OLD)).await, "both are good while one replaces the other");
    let named = Header { kid: Some("new".to_owned()), ..Header::default() };
    let claims = json!({ "sub": "alice", "exp": unix() + 600 });
    let named = |key: &str| encode(&named, &claims, &EncodingKey::from_secret(key.as_bytes())).unwrap();
    assert!(lets_in(&server, &named(NEW)).await);
    upgrade(&server, &named(OLD)).await.refusal(401, "unauthorized");

    std::fs::remove_file(keys.join("old.secret")).unwrap();
    server.signal(Signal::HUP);
    until("the old key to be forgotten", async || !lets_in(&server, &token(OLD)).await).await;
    assert!(lets_in(&server, &token(NEW)).await);

    // What cannot be used changes nothing, and is named.
    for (name, content, said) in [
        ("short.secret", "short", "auth.jwt_keys_dir: keys/short.secret has 5 bytes, at least 32 are needed"),
        ("what.txt", "", "auth.jwt_keys_dir: keys/what.txt is named neither KID.pem nor KID.secret"),
        ("public.pem", "nonsense", "auth.jwt_keys_dir: keys/public.pem: no public key in PEM"),
    ] {
        std::fs::write(keys.join(name), content).unwrap();
        server.signal(Signal::HUP);
        server.line(|line| line["error"].as_str().is_some_and(|error| error.starts_with(said))).await;
        std::fs::remove_file(keys.join(name)).unwrap();
    }
    std::fs::remove_file(keys.join("new.secret")).unwrap();
    server.signal(Signal::HUP);
    server.line(|line| line["error"] == "auth.jwt_keys_dir: keys holds no key").await;
    assert!(lets_in(&server, &token(NEW)).await);

    // A connection that is open outlives its key, not its token.
    open.send(r#"{"type":"join","room":"lobby"}"#).await;
    assert_eq!(open.message().await["type"], "joined");
    let finished = server.stop(TERMINATE).await;
    assert_eq!(finished.code(), 0);
    let log = format!("{:?}{}", finished.lines, finished.stderr);
    assert!(!log.contains(NEW) && !log.contains(OLD));
}

#[tokio::test]
async fn a_secret_in_a_file_is_read_anew_on_sighup() {
    let setup = Setup::new().set("auth.jwt_secret_file=key").file("key", OLD);
    let mut server = setup.start().await;
    assert!(lets_in(&server, &token(OLD)).await);
    server.signal(Signal::HUP);
    server.message("Token keys were read anew: nothing has changed").await;
    let setup = setup.file("key", format!("{NEW}\n"));
    server.signal(Signal::HUP);
    until("the new secret to be known", async || lets_in(&server, &token(NEW)).await).await;
    upgrade(&server, &token(OLD)).await.refusal(401, "unauthorized");

    std::fs::remove_file(setup.path().join("key")).unwrap();
    server.signal(Signal::HUP);
    let said = "auth.jwt_secret_file: cannot read key: No such file or directory";
    server.line(|line| line["error"].as_str().is_some_and(|error| error.starts_with(said))).await;
    assert!(lets_in(&server, &token(NEW)).await);
}
