//! Who is let in, and where (contract section 3): tokens, anonymous names, rooms.

use crate::harness::{Peer, Response, Server, Setup, TERMINATE, request};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::{Value, json};
use std::process::Command;
use std::time::SystemTime;

const KEY: &str = "a-key-of-at-least-thirty-two-bytes-for-tests";

#[tokio::test]
async fn a_token_is_taken_from_the_header_and_from_the_query() {
    let server = Setup::new().set(&format!("auth.jwt_secret={KEY}")).start().await;
    let token = signed(KEY, json!({ "sub": "alice", "exp": unix() + 60 }));
    for (path, headers) in [
        ("/chat/ws".to_owned(), format!("Authorization: Bearer {token}\r\n")),
        ("/chat/ws".to_owned(), format!("authorization: bearer {token}\r\n")),
        (format!("/chat/ws?token={token}"), String::new()),
        // A name is not believed where there are tokens.
        (format!("/chat/ws?token={token}&user=mallory"), String::new()),
    ] {
        let mut peer =
            Peer::handshake(server.at, &path, &headers).await.unwrap_or_else(|refused| panic!("{refused:?}"));
        assert_eq!(peer.message().await["user"], "alice");
    }
}

#[tokio::test]
async fn a_token_in_the_address_is_refused_where_that_is_configured() {
    let setup = Setup::new().set(&format!("auth.jwt_secret={KEY}")).set("auth.query_token=false");
    let server = setup.start().await;
    let token = signed(KEY, json!({ "sub": "alice", "exp": unix() + 60 }));
    let Err(upgrade) = Peer::handshake(server.at, &format!("/chat/ws?token={token}"), "").await else {
        panic!("a token in the address was accepted");
    };
    for refused in [upgrade, server.get(&format!("/rooms/lobby/messages?token={token}")).await] {
        assert!(refused.refusal(401, "unauthorized").starts_with("a token in the address is not accepted"));
    }
    for headers in [
        format!("Authorization: Bearer {token}\r\n"),
        format!("Sec-WebSocket-Protocol: chatbox.v1, bearer.{token}\r\n"),
    ] {
        let mut peer =
            Peer::handshake(server.at, "/chat/ws", &headers).await.unwrap_or_else(|refused| panic!("{refused:?}"));
        assert_eq!(peer.message().await["user"], "alice");
        let answered = peer.response.header("sec-websocket-protocol");
        assert_eq!(answered, headers.starts_with("Sec").then_some("chatbox.v1"));
    }
    let finished = server.stop(TERMINATE).await;
    assert!(!format!("{:?}{}", finished.lines, finished.stderr).contains(&token));
}

#[tokio::test]
async fn who_has_no_good_token_is_refused() {
    let server = Setup::new().set(&format!("auth.jwt_secret={KEY}")).start().await;
    let claims = || json!({ "sub": "alice", "exp": unix() + 60 });
    let with = |key: &str, value: Value| {
        let mut claims = claims();
        claims[key] = value;
        claims
    };
    let without = |key: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(key);
        claims
    };
    let good = signed(KEY, claims());
    let (head, rest) = good.split_once('.').unwrap();
    // The header {"alg":"none"}, and no signature.
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", rest.split_once('.').unwrap().0);
    for (token, said) in [
        ("nonsense".to_owned(), "the token is not valid"),
        (unsigned, "the token is not valid"),
        (format!("{head}.{head}.{rest}"), "the token is not valid"),
        (format!("{good}x"), "the token is not valid"),
        (signed("another-key-of-at-least-thirty-two-bytes", claims()), "the token is not valid"),
        (signed(KEY, without("sub")), "the token is not valid"),
        (signed(KEY, without("exp")), "the token is not valid"),
        (signed(KEY, with("nbf", json!(unix() + 600))), "the token is not valid"),
        (signed(KEY, with("rooms", json!("lobby"))), "the token is not valid"),
        (signed(KEY, with("rooms", json!(["[z-"]))), "the token is not valid"),
        (signed(KEY, with("exp", json!(unix() - 5))), "the token has expired"),
        (signed(KEY, with("exp", json!(unix() - 500))), "the token has expired"),
        (signed(KEY, with("sub", json!(""))), "the user name must have 1 to 128 bytes, all of them visible"),
        (signed(KEY, with("sub", json!("a\nb"))), "the user name must have 1 to 128 bytes, all of them visible"),
    ] {
        for refused in [upgrade(&server, &token).await, history(&server, "lobby", &token).await] {
            assert_eq!(refused.refusal(401, "unauthorized"), said, "{token}");
            assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
            assert!(!refused.body.contains(&token), "{refused:?}");
        }
    }
    let missing = server.get("/rooms/lobby/messages?user=alice").await;
    assert_eq!(missing.refusal(401, "unauthorized"), "a token is needed: Authorization: Bearer JWT, or ?token=JWT");
    // Probes need no authentication.
    assert_eq!(server.get("/readyz").await.status, 200);

    let finished = server.stop(TERMINATE).await;
    let log = format!("{:?}{}", finished.lines, finished.stderr);
    assert!(!log.contains(&good) && !log.contains(KEY));
}

#[tokio::test]
async fn the_rooms_of_a_token_bound_join_send_and_history() {
    let server = Setup::new().set(&format!("auth.jwt_secret={KEY}")).start().await;
    let token = signed(KEY, json!({ "sub": "alice", "exp": unix() + 60, "rooms": ["support-*", "lobby"] }));
    let mut peer = Peer::open(server.at, &format!("/chat/ws?token={token}")).await;
    peer.message().await;
    for (room, allowed) in [("support-7", true), ("lobby", true), ("lobby2", false), ("board", false)] {
        let refusal =
            json!({ "type": "error", "code": "not_allowed", "message": "you may not enter this room", "room": room });
        peer.send(&json!({ "type": "send", "room": room, "id": "1", "body": "x" }).to_string()).await;
        let answer = peer.message().await;
        let mut refused = refusal.clone();
        refused["id"] = json!("1");
        assert_eq!(answer, if allowed { json!({ "type": "ack", "room": room, "id": "1", "seq": 1 }) } else { refused });
        peer.send(&json!({ "type": "join", "room": room }).to_string()).await;
        let mut answer = peer.message().await;
        assert_eq!(answer.as_object_mut().unwrap().remove("epoch").is_some(), allowed);
        assert_eq!(
            answer,
            if allowed { json!({ "type": "joined", "room": room, "head": 1, "first": 1 }) } else { refusal }
        );
        let page = history(&server, room, &token).await;
        if allowed {
            assert_eq!(page.json()["head"], 1);
        } else {
            page.refusal(403, "not_allowed");
        }
    }
}

#[tokio::test]
async fn a_connection_outlives_no_token() {
    let server = Setup::new().set(&format!("auth.jwt_secret={KEY}")).start().await;
    let token = signed(KEY, json!({ "sub": "alice", "exp": unix() + 2 }));
    let mut peer = Peer::open(server.at, &format!("/chat/ws?token={token}")).await;
    assert_eq!(peer.message().await["user"], "alice");
    peer.finish().await.assert_closed(1008, "token expired");
    assert!(unix() >= expiry(&token), "closed too early");
    upgrade(&server, &token).await.refusal(401, "unauthorized");
}

#[tokio::test]
async fn tokens_signed_with_rsa_ecdsa_and_eddsa_are_checked_with_the_public_key() {
    for (algorithm, options) in [
        (Algorithm::RS256, &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..]),
        (Algorithm::ES256, &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        (Algorithm::EdDSA, &["ED25519"]),
    ] {
        let setup = Setup::new().set("auth.jwt_public_key_file=public.pem");
        let made = openssl(&setup, &[&["genpkey", "-algorithm"], options, &["-out", "private.pem"]].concat())
            && openssl(&setup, &["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"]);
        if !made {
            eprintln!("not run: there is no openssl to make keys with");
            return;
        }
        let private = std::fs::read(setup.path().join("private.pem")).unwrap();
        let key = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(&private),
            Algorithm::ES256 => EncodingKey::from_ec_pem(&private),
            _ => EncodingKey::from_ed_pem(&private),
        };
        let claims = json!({ "sub": "alice", "exp": unix() + 60 });
        let token = encode(&Header::new(algorithm), &claims, &key.unwrap()).unwrap();
        let server = setup.start().await;
        let mut peer = Peer::open(server.at, &format!("/chat/ws?token={token}")).await;
        assert_eq!(peer.message().await["user"], "alice", "{algorithm:?}");

        // The public key is no secret: it must not pass for one.
        let public = std::fs::read_to_string(setup.path().join("public.pem")).unwrap();
        upgrade(&server, &signed(&public, claims.clone())).await.refusal(401, "unauthorized");
        let (signed_part, _) = token.rsplit_once('.').unwrap();
        upgrade(&server, &format!("{signed_part}.AAAA")).await.refusal(401, "unauthorized");
    }
}

#[tokio::test]
async fn names_are_believed_where_that_is_configured() {
    let secret = format!("auth.jwt_secret={KEY}");
    let token = signed(KEY, json!({ "sub": "alice", "exp": unix() + 60 }));
    for (settings, name, with_token) in [
        (&[][..], true, false),
        (&[&*secret], false, true),
        (&[&*secret, "auth.anonymous=never"], false, true),
        (&[&*secret, "auth.anonymous=always"], true, true),
        (&["listen=0.0.0.0:0", "auth.anonymous=always"], true, false),
        (&["listen=0.0.0.0:0", &*secret], false, true),
    ] {
        let setup = settings.iter().fold(Setup::new(), |setup, setting| setup.set(setting));
        let mut server = setup.start().await;
        server.at.set_ip([127, 0, 0, 1].into());
        let named = Peer::handshake(server.at, "/chat/ws?user=bob", "").await;
        assert_eq!(named.is_ok(), name, "{settings:?}");
        let tokened = Peer::handshake(server.at, &format!("/chat/ws?token={token}"), "").await;
        let user = match tokened {
            Ok(mut peer) => peer.message().await["user"].clone(),
            Err(refused) => json!(refused.status),
        };
        // Where no key is set, a token says nothing.
        assert_eq!(user == "alice", with_token, "{settings:?}: {user}");
    }
}

#[tokio::test]
async fn a_name_that_is_no_user_id_is_refused() {
    let server = Setup::new().start().await;
    let long = "x".repeat(129);
    for name in ["", "a%00b", "a%0Ab", "%7F", "%E2%80%AEbob", "bob%E2%80%8B", "%20bob", &long] {
        let path = format!("/chat/ws?user={name}");
        match Peer::handshake(server.at, &path, "").await {
            Ok(_) => panic!("{name} was let in"),
            Err(refused) => _ = refused.refusal(401, "unauthorized"),
        }
    }
    let mut peer = Peer::open(server.at, "/chat/ws?user=%C3%84nne%20%F0%9F%A6%80").await;
    assert_eq!(peer.message().await["user"], "Änne 🦀");
    let twice = Peer::handshake(server.at, "/chat/ws?user=a&user=b", "").await;
    twice.err().unwrap().refusal(400, "bad_request");
}

pub(crate) async fn upgrade(server: &Server, token: &str) -> Response {
    match Peer::handshake(server.at, "/chat/ws", &format!("Authorization: Bearer {token}\r\n")).await {
        Ok(_) => panic!("{token} was let in"),
        Err(refused) => refused,
    }
}

pub(crate) async fn history(server: &Server, room: &str, token: &str) -> Response {
    let at = server.at;
    let head =
        format!("GET /chat/rooms/{room}/messages HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {token}\r\n\r\n");
    request(at, &head).await.unwrap()
}

/// A signed token, as [`jsonwebtoken::encode`] makes it.
pub(crate) fn encode(
    header: &Header,
    claims: &impl Serialize,
    key: &EncodingKey,
) -> jsonwebtoken::errors::Result<String> {
    chatbox::install_jwt_crypto();
    jsonwebtoken::encode(header, claims, key)
}

pub(crate) fn signed(key: &str, claims: Value) -> String {
    encode(&Header::default(), &claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
}

/// The `exp` of a token.
fn expiry(token: &str) -> u64 {
    let claims = jsonwebtoken::dangerous::insecure_decode::<Value>(token).unwrap().claims;
    claims["exp"].as_u64().unwrap()
}

pub(crate) fn unix() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// Runs `openssl` in the directory of the setup. Says whether that worked.
pub(crate) fn openssl(setup: &Setup, arguments: &[&str]) -> bool {
    let output = Command::new("openssl").args(arguments).current_dir(setup.path()).output();
    output.is_ok_and(|output| output.status.success())
}
