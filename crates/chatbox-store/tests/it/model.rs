//! The stores answer alike, whatever they are asked in whatever order.

use chatbox_store::{Append, Draft, MemoryStore, SqliteStore, Store};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Call {
    Append { batch: Vec<Append>, at_head: bool },
    Expire(i64),
    Read { room: &'static str, after: u64, limit: usize },
    Find { room: &'static str, user: &'static str, id: String },
}

fn room() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(vec!["a", "b", "c"])
}

fn user() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["alice", "bob"])
}

/// Few enough that the same one comes again.
fn id() -> impl Strategy<Value = String> {
    (0..12_u32).prop_map(|n| n.to_string())
}

fn draft() -> impl Strategy<Value = Draft> {
    (user(), id(), ".{0,5}", 0..100_i64).prop_map(|(user, id, body, at_ms)| Draft {
        user: user.into(),
        id: id.into(),
        body: body.into(),
        at_ms,
    })
}

fn append() -> impl Strategy<Value = Append> {
    (room(), 0..6_u64, prop::collection::vec(draft(), 0..4)).prop_map(|(room, expected_head, messages)| Append {
        room: room.into(),
        expected_head,
        messages,
    })
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (prop::collection::vec(append(), 0..4), prop::bool::weighted(0.7))
            .prop_map(|(batch, at_head)| Call::Append { batch, at_head }),
        1 => (0..100_i64).prop_map(Call::Expire),
        1 => (room(), 0..8_u64, 0..5_usize)
            .prop_map(|(room, after, limit)| Call::Read { room, after, limit }),
        1 => (room(), user(), id()).prop_map(|(room, user, id)| Call::Find { room, user, id }),
    ]
}

/// What the store answers, and which messages of each room it has then.
async fn answer(store: &dyn Store, call: &Call) -> String {
    let answer = match call {
        Call::Append { batch, at_head } => {
            let mut batch = batch.clone();
            for append in batch.iter_mut().filter(|_| *at_head) {
                append.expected_head = store.span(&append.room).await.unwrap().head;
            }
            format!("{:?}", store.append(batch.into()).await.unwrap())
        }
        Call::Expire(before_ms) => format!("{:?}", store.expire(*before_ms).await.unwrap()),
        Call::Read { room, after, limit } => {
            format!("{:?}", store.read(room, *after, *limit).await.unwrap())
        }
        Call::Find { room, user, id } => {
            format!("{:?}", store.find(room, user, id).await.unwrap())
        }
    };
    let mut spans = Vec::new();
    for room in ["a", "b", "c"] {
        spans.push(store.span(room).await.unwrap());
    }
    format!("{answer} {spans:?}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sqlite_and_memory_answer_alike(calls in prop::collection::vec(call(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let sqlite = SqliteStore::open(directory.path().join("chatbox.db")).await.unwrap();
            alike(&sqlite, &calls).await
        })?;
    }
}

#[cfg(feature = "mongodb")]
proptest! {
    // Few, since a server that stands in for MongoDB is slow.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(6) })]

    #[test]
    fn mongodb_and_memory_answer_alike(calls in prop::collection::vec(call(), 1..30)) {
        let Some(database) = crate::mongodb::Database::fresh() else { return Ok(()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mongodb = chatbox_store::MongoStore::open(database.uri()).await.unwrap();
            alike(&mongodb, &calls).await
        })?;
    }
}

async fn alike(store: &dyn Store, calls: &[Call]) -> Result<(), TestCaseError> {
    let memory = MemoryStore::new();
    for call in calls {
        prop_assert_eq!(answer(store, call).await, answer(&memory, call).await);
    }
    Ok(())
}
