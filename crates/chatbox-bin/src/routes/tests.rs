//! Property tests of the routes: every request has a documented answer, and none lets in a client without a token.

use super::page::page;
use crate::config::{Anonymous, Config, Secret};
use crate::service::Service;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::OriginalUri;
use axum::response::Html;
use chatbox_ws::OriginPolicy;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use proptest::prelude::*;
use std::sync::LazyLock;
use tokio::runtime::Runtime;
use tower_service::Service as _;

/// A service, and the runtime that it lives in.
struct Fixture(Runtime, Router);

/// One that wants tokens, and one that believes names.
static CLOSED: LazyLock<Fixture> = LazyLock::new(|| Fixture::new(Some("a-key-of-at-least-thirty-two-bytes-for-tests")));
static OPEN: LazyLock<Fixture> = LazyLock::new(|| Fixture::new(None));

impl Fixture {
    fn new(secret: Option<&str>) -> Self {
        let mut config = Config::default();
        if secret.is_none() {
            config.auth.anonymous = Anonymous::Always;
        }
        config.store.url = Secret::new("memory:");
        config.auth.jwt_secret = secret.map(Secret::new);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let service = runtime.block_on(Service::start(config)).unwrap();
        Self(runtime, service.router())
    }

    fn answer(&self, request: Request<Body>) -> (StatusCode, String) {
        self.0.block_on(async {
            let response = self.1.clone().call(request).await.unwrap();
            let (head, body) = response.into_parts();
            let body = to_bytes(body, 1 << 20).await.unwrap();
            (head.status, String::from_utf8(body.to_vec()).unwrap())
        })
    }

    fn get(&self, uri: &str) -> StatusCode {
        let (status, body) = self.answer(Request::get(uri).body(Body::empty()).unwrap());
        assert!(status == StatusCode::OK || is_refusal(&body), "{status} {body}");
        status
    }
}

/// `{"error":CODE,"message":TEXT}`.
fn is_refusal(body: &str) -> bool {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    body.as_object().is_some_and(|body| body.len() == 2 && body["error"].is_string() && body["message"].is_string())
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// A header as a sound request has it, or as none has.
fn header() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let sound = [
        ("host", "chat.example"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chatbox.v1"),
        ("origin", "http://chat.example"),
        ("authorization", "Bearer a.b.c"),
        ("content-length", "0"),
        ("x-forwarded-for", "203.0.113.9"),
    ];
    (prop::sample::select(sound.to_vec()), any::<Option<Vec<u8>>>())
        .prop_map(|((name, value), other)| (name, other.unwrap_or_else(|| value.into())))
}

/// A target that has a route, or none.
fn target() -> impl Strategy<Value = String> {
    let routes = ["/ws", "/", "/rooms/lobby/messages", "/rooms/%00/messages", "/healthz", "/readyz", "/nothing"];
    let query = prop_oneof![Just(String::new()), "\\?(token|user|after|limit)=[!-~]{0,20}", "\\?[!-~]{0,30}"];
    let route = prop_oneof![prop::sample::select(routes.to_vec()).prop_map(str::to_owned), "/[!-~]{0,20}"];
    (route, query).prop_map(|(route, query)| route + &query)
}

proptest! {
    #[test]
    fn any_request_without_a_token_is_answered_as_documented_and_refused(
        method in prop_oneof![4 => Just(Method::GET), 1 => Just(Method::POST), 1 => Just(Method::HEAD)],
        target in target(),
        headers in prop::collection::vec(header(), 0..12),
    ) {
        let Ok(uri) = target.parse::<Uri>() else { return Ok(()) };
        let path = uri.path().to_owned();
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        for (name, value) in headers {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request.headers_mut().append(name, value);
            }
        }
        let (status, body) = CLOSED.answer(request);
        prop_assert!(matches!(status.as_u16(), 200 | 400 | 401 | 403 | 404 | 405 | 426), "{} {}", status, body);
        if status == StatusCode::OK {
            prop_assert!(matches!(&*path, "/" | "/healthz" | "/readyz"), "{} {}", path, body);
        } else {
            prop_assert!(method == Method::HEAD || is_refusal(&body), "{} {}", status, body);
        }
    }

    #[test]
    fn the_parameters_of_history_are_numbers_in_their_range_or_refused(
        after in prop_oneof![any::<u64>().prop_map(|after| after.to_string()), any::<String>()],
        limit in prop_oneof!["0|1|1000|1001", (0..2_000_u64).prop_map(|limit| limit.to_string()), any::<String>()],
    ) {
        let fine = after.parse::<u64>().is_ok() && limit.parse::<usize>().is_ok_and(|limit| (1..=1_000).contains(&limit));
        let status = OPEN.get(&format!("/rooms/lobby/messages?after={}&limit={}", encoded(&after), encoded(&limit)));
        prop_assert_eq!(status, if fine { StatusCode::OK } else { StatusCode::BAD_REQUEST });
    }

    #[test]
    fn a_room_in_a_path_is_a_name_or_refused(
        room in prop_oneof!["[A-Za-z0-9._:-]{1,140}", "[ -~]{1,20}", any::<String>()], noise in prop::collection::vec(any::<u8>(), 1..9),
    ) {
        prop_assume!(!room.is_empty());
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
        let fine = room.len() <= 128 && room.chars().all(is_name);
        let status = OPEN.get(&format!("/rooms/{}/messages", encoded(&room)));
        prop_assert_eq!(status, if fine { StatusCode::OK } else { StatusCode::BAD_REQUEST });
        // Bytes that need not be text.
        let noise: String = noise.iter().map(|byte| format!("%{byte:02X}")).collect();
        let status = OPEN.get(&format!("/rooms/{noise}%FF/messages"));
        prop_assert_eq!(status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn only_an_origin_that_names_the_host_is_let_through(
        origin in prop_oneof![
            "(http|https|HTTPS|ws|file|null)(://|:/|//)(chat|evil|CHAT)?[.-]?(chat|evil)?\\.example(:(80|443|8080))?[/?#@]?",
            "https?://[Cc]hat\\.example(:(80|443))?",
            "[ -~]{0,30}",
        ],
    ) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("chat.example"));
        headers.insert(http::header::ORIGIN, HeaderValue::from_str(&origin).unwrap());
        let named = origin.split_once("://").is_some_and(|(scheme, authority)| {
            let authority = authority.to_ascii_lowercase();
            match scheme {
                // `Host` has no port, so that any fits.
                "http" | "https" => authority.split_once(':').map_or(&*authority, |(host, _)| host) == "chat.example",
                _ => false,
            }
        });
        prop_assert_eq!(OriginPolicy::SameHost.allows(&headers), named, "{}", origin);
    }

    #[test]
    fn nothing_of_a_request_is_markup_in_the_page(host in "[ -~]{0,40}", path in "[!-~&&[^?#]]{0,40}") {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(&host).unwrap());
        let Ok(uri) = format!("/{path}").parse::<Uri>() else { return Ok(()) };
        let Html(shown) = OPEN.0.block_on(page(headers, OriginalUri(uri)));
        let Html(plain) = OPEN.0.block_on(page(HeaderMap::new(), OriginalUri(Uri::from_static("/chat/"))));
        for mark in ['<', '>', '"', '\''] {
            prop_assert_eq!(shown.matches(mark).count(), plain.matches(mark).count(), "{}", mark);
        }
    }
}
