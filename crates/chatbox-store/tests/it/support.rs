//! Short ways to write to a store and to look at it.

use std::sync::Arc;

use chatbox_store::{Append, AppendResult, Appended, Draft, Store, Stored};

/// A message whose body tells what its id is.
pub(crate) fn draft(user: &str, id: impl ToString) -> Draft {
    let id = id.to_string();
    Draft { user: user.into(), body: format!("body of {id}").into(), id: id.into(), at_ms: 1000 }
}

pub(crate) fn append(room: &str, expected_head: u64, messages: Vec<Draft>) -> Append {
    Append { room: room.into(), expected_head, messages }
}

/// Appends to one room at the head that is expected to be there.
pub(crate) async fn place(
    store: &dyn Store,
    room: &str,
    expected_head: u64,
    messages: Vec<Draft>,
) -> Vec<AppendResult> {
    let batch = Arc::from([append(room, expected_head, messages)]);
    match &store.append(batch).await.unwrap()[..] {
        [Appended::All(placed)] => placed.clone(),
        other => panic!("expected the messages to be placed: {other:?}"),
    }
}

/// Appends one message as a replica does, reading the head again as often as it has moved.
pub(crate) async fn place_somewhere(store: &dyn Store, room: &str, message: Draft) -> AppendResult {
    let mut expected_head = store.span(room).await.unwrap().head;
    loop {
        let batch = Arc::from([append(room, expected_head, vec![message.clone()])]);
        match &store.append(batch).await.unwrap()[..] {
            [Appended::All(placed)] => return placed[0],
            [Appended::HeadMoved { head } | Appended::Partly { head, .. }] => expected_head = *head,
            other => panic!("one append, one answer: {other:?}"),
        }
    }
}

/// The whole room, read page by page.
pub(crate) async fn everything(store: &dyn Store, room: &str) -> Vec<Stored> {
    let mut all: Vec<Stored> = Vec::new();
    loop {
        let after = all.last().map_or(0, |last| last.seq);
        let page = store.read(room, after, 7).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

pub(crate) fn seqs(messages: &[Stored]) -> Vec<u64> {
    messages.iter().map(|message| message.seq).collect()
}
