//! Connections that never read and never answer a Close: the clients that a drain has to cut in time.

use super::Plan;
use anyhow::{Context, ensure};
use axum::body::Body;
use http::header::{AUTHORIZATION, CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{Request, StatusCode, Uri};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Opens that many, in turn over all servers. They last until they are dropped.
pub(super) async fn open(plan: &Plan) -> anyhow::Result<Vec<Upgraded>> {
    let mut open = Vec::new();
    for (number, url) in (0..plan.options.stubborn).zip(plan.urls.iter().cycle()) {
        open.push(connect(plan, url, &format!("{}-stubborn-{number}", plan.user(0))).await?);
    }
    Ok(open)
}

async fn connect(plan: &Plan, url: &str, user: &str) -> anyhow::Result<Upgraded> {
    let uri: Uri = format!("{}/ws?user={user}", url.trim_end_matches("/ws")).parse()?;
    let authority = uri.authority().context("it names no host")?;
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the upgrade, and hands over the socket.
    tokio::spawn(connection.with_upgrades());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
    if let Some(token) = plan.token(user) {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = sender.send_request(request.body(Body::empty())?).await?;
    ensure!(response.status() == StatusCode::SWITCHING_PROTOCOLS, "refused with {}", response.status());
    Ok(hyper::upgrade::on(response).await?)
}
