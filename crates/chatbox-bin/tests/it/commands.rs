//! The commands beside `serve`.

use crate::harness::{Peer, Setup, TERMINATE};
use std::process::Output;

const KEY: &str = "a-key-of-at-least-thirty-two-bytes-for-tests";

#[tokio::test]
async fn config_shows_each_value_with_its_source_and_no_secret() {
    let file = "[shutdown]\ndrain = \"10s\"\nflush = \"1s\"\n[auth]\njwt_secret = \"a-key-of-at-least-thirty-two-bytes-for-tests\"";
    let setup = Setup::bare()
        .file("chatbox.toml", file)
        .env("CHATBOX_SHUTDOWN__FLUSH", "2s")
        .env("CHATBOX_LIMITS__BURST", "7")
        .env("CHATBOX_STORE__URL", "mongodb://ann:hunter2@db:27017/chat")
        .env("CHATBOX_AUTH__ALLOWED_ORIGINS", "https://a.example, https://b.example")
        // What Kubernetes says about a Service of that name is not meant for the program.
        .env("CHATBOX_PORT_8080_TCP", "tcp://10.0.0.1:8080")
        .env("CHATBOX_SERVICE_HOST", "10.0.0.1");
    let output = setup.args(["--listen", "127.0.0.1:9999"]).run(&["config", "--set", "limits.burst=8"]).await;
    let text = said(&output, 0);
    let shown = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        let (value, source) = line.split_once("  # ").unwrap();
        (value.split_once(" = ").unwrap().1.trim_end().to_owned(), source.to_owned())
    };
    let as_shown = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(shown("shutdown.grace"), as_shown(r#""30s""#, "default"));
    assert_eq!(shown("limits.max_connections"), as_shown("100000", "default"));
    assert_eq!(shown("shutdown.drain"), as_shown(r#""10s""#, "file chatbox.toml"));
    assert_eq!(shown("shutdown.flush"), as_shown(r#""2s""#, "environment: CHATBOX_SHUTDOWN__FLUSH"));
    assert_eq!(shown("limits.burst"), as_shown("8", "command line: limits.burst"));
    assert_eq!(shown("listen"), as_shown(r#""127.0.0.1:9999""#, "command line: listen"));
    assert_eq!(shown("auth.jwt_secret"), as_shown(r#""***""#, "file chatbox.toml"));
    assert_eq!(shown("store.url"), as_shown(r#""mongodb://db:27017/chat""#, "environment: CHATBOX_STORE__URL"));
    assert_eq!(
        shown("auth.allowed_origins"),
        as_shown(r#"["https://a.example", "https://b.example"]"#, "environment: CHATBOX_AUTH__ALLOWED_ORIGINS")
    );
    assert!(!text.contains("hunter2") && !text.contains(KEY), "{text}");
}

#[tokio::test]
async fn check_says_what_would_run() {
    let setup = Setup::bare().args(["--store", "sqlite:chat.db"]);
    let text = said(&setup.run(&["check"]).await, 0);
    let store = "store: sqlite:chat.db reached, would be created";
    for line in ["configuration: ok", store, "would listen on: http://127.0.0.1:8080/chat/"] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    let setup = Setup::bare().args(["--store", "sqlite:none/chat.db"]);
    assert!(said(&setup.run(&["check"]).await, 2).starts_with("chatbox: store.url: cannot open none/chat.db"));
    let setup = Setup::bare().set("shutdown.drain=1h");
    assert!(said(&setup.run(&["check"]).await, 2).contains("must be shorter than grace"));
}

#[tokio::test]
async fn check_and_config_create_and_lock_nothing_beside_a_running_service_and_before_the_first_start() {
    let setup = Setup::over("sqlite:chat.db");
    let files = || {
        let entries = std::fs::read_dir(setup.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let look = async |store: &str| {
        let before = files();
        assert!(said(&setup.run(&["check"]).await, 0).lines().any(|line| line == store));
        said(&setup.run(&["config"]).await, 0);
        assert_eq!(files(), before);
    };
    look("store: sqlite:chat.db reached, would be created").await;
    assert_eq!(files(), [""; 0]);
    let server = setup.start().await;
    look("store: sqlite:chat.db reached, in use by a running process").await;
    let mut peer = server.connect("alice").await;
    peer.send(r#"{"type":"send","room":"lobby","id":"1","body":"x"}"#).await;
    assert_eq!(peer.message().await["type"], "ack");
    drop(peer);
    assert_eq!(server.stop(TERMINATE).await.code(), 0);
    look("store: sqlite:chat.db reached").await;
}

#[tokio::test]
async fn epoch_shows_the_epoch_of_the_log_and_renews_it_while_no_service_has_it_open() {
    let setup = Setup::over("sqlite:chat.db");
    let absent = said(&setup.run(&["epoch"]).await, 1);
    assert!(absent.starts_with("chatbox: store.url: there is no chatbox log at "), "{absent}");
    let server = setup.start().await;
    let epoch = async || said(&setup.run(&["epoch"]).await, 0).trim().to_owned();
    let first = epoch().await;
    assert_eq!(first.len(), 16, "{first}");
    let in_use = said(&setup.run(&["epoch", "--new"]).await, 1);
    assert!(in_use.contains("chat.db is in use by another process"), "{in_use}");
    assert_eq!(server.stop(TERMINATE).await.code(), 0);
    let second = said(&setup.run(&["epoch", "--new"]).await, 0).trim().to_owned();
    assert_ne!(second, first);
    assert_eq!(epoch().await, second);
    // The service starts with it and keeps it.
    assert_eq!(setup.start().await.stop(TERMINATE).await.code(), 0);
    assert_eq!(epoch().await, second);
}

#[tokio::test]
async fn probe_asks_a_running_service() {
    let server = Setup::new().start().await;
    let url = format!("http://{}", server.at);
    let with_prefix = format!("{url}/chat");
    let at = format!("listen={}", server.at);
    for which in ["live", "ready"] {
        for arguments in [&["--url", &url][..], &["--url", &with_prefix], &["--set", &at]] {
            let output = Setup::bare().run(&[&["probe", which], arguments].concat()).await;
            assert_eq!(said(&output, 0), "");
        }
    }
    let output = Setup::bare().run(&["probe", "live", "--url", &format!("{url}/elsewhere")]).await;
    assert!(said(&output, 1).ends_with("answered 404 Not Found\n"));
    server.stop(crate::harness::TERMINATE).await;
    let output = Setup::bare().run(&["probe", "ready", "--url", &url]).await;
    assert!(said(&output, 1).starts_with(&format!("chatbox: probe: {url}/chat/readyz: ")));
    let output = Setup::bare().run(&["probe", "ready", "--url", "ftp://x"]).await;
    assert!(said(&output, 2).starts_with("chatbox: --url: "));
}

#[tokio::test]
async fn token_mints_what_the_service_lets_in() {
    let setup = Setup::new().env("CHATBOX_AUTH__JWT_SECRET_FILE", "key").file("key", format!("{KEY}\n"));
    let output = setup.run(&["token", "--user", "alice", "--ttl", "5m", "--rooms", "support-*,lobby"]).await;
    let token = said(&output, 0).trim().to_owned();
    let server = setup.start().await;
    let mut peer = Peer::open(server.at, &format!("/chat/ws?token={token}")).await;
    assert_eq!(peer.message().await["user"], "alice");
    for (room, answer) in [("support-7", "joined"), ("lobby", "joined"), ("board", "error")] {
        peer.send(&format!(r#"{{"type":"join","room":"{room}"}}"#)).await;
        assert_eq!(peer.message().await["type"], answer, "{room}");
    }
    let without = Setup::bare();
    let text = said(&without.run(&["token", "--user", "alice"]).await, 2);
    assert_eq!(text, "chatbox: token: no auth.jwt_secret is set, so there is nothing to sign with\n");
}

/// What it printed, on the stream that goes with its exit code.
fn said(output: &Output, code: i32) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    if code == 0 { stdout } else { stderr }.into_owned()
}
