//! Stored messages over HTTP: pages that are bounded in messages and bytes, of which a bounded number is held in memory.

use crate::error::chain;
use crate::history_limit::PagePermit;
use crate::refusal::HttpRefusal;
use crate::state::ServiceState;
use crate::telemetry;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chatbox_protocol::RoomName;
use chatbox_rooms::{History, Rooms};
use chatbox_store::StoreError;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::Deserialize;
use std::sync::Arc;

/// The most messages that one request returns.
const MAX_LIMIT: usize = 1_000;

/// Messages that a request without `limit` returns.
const DEFAULT_LIMIT: usize = 100;

/// A page ends with the message that brings it to this many bytes. The client asks for the next with `after`.
const PAGE_BYTES: usize = 256 << 10;

/// Messages in one read of the store.
const CHUNK: usize = 64;

/// The query of a request.
#[derive(Deserialize)]
pub(super) struct Range {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// `GET {prefix}/rooms/{room}/messages`.
pub(super) async fn history(
    State(state): State<Arc<ServiceState>>,
    room: Result<Path<String>, PathRejection>,
    query: Result<Query<Range>, QueryRejection>,
    head: Parts,
) -> Response {
    let answer = async {
        let identity = state.authenticate(&head).await?;
        let Range { after, limit } = query?.0;
        let room = RoomName::new(room?.0).map_err(|error| HttpRefusal::bad_request(format!("room: {error}")))?;
        if identity.rooms.is_some_and(|allows| !allows(room.as_str())) {
            return Err(HttpRefusal::room_not_allowed());
        }
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(HttpRefusal::bad_request(format!("limit: must be from 1 to {MAX_LIMIT}")));
        }
        let permit = state.history_limit.acquire(identity.user).ok_or_else(|| {
            telemetry::on_refused("history_limit");
            let message = "too many requests for history at the same time";
            HttpRefusal::new(StatusCode::TOO_MANY_REQUESTS, "busy", message).retry_later()
        })?;
        let History { head, messages, .. } =
            read(&state.rooms, room.as_str(), after, limit).await.map_err(|error| {
                tracing::warn!(error = chain(&error), "Cannot read history");
                let message = "the store cannot be read now";
                HttpRefusal::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", message).retry_later()
            })?;
        // The messages are JSON already.
        let json = format!(r#"{{"head":{head},"messages":[{}]}}"#, messages.join(","));
        let body = Bytes::from_owner(Page { json, _permit: permit });
        Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
    };
    answer.await.unwrap_or_else(HttpRefusal::into_response)
}

/// A page of the room's messages.
async fn read(rooms: &Rooms, room: &str, after: u64, limit: usize) -> Result<History, StoreError> {
    let mut page = rooms.history(room, after, CHUNK.min(limit)).await?;
    loop {
        let bytes: usize = page.messages.iter().map(|message| message.len()).sum();
        match page.last_seq {
            Some(last) if page.messages.len() < limit && bytes < PAGE_BYTES && last < page.head => {
                let next = rooms.history(room, last, CHUNK.min(limit - page.messages.len())).await?;
                (page.head, page.last_seq) = (next.head, next.last_seq);
                page.messages.extend(next.messages);
            }
            _ => return Ok(page),
        }
    }
}

/// A page, and the permit to hold it until its last byte is written.
struct Page {
    json: String,
    _permit: PagePermit,
}

impl AsRef<[u8]> for Page {
    fn as_ref(&self) -> &[u8] {
        self.json.as_bytes()
    }
}
