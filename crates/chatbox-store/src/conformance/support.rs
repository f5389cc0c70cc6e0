//! Short ways to write to a store and to read from it, for tests.

use std::sync::Arc;

use crate::{Append, AppendResult, Appended, Cutoff, Draft, Store, Stored};

/// A draft whose body is made from its id.
pub fn draft(user: &str, id: impl ToString) -> Draft {
    let id = id.to_string();
    Draft { user: user.into(), body: format!("body of {id}").into(), id: id.into(), at_ms: 1000 }
}

/// An append of messages to one room.
pub fn append(room: &str, expected_head: u64, messages: Vec<Draft>) -> Append {
    Append { room: room.into(), expected_head, messages }
}

/// Appends to one room at a head that must be the current one.
pub async fn store_all(store: &dyn Store, room: &str, expected_head: u64, messages: Vec<Draft>) -> Vec<AppendResult> {
    let batch = Arc::from([append(room, expected_head, messages)]);
    match &store.append(batch).await.unwrap()[..] {
        [Appended::All(results)] => results.clone(),
        other => panic!("expected the messages to be stored: {other:?}"),
    }
}

/// Appends one message as a replica does, reading the head again as often as it has moved.
pub async fn insist(store: &dyn Store, room: &str, message: Draft) -> AppendResult {
    let mut expected_head = store.span(room).await.unwrap().head;
    loop {
        let batch = Arc::from([append(room, expected_head, vec![message.clone()])]);
        match &store.append(batch).await.unwrap()[..] {
            [Appended::All(results)] => return results[0],
            [Appended::HeadMoved { head } | Appended::Partly { head, .. }] => expected_head = *head,
            other => panic!("one append, one answer: {other:?}"),
        }
    }
}

/// The whole room, read page by page.
pub async fn everything(store: &dyn Store, room: &str) -> Vec<Stored> {
    let mut all: Vec<Stored> = Vec::new();
    loop {
        let after = all.last().map_or(0, |last| last.seq);
        let page = store.read(room, after, 7).await.unwrap();
        if page.messages.is_empty() {
            return all;
        }
        all.extend(page.messages);
    }
}

/// The sequence numbers of messages.
pub fn seqs(messages: &[Stored]) -> Vec<u64> {
    messages.iter().map(|message| message.seq).collect()
}

/// A cutoff that removes everything dated before that moment, and calls no date wrong.
pub fn before(before_ms: i64) -> Cutoff {
    Cutoff { before_ms, now_ms: i64::MAX }
}
