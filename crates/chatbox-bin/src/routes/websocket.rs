//! The WebSocket upgrade: who may connect, and the session that follows.

use crate::auth::{Credentials, Identity};
use crate::chat::ChatHandler;
use crate::client_addr::Client;
use crate::disconnect::close_reason;
use crate::refusal::HttpRefusal;
use crate::state::ServiceState;
use crate::telemetry;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::response::{IntoResponse, Response};
use chatbox_protocol::{Disconnect, SUBPROTOCOL};
use chatbox_ws::{Expiry, Rejection, Upgrade};
use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use std::net::SocketAddr;
use std::sync::Arc;

/// `GET {prefix}/ws`. A connection is registered before its 101 is written: a drain that begins meanwhile includes it.
pub(super) async fn websocket(State(state): State<Arc<ServiceState>>, request: Request) -> Response {
    let (mut parts, _body) = request.into_parts();
    match upgrade(&state, &mut parts) {
        Ok(response) => response,
        Err(refused) => *refused,
    }
}

fn upgrade(state: &Arc<ServiceState>, parts: &mut Parts) -> Result<Response, Box<Response>> {
    let refuse = |refused: HttpRefusal| Box::new(refused.into_response());
    let credentials = Query::<Credentials>::try_from_uri(&parts.uri).map_err(|error| refuse(error.into()))?.0;
    let upgrade = Upgrade::from_parts(parts).map_err(|rejection| {
        telemetry::on_refused(rejection.code());
        Box::new(rejection.into_response())
    })?;
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let client = peer.map(|peer| Client::of(peer, &parts.headers, &state.config.server.trusted_proxies));
    if let (Some(peer), Some(Client { untrusted_proxy: true, .. })) = (peer, &client) {
        telemetry::on_untrusted_proxy(peer);
    }
    check_origin(state, client.as_ref(), &parts.headers)?;
    let Identity { user, valid_for, rooms } =
        state.authenticator.identify(peer, &parts.headers, credentials).map_err(|error| refuse(error.into()))?;
    let lease = state.registry.admit(&user).map_err(|refusal| refuse(refusal.into()))?;
    let expiry = valid_for.map(|after| Expiry::new(after, close_reason(Disconnect::TokenExpired)));
    if let Some(Client { address, .. }) = client {
        tracing::debug!(user_id = user, connection_id = %lease.connection().id(), client = %address, "Client admitted");
    }
    let member_of = state.rooms.clone();
    Ok(upgrade
        .with_protocol(SUBPROTOCOL)
        .expiring(expiry)
        .serve(&state.transport, lease, move |connection| ChatHandler::new(&member_of, connection, rooms)))
}

/// Refuses pages of foreign origins, and logs what was compared.
fn check_origin(state: &ServiceState, client: Option<&Client>, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let allowed = match client {
        Some(client) => state.origins.allows_host(headers, client.hosts(headers)),
        None => state.origins.allows(headers),
    };
    if allowed {
        return Ok(());
    }
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let hosts = match client {
        Some(client) => client.hosts(headers).collect::<Vec<_>>().join(", "),
        None => text(HOST).unwrap_or_default().into_owned(),
    };
    telemetry::on_origin_refused(Rejection::Origin.code(), &text(ORIGIN).unwrap_or_default(), &hosts);
    Err(Box::new(Rejection::Origin.into_response()))
}
