//! The page at the path prefix: what the service is, and its endpoints.

use axum::extract::OriginalUri;
use axum::response::Html;
use http::HeaderMap;
use http::header::HOST;

/// `GET {prefix}/`.
pub(super) async fn page(headers: HeaderMap, uri: OriginalUri) -> Html<String> {
    let base = uri.path().trim_end_matches('/');
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    // Both come from the request.
    let (base, host) = (escape(base), escape(host));
    Html(include_str!("../page.html").replace("{base}", &base).replace("{host}", &host))
}

/// A text that holds no markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
