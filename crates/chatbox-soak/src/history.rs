//! The stored messages of a room, read over HTTP.

use crate::ledger::Seen;
use crate::plan::Plan;
use chatbox_client::protocol::{History, ServerMessage};
use chatbox_client::{Dialer, HttpError, http_get};
use http::StatusCode;
use http::uri::InvalidUri;
use std::time::Duration;

/// Messages of one request.
const PAGE: usize = 1_000;

/// The time for one request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The reason why a page could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    #[error("no server is named")]
    NoServer,
    #[error("not a URL: {0}")]
    Url(#[from] InvalidUri),
    #[error("no answer within {TIMEOUT:?}")]
    Timeout,
    #[error("{0}")]
    Http(#[from] HttpError),
    #[error("the service answered {0}")]
    Status(StatusCode),
    #[error("the answer is not a page of messages: {0}")]
    Body(#[from] serde_json::Error),
}

/// Reads all stored messages of a room, each page from the first server that answers.
pub(crate) async fn read(plan: &Plan, room: &str) -> Result<Vec<Seen>, HistoryError> {
    let token = plan.token(&plan.user(0));
    let dialer = plan.dialer.clone().unwrap_or_else(Dialer::tcp);
    let mut messages: Vec<Seen> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |message| message.seq);
        let mut body = Err(HistoryError::NoServer);
        for uri in plan.history(room, after, PAGE) {
            let uri = uri?;
            body = match tokio::time::timeout(TIMEOUT, http_get(&dialer, &uri, token.as_deref())).await {
                Ok(Ok(response)) if response.status() == StatusCode::OK => Ok(response.into_body()),
                Ok(Ok(response)) => Err(HistoryError::Status(response.status())),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(HistoryError::Timeout),
            };
            if body.is_ok() {
                break;
            }
        }
        let body = body?;
        let page: History<'_> = serde_json::from_slice(&body)?;
        let is_end = page.messages.is_empty();
        for message in page.messages {
            if let ServerMessage::Message { seq, user, id, body, .. } = message {
                messages.push(Seen { seq, user: user.into(), id: id.into(), body: body.into() });
            }
        }
        if is_end {
            return Ok(messages);
        }
    }
}
