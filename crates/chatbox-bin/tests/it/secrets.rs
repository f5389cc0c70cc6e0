//! No secret in any output: planted ones are looked for wherever the program writes.

use crate::auth::{signed, unix};
use crate::harness::{Peer, Setup, TERMINATE, get};
use serde_json::json;
use tokio::task::JoinSet;

const SECRET: &str = "planted-key-of-at-least-thirty-two-bytes";

#[tokio::test]
async fn planted_secrets_and_tokens_are_in_no_output() {
    let good = signed(SECRET, json!({ "sub": "alice", "exp": unix() + 600 }));
    let expired = signed(SECRET, json!({ "sub": "alice", "exp": 1 }));
    let forged = signed("another-key-of-at-least-thirty-two-bytes", json!({ "sub": "alice", "exp": unix() + 600 }));
    let setup = Setup::new()
        .set("log.level=trace")
        .set("log.directory=log")
        .set("shutdown.termination_log=termination")
        .set("auth.jwt_secret_file=key")
        .file("key", SECRET)
        .file("termination", "");
    let mut written = Vec::new();
    for command in ["config", "check"] {
        let output = setup.run(&[command]).await;
        assert!(output.status.success());
        written.extend([output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()));
    }
    let server = setup.start().await;
    for token in [&good, &expired, &forged] {
        let bearer = format!("Authorization: Bearer {token}\r\n");
        for (path, headers) in [(format!("/chat/ws?token={token}"), ""), ("/chat/ws".to_owned(), &*bearer)] {
            match Peer::handshake(server.at, &path, headers).await {
                Ok(mut peer) => {
                    peer.send(r#"{"type":"send","room":"lobby","id":"1","body":"x"}"#).await;
                    peer.until("ack").await;
                    written.push(format!("{:?}", peer.response));
                }
                Err(refused) => written.push(format!("{refused:?}")),
            }
        }
        for route in [
            "/chat/",
            "/chat/rooms/lobby/messages",
            "/chat/rooms/no%20room/messages",
            "/chat/healthz",
            "/nothing",
            "/metrics",
        ] {
            for query in [
                format!("token={token}"),
                format!("token={token}&token={token}"),
                format!("limit={token}&token={token}"),
            ] {
                written.push(format!("{:?}", get(server.at, &format!("{route}?{query}")).await.unwrap()));
            }
        }
    }
    written.push(get(server.at, "/metrics").await.unwrap().body);
    let finished = server.stop(TERMINATE).await;
    finished.report();
    written.extend(finished.lines.iter().map(ToString::to_string));
    written.push(finished.stderr);
    written.push(std::fs::read_to_string(setup.path().join("termination")).unwrap());
    for file in std::fs::read_dir(setup.path().join("log")).unwrap() {
        written.push(std::fs::read_to_string(file.unwrap().path()).unwrap());
    }
    let everything = written.concat();
    assert!(everything.contains("WebSocket connection opened"), "the log holds what goes on");
    // Of each token the claims and the signature.
    let mut planted = vec![SECRET];
    for token in [&good, &expired, &forged] {
        planted.extend(token.split('.').skip(1));
    }
    for secret in planted {
        let found = written.iter().find(|text| text.contains(secret));
        assert!(found.is_none(), "{secret} in {found:?}");
    }
}

/// Nothing listens at that address, so that every command that opens the store says why it cannot.
#[tokio::test]
async fn the_password_of_a_store_is_in_no_output() {
    let mut runs = JoinSet::new();
    for url in [
        "mongodb://ann:planted%2Fpassword@127.0.0.1:1/chat?replicaSet=rs0",
        // Common mistakes: a password that is not escaped, or an unknown option.
        "mongodb://ann:planted/password@127.0.0.1:1/chat",
        "mongodb://ann:planted@password@127.0.0.1:1/chat",
        "mongodb://ann:planted%password@127.0.0.1:1/chat",
        "mongodb://127.0.0.1:1/chat?proxyUsername=ann&proxyPassword=planted@password",
        "mongodb+srv://ann:planted@127.0.0.1:1/chat",
        "Mongodb://ann:planted@127.0.0.1:1/chat",
        "ann:planted@127.0.0.1:1/chat",
    ] {
        for command in ["config", "check", "serve"] {
            for in_file in [false, true] {
                runs.spawn(everything_said(url, command, in_file));
            }
        }
    }
    let mut reasons = 0;
    for written in runs.join_all().await {
        for secret in ["planted", "password"] {
            assert!(!written.contains(secret), "{secret} in {written}");
        }
        reasons += usize::from(written.contains("store.url: "));
    }
    assert_eq!(reasons, 2 * (3 * 8 - 1), "each command but `config` with the valid URL has said what is wrong");
}

/// What a command with this store writes, to wherever it writes.
async fn everything_said(url: &str, command: &str, in_file: bool) -> String {
    let setup = Setup::bare()
        .set("listen=127.0.0.1:0")
        .set("log.level=trace")
        .set("log.directory=log")
        .set("shutdown.termination_log=termination")
        .file("termination", "");
    let setup = if in_file {
        setup.set("store.url_file=url").file("url", format!("{url}\n"))
    } else {
        setup.env("CHATBOX_STORE__URL", url)
    };
    let output = setup.run(&[command]).await;
    let valid = url.contains("%2F");
    assert_eq!(output.status.success(), command == "config" && valid, "{command} with {url}");
    let mut written = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    written += &std::fs::read_to_string(setup.path().join("termination")).unwrap();
    for file in std::fs::read_dir(setup.path().join("log")).into_iter().flatten() {
        written += &std::fs::read_to_string(file.unwrap().path()).unwrap();
    }
    written
}
