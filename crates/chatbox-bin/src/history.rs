//! Stored messages over HTTP: in pages bounded in messages and bytes, of which only so many are held at once.

use crate::auth::Credentials;
use crate::routes::{HttpRefusal, RETRY_AFTER_SECONDS};
use crate::service::{Inner, chain};
use crate::telemetry;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chatbox_protocol::RoomName;
use chatbox_rooms::Rooms;
use chatbox_store::StoreError;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most messages that one request returns, and how many when it does not say.
const MAX_LIMIT: usize = 1_000;
const DEFAULT_LIMIT: usize = 100;

/// A page that has come to so many bytes ends there; the next request goes on.
const PAGE_BYTES: usize = 256 << 10;

/// How many messages are read from the store at once.
const CHUNK: usize = 64;

/// How many pages are held at once, on their way from the store to their readers: of one user, and in all.
const PAGES_OF_USER: usize = 4;
const PAGES: usize = 64;

#[derive(Deserialize)]
pub(crate) struct Wanted {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// `GET {prefix}/rooms/{room}/messages`.
pub(crate) async fn history(
    State(inner): State<Arc<Inner>>,
    room: Result<Path<String>, PathRejection>,
    query: Result<Query<Wanted>, QueryRejection>,
    credentials: Result<Query<Credentials>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let identity = inner.doorman.identify(&headers, credentials?.0)?;
        let Wanted { after, limit } = query?.0;
        let room = RoomName::new(room?.0).map_err(|error| HttpRefusal::bad_request(format!("room: {error}")))?;
        if identity.rooms.is_some_and(|allows| !allows(room.as_str())) {
            telemetry::on_refused("not_allowed");
            return Err(HttpRefusal::new(StatusCode::FORBIDDEN, "not_allowed", "you may not enter this room"));
        }
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(HttpRefusal::bad_request(format!("limit: must be from 1 to {MAX_LIMIT}")));
        }
        let reading = inner.readers.enter(identity.user).ok_or_else(|| {
            telemetry::on_refused("history_limit");
            HttpRefusal::new(StatusCode::TOO_MANY_REQUESTS, "busy", "too many requests for history at the same time")
                .with(RETRY_AFTER, RETRY_AFTER_SECONDS)
        })?;
        let (head, messages) = read(&inner.rooms, room.as_str(), after, limit).await.map_err(|error| {
            tracing::warn!(error = chain(&error), "Cannot read history");
            HttpRefusal::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", "the store cannot be read now")
                .with(RETRY_AFTER, RETRY_AFTER_SECONDS)
        })?;
        // The messages are JSON already.
        let text = format!(r#"{{"head":{head},"messages":[{}]}}"#, messages.join(","));
        let page = Bytes::from_owner(Page { text, _reading: reading });
        Ok(([(CONTENT_TYPE, "application/json")], page).into_response())
    };
    answer.await.unwrap_or_else(HttpRefusal::into_response)
}

/// The newest `seq` of the room, and a page of its messages.
async fn read(rooms: &Rooms, room: &str, mut after: u64, limit: usize) -> Result<(u64, Vec<Box<str>>), StoreError> {
    #[derive(Deserialize)]
    struct Place {
        seq: u64,
    }
    let (mut page, mut bytes) = (Vec::new(), 0);
    loop {
        let wanted = CHUNK.min(limit - page.len());
        let (head, messages) = rooms.history(room, after, wanted).await?;
        bytes += messages.iter().map(|message| message.len()).sum::<usize>();
        let last = messages.last().and_then(|message| serde_json::from_str(message).ok());
        page.extend(messages);
        match last {
            Some(Place { seq }) if page.len() < limit && bytes < PAGE_BYTES && seq < head => after = seq,
            _ => return Ok((head, page)),
        }
    }
}

/// A page until its last byte is on its way.
struct Page {
    text: String,
    _reading: Reading,
}

impl AsRef<[u8]> for Page {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Who holds how many pages.
#[derive(Debug, Default)]
pub(crate) struct Readers(Mutex<HashMap<String, usize>>);

/// A place among the readers, given back when dropped.
struct Reading {
    readers: Arc<Readers>,
    user: String,
}

impl Readers {
    fn enter(self: &Arc<Self>, user: String) -> Option<Reading> {
        let mut places = self.places();
        let all: usize = places.values().sum();
        let own = places.get(&user).copied().unwrap_or(0);
        if all >= PAGES || own >= PAGES_OF_USER {
            return None;
        }
        places.insert(user.clone(), own + 1);
        Some(Reading { readers: Arc::clone(self), user })
    }

    fn places(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut places = self.readers.places();
        if let Some(own) = places.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                places.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_bounded_for_one_user_and_in_all_and_places_come_back() {
        let readers = Arc::new(Readers::default());
        let own: Vec<_> = (0..PAGES_OF_USER).map(|_| readers.enter("alice".to_owned()).unwrap()).collect();
        assert!(readers.enter("alice".to_owned()).is_none());
        let others: Vec<_> = (PAGES_OF_USER..PAGES).map(|user| readers.enter(user.to_string()).unwrap()).collect();
        assert!(readers.enter("bob".to_owned()).is_none());
        drop(own);
        assert!(readers.enter("alice".to_owned()).is_some());
        drop(others);
        assert!(readers.places().is_empty());
    }
}
