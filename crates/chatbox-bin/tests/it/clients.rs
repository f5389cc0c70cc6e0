//! The commands that connect to a service, `connect`, `soak` and `probe`: plain, and by TLS through a terminating proxy.

use crate::auth::{signed, unix};
use crate::harness::{Setup, TERMINATE};
use chatbox_client::{Client, Event, JoinFrom};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Of `chatbox-client`'s tests: an authority, and its certificate for `localhost`.
const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../chatbox-client/tests/it/tls");

/// Terminates TLS before a service, as a load balancer does.
async fn terminator(service: SocketAddr) -> u16 {
    let chain = CertificateDer::pem_file_iter(format!("{TLS}/server.pem")).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(format!("{TLS}/server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(stream).await else { return };
                let mut service = TcpStream::connect(service).await.unwrap();
                // Either side may go away.
                let _ = copy_bidirectional(&mut client, &mut service).await;
            });
        }
    });
    port
}

fn stdout(output: &Output, code: i32) -> String {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stdout}{stderr}");
    stdout.into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_soak_finds_no_violation() {
    let server = Setup::new().start().await;
    let url = format!("ws://{}/chat", server.at);
    let arguments =
        ["soak", "--url", &url, "--clients=6", "--rooms=2", "--rate=10", "--for=1s", "--stubborn=1", "--json"];
    let output = Setup::bare().run(&arguments).await;
    let report: Value = serde_json::from_str(&stdout(&output, 0)).unwrap();
    assert_eq!(
        (&report["ok"], &report["clients"], &report["connects"]),
        (&true.into(), &6.into(), &6.into()),
        "{report}"
    );
    assert!(report["acked"].as_u64().unwrap() > 0 && report["acked"] == report["stored"], "{report}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("6/6 connected"));
    server.stop(TERMINATE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_outlives_its_tokens_and_is_never_without_a_connection() {
    const KEY: &str = "a-key-of-at-least-thirty-two-bytes-for-tests";
    let server = Setup::new().set(&format!("auth.jwt_secret={KEY}")).start().await;
    let url = format!("ws://{}/chat", server.at);
    let token = |user: &'static str, life: u64| signed(KEY, json!({ "sub": user, "exp": unix() + life }));
    let (sender, _) = Client::builder().server(&url).token(token("alice", 600)).connect().unwrap();
    let reader = Client::builder().server(&url).refresh_before(Duration::from_secs(1));
    let provider = move || async move { Ok::<_, std::io::Error>(token("bob", 3)) };
    let (reader, mut events) = reader.token_provider(provider).connect().unwrap();
    reader.join("lobby", JoinFrom::After(0)).unwrap();

    let mut expected = 1;
    // Each message is sent when the one before it has arrived, over all three connections.
    drop(sender.send("lobby", "1"));
    while reader.stats().moves < 2 {
        match events.next().await.unwrap() {
            Event::Message { seq, .. } => {
                assert_eq!(seq, expected);
                expected += 1;
                drop(sender.send("lobby", &expected.to_string()));
            }
            event @ (Event::Disconnected { .. } | Event::Gap { .. } | Event::Closed { .. }) => panic!("{event:?}"),
            _ => {}
        }
    }
    assert!(expected > 10, "{expected}");
    let stats = reader.stats();
    assert_eq!((stats.disconnects, stats.duplicates, stats.violations), (0, 0, 0));
    reader.close().await;
    sender.close().await;
    server.stop(TERMINATE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_reach_a_service_behind_tls() {
    let server = Setup::new().start().await;
    let port = terminator(server.at).await;
    let (wss, https, ca) =
        (format!("wss://localhost:{port}"), format!("https://localhost:{port}"), format!("{TLS}/ca.pem"));
    let run = async |arguments: &[&str]| Setup::bare().run(arguments).await;

    stdout(&run(&["probe", "ready", "--url", &https, "--ca", &ca]).await, 0);
    // Stdin is empty: the client connects and leaves.
    stdout(&run(&["connect", "--url", &wss, "--user=alice", "--ca", &ca]).await, 0);
    let soak =
        ["soak", "--url", &wss, "--clients=2", "--rooms=1", "--for=500ms", "--stubborn=1", "--json", "--ca", &ca];
    let report: Value = serde_json::from_str(&stdout(&run(&soak).await, 0)).unwrap();
    assert_eq!((&report["ok"], &report["connects"]), (&true.into(), &2.into()), "{report}");

    // The system does not know the authority, or has none at all.
    let untrusted = run(&["probe", "ready", "--url", &https]).await;
    stdout(&untrusted, 1);
    let missing = run(&["probe", "ready", "--url", &https, "--ca", "missing.pem"]).await;
    stdout(&missing, 2);
    let stderr = String::from_utf8_lossy(&missing.stderr);
    assert!(stderr.starts_with("chatbox: --ca: cannot read certificate authorities from missing.pem: "), "{stderr}");
    server.stop(TERMINATE).await;
}
