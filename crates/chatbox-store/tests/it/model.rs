//! The stores answer alike, whatever they are asked in whatever order.

#[cfg(feature = "mongodb")]
use std::cell::Cell;
use std::sync::Arc;

use chatbox_store::{Append, Cutoff, Draft, MemoryStore, SqliteStore, Store};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

#[derive(Clone, Debug)]
enum Call {
    Append { batch: Vec<Append>, at_head: bool },
    Expire(Cutoff),
    Read { room: usize, after: u64, limit: usize },
}

/// The names that a case's rooms have.
type Rooms = [Arc<str>; 3];

/// The index of a room's name: it is the name until the case has been given names of its own.
fn room() -> impl Strategy<Value = usize> + Clone {
    0..3_usize
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
        room: room.to_string().into(),
        expected_head,
        messages,
    })
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => (prop::collection::vec(append(), 0..4), prop::bool::weighted(0.7))
            .prop_map(|(batch, at_head)| Call::Append { batch, at_head }),
        1 => (0..100_i64, 50..150_i64)
            .prop_map(|(before_ms, now_ms)| Call::Expire(Cutoff { before_ms: before_ms.min(now_ms), now_ms })),
        1 => (room(), 0..8_u64, 0..5_usize)
            .prop_map(|(room, after, limit)| Call::Read { room, after, limit }),
    ]
}

/// What the store answers, and which messages of each room it has then.
async fn answer(store: &dyn Store, rooms: &Rooms, call: &Call) -> String {
    let answer = match call {
        Call::Append { batch, at_head } => {
            let mut batch = batch.clone();
            for append in &mut batch {
                append.room = rooms[append.room.parse::<usize>().unwrap()].clone();
                if *at_head {
                    append.expected_head = store.span(&append.room).await.unwrap().head;
                }
            }
            format!("{:?}", store.append(batch.into()).await.unwrap())
        }
        Call::Expire(cutoff) => format!("{:?}", store.expire(*cutoff).await.unwrap()),
        Call::Read { room, after, limit } => {
            format!("{:?}", store.read(&rooms[*room], *after, *limit).await.unwrap())
        }
    };
    let mut spans = Vec::new();
    for room in rooms {
        spans.push(store.span(room).await.unwrap());
    }
    format!("{answer} {spans:?}")
}

/// How many cases are tried, unless `PROPTEST_CASES` says it. One in sixteen found the last fault: 128 miss such a one
/// with a probability of 0.03 %.
const CASES: u32 = 128;

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { CASES };
    ProptestConfig { cases, failure_persistence: None, ..default }
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    prop::collection::vec(call(), 1..30)
}

#[test]
fn sqlite_and_memory_answer_alike() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let checked = TestRunner::new(config()).run(&calls(), |calls| {
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let sqlite = SqliteStore::open(directory.path().join("chatbox.db")).await.unwrap();
            alike(&sqlite, &["a", "b", "c"].map(Arc::from), &calls).await
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[cfg(feature = "mongodb")]
#[test]
fn mongodb_and_memory_answer_alike() {
    let Some(database) = crate::mongodb::Database::fresh() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // One store for all cases, since opening one takes longer than a case. Its messages are removed after each.
    let store = runtime.block_on(chatbox_store::MongoStore::open(database.uri())).unwrap();
    let messages = runtime.block_on(database.raw()).collection::<mongodb::bson::Document>("messages");
    let cases = Cell::new(0);
    let checked = TestRunner::new(config()).run(&calls(), |calls| {
        cases.set(cases.get() + 1);
        let rooms = ["a", "b", "c"].map(|room| format!("{}-{room}", cases.get()).into());
        runtime.block_on(async {
            let checked = alike(&store, &rooms, &calls).await;
            messages.delete_many(mongodb::bson::doc! {}).await.unwrap();
            checked
        })
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

async fn alike(store: &dyn Store, rooms: &Rooms, calls: &[Call]) -> Result<(), TestCaseError> {
    let memory = MemoryStore::new();
    for call in calls {
        prop_assert_eq!(answer(store, rooms, call).await, answer(&memory, rooms, call).await);
    }
    Ok(())
}
