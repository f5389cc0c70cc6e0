//! Bad tokens: every one is refused as documented, and none is answered with 101. They are attacks, too: `attacks/tokens.rs`.

use crate::auth::{encode, openssl, signed, unix};
use crate::harness::{Peer, Response, Server, Setup, get, request, within};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const KEY: &str = "a-key-of-at-least-thirty-two-bytes-for-tests";

/// A bad token, and the expected answer.
pub(crate) struct Bad {
    pub(crate) what: &'static str,
    /// The queries and headers that it comes in.
    ways: Vec<(String, String)>,
    refusal: (u16, &'static str, &'static str),
}

impl Bad {
    pub(crate) fn expected(&self) -> String {
        let (status, code, said) = self.refusal;
        format!("{status} `{code}`: {said}")
    }

    /// How the WebSocket and the history answer it: once, if they answer alike.
    pub(crate) async fn observed(&self, server: &Server) -> String {
        let mut answers = Vec::new();
        for (query, headers) in &self.ways {
            let head = format!("GET /chat/rooms/lobby/messages{query} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
            let upgrade = Peer::handshake(server.at, &format!("/chat/ws{query}"), headers).await;
            let upgrade = upgrade.map_or_else(|refused| self.describe(&refused), |_| "101".to_owned());
            answers.extend([upgrade, self.describe(&request(server.at, &head).await.unwrap())]);
        }
        answers.dedup();
        answers.join("; ")
    }

    fn describe(&self, answer: &Response) -> String {
        let body = answer.json();
        let [code, said] = ["error", "message"].map(|key| body[key].as_str().unwrap_or_default());
        let mut words = format!("{} `{code}`: {said}", answer.status);
        if answer.status == 401 && answer.header("www-authenticate") != Some("Bearer") {
            words.push_str(", without WWW-Authenticate");
        }
        // What identifies a token is its end: its head is the same for all, and what is short may stand there by chance.
        let parts = self
            .ways
            .iter()
            .flat_map(|(query, headers)| [query, headers])
            .flat_map(|way| way.split(['.', ' ', '=', '&']));
        if parts.map(str::trim).filter(|part| part.len() >= 40).any(|part| answer.body.contains(part)) {
            words.push_str(", and repeats what was sent");
        }
        words
    }
}

/// Two keys with names, an issuer and an audience; returns the public one of them, too.
pub(crate) fn setup() -> (Setup, String) {
    let setup = Setup::new()
        .set("auth.jwt_keys_dir=keys")
        .set("auth.issuer=https://issuer.example")
        .set("auth.audience=chatbox")
        .pass(|user| format!("token={}", signed(KEY, with("sub", Some(json!(user))))));
    std::fs::create_dir(setup.path().join("keys")).unwrap();
    let setup = setup.file("keys/own.secret", format!("{KEY}\n"));
    let rsa = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "private.pem"];
    let made =
        openssl(&setup, &rsa) && openssl(&setup, &["pkey", "-in", "private.pem", "-pubout", "-out", "keys/theirs.pem"]);
    assert!(made, "openssl is needed to make keys with");
    let public = std::fs::read_to_string(setup.path().join("keys/theirs.pem")).unwrap();
    (setup, public)
}

fn claims() -> Value {
    json!({ "sub": "alice", "exp": unix() + 600, "iss": "https://issuer.example", "aud": ["other", "chatbox"] })
}

/// Good claims with one replaced, or with none of that name.
fn with(name: &str, value: Option<Value>) -> Value {
    let mut claims = claims();
    let claims_map = claims.as_object_mut().unwrap();
    claims_map.remove(name);
    claims_map.extend(value.map(|value| (name.to_owned(), value)));
    claims
}

/// Good claims, with what no value of `serde_json` can hold at their end.
fn raw(members: &str) -> String {
    let claims = with("exp", None).to_string();
    let payload = RawValue::from_string(format!("{},{members}}}", claims.strip_suffix('}').unwrap())).unwrap();
    encode(&Header::default(), &payload, &EncodingKey::from_secret(KEY.as_bytes())).unwrap()
}

/// Signed with the good key under another head.
fn headed(change: impl FnOnce(&mut Header)) -> String {
    let mut header = Header::default();
    change(&mut header);
    encode(&header, &claims(), &EncodingKey::from_secret(KEY.as_bytes())).unwrap()
}

fn kid(kid: &str) -> String {
    headed(|header| header.kid = Some(kid.to_owned()))
}

/// Each of these is refused.
pub(crate) fn bad(public: &str) -> Vec<Bad> {
    let good = signed(KEY, claims());
    let [head, payload, signature] = *good.split('.').collect::<Vec<_>>() else { panic!("{good}") };
    let confused = Header { kid: Some("theirs".to_owned()), ..Header::default() };
    let confused = encode(&confused, &claims(), &EncodingKey::from_secret(public.as_bytes())).unwrap();
    let changed = signed(KEY, with("sub", Some(json!("mallory"))));
    let changed = changed.split('.').nth(1).unwrap();
    let invalid = "the token is not valid";
    let expired = "the token has expired";
    let invisible = "the user name must have 1 to 128 bytes, all of them visible";
    let claim = |name: &str, value: Value| signed(KEY, with(name, Some(value)));
    let lacking = |name: &str| signed(KEY, with(name, None));
    let tokens = [
        ("nonsense", "nonsense".to_owned(), invalid),
        ("one dot", format!("{head}.{payload}"), invalid),
        ("a part too many", format!("{good}.{signature}"), invalid),
        ("a part too many in front", format!("{head}.{good}"), invalid),
        ("three empty parts", "..".to_owned(), invalid),
        ("no base64", format!("{head}.!!!!.{signature}"), invalid),
        ("padded base64", format!("{good}=="), invalid),
        ("no signature", format!("{head}.{payload}."), invalid),
        ("a longer signature", format!("{good}AAAA"), invalid),
        ("the claims of another token", format!("{head}.{changed}.{signature}"), invalid),
        // {"alg":"none"}, and the same in other letters.
        ("unsigned", format!("eyJhbGciOiJub25lIn0.{payload}."), invalid),
        ("unsigned, signature kept", format!("eyJhbGciOiJub25lIn0.{payload}.{signature}"), invalid),
        ("unsigned, letters mixed", format!("eyJhbGciOiJuT25FIn0.{payload}."), invalid),
        ("another key", signed("another-key-of-at-least-thirty-two-bytes", claims()), invalid),
        ("the RSA key as a secret", signed(public, claims()), invalid),
        ("the RSA key as a secret, by its name", confused, invalid),
        ("an algorithm that is not the key's", headed(|header| header.alg = Algorithm::HS512), invalid),
        ("the name of another key", kid("theirs"), invalid),
        ("an unknown name", kid("elsewhere"), invalid),
        ("an empty name", kid(""), invalid),
        ("a path for a name", kid("../keys/own"), invalid),
        ("a file's name for a name", kid("own.secret"), invalid),
        ("something critical", headed(|header| header.crit = Some(vec!["exp".to_owned()])), invalid),
        ("no claims", signed(KEY, json!([])), invalid),
        ("no exp", lacking("exp"), invalid),
        ("exp as text", claim("exp", json!((unix() + 600).to_string())), invalid),
        ("exp as null", claim("exp", Value::Null), invalid),
        ("exp beyond all numbers", raw(r#""exp":1e400"#), invalid),
        ("exp beyond all time", raw(r#""exp":1e300"#), invalid),
        ("exp before all time", claim("exp", json!(-1)), invalid),
        ("exp twice", raw(r#""exp":1,"exp":9999999999"#), invalid),
        ("expired long ago", claim("exp", json!(1)), expired),
        ("expired just now", claim("exp", json!(unix() - 2)), expired),
        ("nbf in ten minutes", claim("nbf", json!(unix() + 600)), invalid),
        ("nbf as text", claim("nbf", json!("now")), invalid),
        ("issued in ten minutes", claim("iat", json!(unix() + 600)), invalid),
        ("no iss", lacking("iss"), invalid),
        ("another iss", claim("iss", json!("https://issuer.example.evil")), invalid),
        ("no aud", lacking("aud"), invalid),
        ("another aud", claim("aud", json!(["other"])), invalid),
        ("no sub", lacking("sub"), invalid),
        ("a number for sub", claim("sub", json!(7)), invalid),
        ("sub twice", raw(r#""exp":9999999999,"sub":"bob""#), invalid),
        ("an empty sub", claim("sub", json!("")), invisible),
        ("a sub that turns", claim("sub", json!("\u{202e}ecila")), invisible),
        ("a sub too long", claim("sub", json!("a".repeat(129))), invisible),
        ("rooms as text", claim("rooms", json!("lobby")), invalid),
        ("rooms that are no patterns", claim("rooms", json!(["[z-"])), invalid),
        ("10 kB", claim("padding", json!("x".repeat(7_500))), invalid),
    ];
    let one = "give one token, in one Authorization header or in ?token=";
    let missing = "a token is needed: Authorization: Bearer JWT, or ?token=JWT";
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let ways = |token: &str| vec![(String::new(), bearer(token)), (format!("?token={token}"), String::new())];
    let whole =
        tokens.map(|(what, token, said)| Bad { what, ways: ways(&token), refusal: (401, "unauthorized", said) });
    let twice = "Failed to deserialize query string: duplicate field `token`";
    let parts = [
        ("two headers", String::new(), bearer(&good).repeat(2), (401, "unauthorized", one)),
        (
            "two headers, one of them of another kind",
            String::new(),
            format!("Authorization: Basic YTpi\r\n{}", bearer(&good)),
            (401, "unauthorized", one),
        ),
        ("a header and a parameter", format!("?token={good}"), bearer(&good), (401, "unauthorized", one)),
        ("two parameters", format!("?token={good}&token={good}"), String::new(), (400, "bad_request", twice)),
        ("an empty parameter", "?token=".to_owned(), String::new(), (401, "unauthorized", invalid)),
        ("a parameter in capitals", format!("?Token={good}"), String::new(), (401, "unauthorized", missing)),
        (
            "another kind of header",
            String::new(),
            format!("Authorization: Basic {good}\r\n"),
            (401, "unauthorized", missing),
        ),
        ("no kind of header", String::new(), format!("Authorization: {good}\r\n"), (401, "unauthorized", missing)),
        ("a cookie", String::new(), format!("Cookie: token={good}\r\n"), (401, "unauthorized", missing)),
        ("a name", "?user=alice".to_owned(), String::new(), (401, "unauthorized", missing)),
    ];
    let parts = parts.map(|(what, query, headers, refusal)| Bad { what, ways: vec![(query, headers)], refusal });
    whole.into_iter().chain(parts).collect()
}

#[tokio::test]
async fn no_bad_token_opens_anything() {
    let (setup, public) = setup();
    let server = setup.start().await;
    let bad = bad(&public);
    for bad in &bad {
        assert_eq!(bad.observed(&server).await, bad.expected(), "{}", bad.what);
    }
    let metrics = get(server.at, "/metrics").await.unwrap().body;
    for (status, reason) in [(401, "unauthorized"), (400, "bad_request")] {
        let ways: usize = bad.iter().filter(|bad| bad.refusal.0 == status).map(|bad| bad.ways.len()).sum();
        let counted = format!(r#"chatbox_connections_refused_total{{reason="{reason}"}} {}"#, 2 * ways);
        assert!(metrics.lines().any(|line| line == counted), "{counted}\n{metrics}");
    }
    assert!(metrics.lines().any(|line| line == "chatbox_connections_opened_total 0"), "{metrics}");

    // The same server lets in what is good, whatever may be missing or be there besides.
    for token in
        [signed(KEY, claims()), kid("own"), raw(&format!(r#""exp":{}.5,"iat":1.5,"nbf":{}"#, unix() + 60, unix() + 20))]
    {
        let mut peer = Peer::open(server.at, &format!("/chat/ws?token={token}")).await;
        assert_eq!(peer.message().await["user"], "alice");
    }
}

#[tokio::test]
async fn a_token_of_a_megabyte_ends_with_the_head_that_holds_it() {
    let server = setup().0.start().await;
    send_a_megabyte(&server).await;
    assert_eq!(server.get("/readyz").await.status, 200);
}

/// Sends tokens of a megabyte, which the server does not read to their end.
pub(crate) async fn send_a_megabyte(server: &Server) {
    let long = "A".repeat(1 << 20);
    for head in [
        format!("GET /chat/ws HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {long}\r\n\r\n"),
        format!("GET /chat/ws?token={long} HTTP/1.1\r\nHost: x\r\n\r\n"),
    ] {
        let (mut input, mut output) = TcpStream::connect(server.at).await.unwrap().into_split();
        // The server does not read to the end of it.
        let written = tokio::spawn(async move { output.write_all(head.as_bytes()).await });
        let mut answer = Vec::new();
        // So that the answer may be lost with the connection.
        let _ = within("the end of the connection", input.read_to_end(&mut answer)).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431 ") || answer.starts_with("HTTP/1.1 414 "),
            "{answer}"
        );
        let _ = written.await.unwrap();
    }
}
