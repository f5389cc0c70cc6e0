//! The WebSocket upgrade: checks, admission, and the session that follows.

use crate::auth::{AuthDeadline, Identity};
use crate::authenticate::peer;
use crate::chat::{ChatHandler, expiry};
use crate::client_addr::Client;
use crate::refusal::HttpRefusal;
use crate::state::ServiceState;
use crate::telemetry;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use chatbox_protocol::SUBPROTOCOL;
use chatbox_ws::{Rejection, Upgrade};
use http::HeaderMap;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use std::sync::Arc;
use std::time::SystemTime;

/// `GET {prefix}/ws`. A connection is registered before its 101 is written: a drain that begins meanwhile includes it.
pub(super) async fn websocket(State(state): State<Arc<ServiceState>>, request: Request) -> Response {
    let (mut parts, _body) = request.into_parts();
    upgrade(&state, &mut parts).await.unwrap_or_else(|refused| *refused)
}

async fn upgrade(state: &ServiceState, parts: &mut Parts) -> Result<Response, Box<Response>> {
    let refuse = |refused: HttpRefusal| Box::new(refused.into_response());
    let upgrade = Upgrade::from_parts(parts).map_err(|rejection| {
        telemetry::on_refused(rejection.code());
        Box::new(rejection.into_response())
    })?;
    let peer = peer(parts);
    let client = peer.map(|peer| Client::of(peer, &parts.headers, &state.config.server.trusted_proxies));
    if let (Some(peer), Some(Client { untrusted_proxy: true, .. })) = (peer, &client) {
        telemetry::on_untrusted_proxy(peer);
    }
    check_origin(state, client.as_ref(), &parts.headers)?;
    let identity = state.authenticate(parts).await.map_err(|error| refuse(error.into()))?;
    let lease = state.registry.admit_when_vacant(&identity.user).await.map_err(|refusal| refuse(refusal.into()))?;
    // After the wait, which is part of the time that the identity is valid.
    let (expiry, deadline) = (expiry(&identity), AuthDeadline::new(identity.expires));
    let Identity { user, rooms: permission, .. } = identity;
    if let Some(Client { address, .. }) = client {
        tracing::debug!(user_id = user, connection_id = %lease.connection().id(), client = %address, "Client admitted");
    }
    let rooms = state.rooms.clone();
    Ok(upgrade.with_protocol(SUBPROTOCOL).expiring(expiry).serve(&state.transport, lease, move |connection| {
        ChatHandler::new(&rooms, connection, permission, deadline, SystemTime::now)
    }))
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
