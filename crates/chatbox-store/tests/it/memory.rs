//! The memory store: conformance, and what it forgets.

use std::sync::Arc;

use chatbox_store::{MemoryStore, Placed, Span, Store};

use crate::support::{draft, place};

async fn open() -> (Arc<dyn Store>, ()) {
    (Arc::new(MemoryStore::new()), ())
}

crate::conformance::conformance_tests!(open);

#[tokio::test]
async fn only_the_newest_messages_are_kept_and_known() {
    let store = MemoryStore::new();
    place(&store, "r", 0, (1..=1500).map(|n| draft("alice", n)).collect()).await;
    assert_eq!(store.span("r").await.unwrap(), Span { first: 501, head: 1500 });
    assert_eq!(store.read("r", 0, 1).await.unwrap()[0].seq, 501);
    assert_eq!(store.read("r", 600, 1).await.unwrap()[0].seq, 601);
    let placed = place(&store, "r", 1500, vec![draft("alice", 501), draft("alice", 500)]).await;
    assert_eq!(placed, [Placed::Duplicate(501), Placed::New(1501)]);
}
