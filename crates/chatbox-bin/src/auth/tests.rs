//! Tokens and query strings of every shape: none makes the check panic, and only what was signed passes.

use super::*;
use axum::extract::Query;
use http::{HeaderValue, Uri};
use proptest::prelude::*;

const SECRET: &str = "a-key-of-at-least-thirty-two-bytes-for-tests";

fn authenticator() -> Authenticator {
    let sources = KeySources { secret: Some(Secret::new(SECRET)), ..KeySources::default() };
    let keys = KeyRing::load(sources, ClaimRules::default()).unwrap();
    Authenticator { keys: keys.map(Arc::new), anonymous: AnonymousPolicy::Never, query_token: true }
}

fn with_query(token: impl Into<String>) -> Result<Identity, AuthError> {
    authenticator().identify(None, &HeaderMap::new(), Credentials { token: Some(token.into()), user: None })
}

fn signed_token() -> String {
    let rooms = Some(vec!["support-*".to_owned()]);
    let signer = TokenSigner { secret: Secret::new(SECRET), rules: ClaimRules::default() };
    signer.token("alice", Duration::from_secs(60), rooms).unwrap()
}

#[test]
fn a_minted_token_says_who_where_and_for_how_long() {
    let Identity { user, expires, rooms } = with_query(signed_token()).ok().unwrap();
    assert_eq!(user, "alice");
    let left = expires.unwrap().duration_since(SystemTime::now()).unwrap();
    assert!((58..=60).contains(&left.as_secs()));
    let rooms = rooms.unwrap();
    assert!(rooms("support-7") && !rooms("lobby"));
}

#[test]
fn names_without_a_token_are_accepted_by_policy_and_peer() {
    let peer = |text: &str| Some(text.parse().unwrap());
    let (never, local, always) = (AnonymousPolicy::Never, AnonymousPolicy::LoopbackPeers, AnonymousPolicy::Always);
    for (policy, peer, accepted) in [
        (never, peer("127.0.0.1"), false),
        (local, peer("127.0.0.1"), true),
        (local, peer("127.8.8.8"), true),
        (local, peer("::1"), true),
        (local, peer("::ffff:127.0.0.1"), true),
        (local, peer("192.168.1.2"), false),
        (local, peer("::ffff:192.168.1.2"), false),
        (local, None, false),
        (always, peer("192.0.2.1"), true),
        (always, None, true),
    ] {
        let authenticator = Authenticator { keys: None, anonymous: policy, query_token: true };
        let credentials = Credentials { token: None, user: Some("admin".to_owned()) };
        let identity = authenticator.identify(peer, &HeaderMap::new(), credentials);
        assert_eq!(
            identity.map(|identity| identity.user).ok().as_deref(),
            accepted.then_some("admin"),
            "{policy:?} {peer:?}"
        );
    }
}

#[test]
fn a_token_may_be_offered_as_a_subprotocol() {
    let token = signed_token();
    let offer = |offers: &[String]| {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(SEC_WEBSOCKET_PROTOCOL, offer.parse().unwrap());
        }
        authenticator().identify(None, &headers, Credentials::default()).map(|identity| identity.user)
    };
    for offers in [&[format!("chatbox.v1, bearer.{token}")][..], &["chatbox.v1".to_owned(), format!("bearer.{token}")]]
    {
        assert_eq!(offer(offers).as_deref(), Ok("alice"));
    }
    assert_eq!(offer(&[format!("bearer.{token}, bearer.{token}")]), Err(AuthError::Ambiguous));
    assert_eq!(offer(&["chatbox.v1, bearer.x".to_owned()]), Err(AuthError::Invalid));
    assert_eq!(offer(&["chatbox.v1".to_owned()]), Err(AuthError::Missing));
}

#[test]
fn user_ids_are_short_and_visible() {
    for good in ["a", "Änne 🦀", "al'ice \"x\" \\", "東京", "नमस्ते", &"x".repeat(128)] {
        assert_eq!(checked(good.to_owned()).as_deref(), Ok(good));
    }
    // Empty, too long, spaces around, control, zero width, direction, byte order mark, line separator, private, soft hyphen.
    let bad = [
        "",
        &"x".repeat(129),
        " a",
        "a ",
        "a\nb",
        "a\0",
        "a\u{200b}b",
        "a\u{202e}b",
        "\u{feff}a",
        "a\u{2028}b",
        "\u{e000}",
        "a\u{ad}",
    ];
    for bad in bad {
        assert_eq!(checked(bad.to_owned()), Err(AuthError::BadUser), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_text_passes_for_a_token(token in any::<String>(), parts in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,50}") {
        prop_assert_eq!(with_query(token).err(), Some(AuthError::Invalid));
        prop_assert_eq!(with_query(parts).err(), Some(AuthError::Invalid));
    }

    #[test]
    fn no_bytes_in_the_header_panic_or_pass(bytes: Vec<u8>) {
        let mut headers = HeaderMap::new();
        for bytes in [bytes.clone(), [b"Bearer ", &*bytes].concat()] {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { continue };
            headers.insert(AUTHORIZATION, value);
            prop_assert!(authenticator().identify(None, &headers, Credentials::default()).is_err());
        }
    }

    #[test]
    fn a_good_token_with_one_character_changed_is_none(at: prop::sample::Index, to in "[A-Za-z0-9_.-]") {
        let mut token = signed_token();
        let at = at.index(token.len());
        prop_assume!(token[at..=at] != to);
        token.replace_range(at..=at, &to);
        prop_assert_eq!(with_query(token).err(), Some(AuthError::Invalid));
    }

    #[test]
    fn a_payload_of_any_json_is_judged_without_a_panic(payload in ".{0,60}", sub in ".{0,20}", exp: f64) {
        install_jwt_crypto();
        let sign = |payload: &serde_json::Value| {
            let key = EncodingKey::from_secret(SECRET.as_bytes());
            jsonwebtoken::encode(&Header::default(), payload, &key).unwrap()
        };
        let any = serde_json::from_str(&payload).unwrap_or(serde_json::Value::String(payload));
        prop_assert!(with_query(sign(&any)).is_err());
        let _ = with_query(sign(&serde_json::json!({ "sub": sub, "exp": exp, "iat": exp })));
    }

    #[test]
    fn any_query_is_read_or_refused_and_a_token_is_read_as_it_was_written(query in "[!-~]{0,60}", token: String) {
        if let Ok(uri) = format!("/ws?{query}").parse::<Uri>() {
            let _ = Query::<Credentials>::try_from_uri(&uri);
        }
        let encoded: String = token.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let uri: Uri = format!("/ws?x=1&token={encoded}&y").parse().unwrap();
        let Query(credentials) = Query::<Credentials>::try_from_uri(&uri).unwrap();
        prop_assert_eq!(credentials.token, Some(token));
    }
}
