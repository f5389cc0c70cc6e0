//! Several processes append to one room while their connections are cut and delayed and some of their appends are dropped
//! half-way: a reader sees a log that only grows at its end.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chatbox_store::{AppendResult, Appended, BoxFuture, Draft, Feed, FeedEvent, MongoStore, Store, StoreError, Stored};
use futures_util::StreamExt;
use futures_util::future::{Either, join_all, select};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::time::{sleep, timeout};

use super::database::Database;
use super::proxy::Proxy;
use chatbox_store::conformance::support::{append, draft, everything, store_all};

const WRITERS: usize = 3;

/// How many plans are tried, unless `PROPTEST_CASES` says it: 60 miss a fault that one in twenty finds with a probability of 5 %.
const CASES: u32 = 60;

/// Messages that a writer sends in one append, and again until it knows their `seq`.
#[derive(Clone, Debug)]
struct Step {
    user: &'static str,
    ids: Vec<u8>,
    /// After how many milliseconds it gives up the first attempt.
    patience: Option<u64>,
}

#[derive(Clone, Debug)]
enum Trouble {
    Cut,
    Freeze,
    HoldAnswers,
}

/// What happens to the connections of which writer, after how many milliseconds and for how many.
type Troubles = Vec<(Trouble, usize, u64, u64)>;

type Acknowledged = HashMap<(&'static str, u8), u64>;

fn step() -> impl Strategy<Value = Step> {
    // Few enough ids that several writers send the same ones.
    let ids = prop::collection::vec(0..20_u8, 1..5);
    (prop::sample::select(vec!["ann", "bob"]), ids, prop::option::of(0..15_u64))
        .prop_map(|(user, ids, patience)| Step { user, ids, patience })
}

fn trouble() -> impl Strategy<Value = (Trouble, usize, u64, u64)> {
    let kind = prop::sample::select(vec![Trouble::Cut, Trouble::Freeze, Trouble::HoldAnswers]);
    (kind, 0..WRITERS, 0..50_u64, 5..200_u64)
}

fn plan() -> impl Strategy<Value = (Vec<Vec<Step>>, Troubles)> {
    let steps = prop::collection::vec(step(), 4..10);
    (prop::collection::vec(steps, WRITERS), prop::collection::vec(trouble(), 0..6))
}

/// Stores over one database, each behind a proxy of its own but that of the reader. Opened once: every case has a room of its own.
struct World {
    reader: MongoStore,
    stores: Vec<Arc<MongoStore>>,
    proxies: Vec<Proxy>,
    _database: Database,
}

impl World {
    async fn open(database: Database) -> Self {
        let reader = MongoStore::open(database.uri()).await.unwrap();
        let (mut stores, mut proxies) = (Vec::new(), Vec::new());
        for _ in 0..WRITERS {
            let proxy = Proxy::before(database.server()).await;
            stores.push(Arc::new(MongoStore::open(&database.through(proxy.address())).await.unwrap()));
            proxies.push(proxy);
        }
        Self { reader, stores, proxies, _database: database }
    }
}

/// The names of the room that a case writes to, and of the one whose first message ends it.
#[derive(Clone)]
struct Rooms {
    written: String,
    end: String,
}

#[test]
fn the_log_only_grows_at_its_end_whatever_happens_to_its_writers() {
    let Some(database) = Database::fresh() else { return };
    let default = ProptestConfig { max_shrink_iters: 10, failure_persistence: None, ..Default::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { CASES };
    let config = ProptestConfig { cases, ..default };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let world = runtime.block_on(World::open(database));
    let case = Cell::new(0);
    let run = |(steps, troubles): (Vec<Vec<Step>>, Troubles)| {
        case.set(case.get() + 1);
        let rooms = Rooms { written: format!("r{}", case.get()), end: format!("end{}", case.get()) };
        runtime.block_on(check(&world, &rooms, &steps, &troubles));
        Ok(())
    };
    TestRunner::new(config).run(&plan(), run).unwrap();
    runtime.block_on(async { drop(world) });
}

async fn check(world: &World, rooms: &Rooms, steps: &[Vec<Step>], troubles: &Troubles) {
    let World { reader, stores, proxies, .. } = world;
    let following = stores
        .iter()
        .map(|store| tokio::spawn(follow(Arc::clone(store), store.follow().unwrap(), rooms.clone())))
        .collect::<Vec<_>>();

    let writing = join_all(stores.iter().zip(steps).map(|(store, steps)| write(store, &rooms.written, steps)));
    let writing = Box::pin(async { tokio::join!(writing, trouble_all(proxies, troubles)).0 });
    let mut seen = Vec::new();
    let acknowledged = match select(writing, Box::pin(watch(reader, &rooms.written, &mut seen))).await {
        Either::Left((acknowledged, _)) => acknowledged,
        Either::Right(((), _)) => unreachable!("the reader goes on for ever"),
    };

    let log = everything(reader, &rooms.written).await;
    assert!(log.iter().map(|message| message.seq).eq(1..=log.len() as u64), "no gap: {log:?}");
    assert_eq!(log[..seen.len()], seen, "what was visible stays as it was");
    let mut stored = HashMap::new();
    for Stored { seq, user, id, .. } in &log {
        assert_eq!(stored.insert((&**user, id.parse().unwrap()), *seq), None, "{user}'s {id} is stored twice");
    }
    for ((user, id), seq) in acknowledged.into_iter().flatten() {
        assert_eq!(stored.get(&(user, id)), Some(&seq), "{user}'s {id} was acknowledged");
    }
    store_all(reader, &rooms.end, 0, vec![draft("ann", 1)]).await;
    for following in following {
        // A feed that has yielded the last message has yielded all: its reader checks that itself.
        let followed = timeout(Duration::from_secs(60), following).await.expect("the feed comes to its end").unwrap();
        assert_eq!(followed, log);
    }
}

/// Sends until all is acknowledged.
async fn write(store: &MongoStore, room: &str, steps: &[Step]) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    for Step { user, ids, patience } in steps {
        let (mut rest, mut patience) = (&ids[..], *patience);
        while !rest.is_empty() {
            let span = insist(|| store.span(room)).await;
            let drafts: Vec<Draft> = rest.iter().map(|id| draft(user, id)).collect();
            let appending = store.append(Arc::from([append(room, span.head, drafts)]));
            let patience = patience.take().map_or(Duration::MAX, Duration::from_millis);
            let Ok(Ok(appended)) = timeout(patience, appending).await else {
                sleep(Duration::from_millis(5)).await;
                continue;
            };
            let (results, head) = match &appended[0] {
                Appended::All(results) => (&results[..], None),
                Appended::Partly { results, head } => (&results[..], Some(*head)),
                Appended::HeadMoved { head } => (&[][..], Some(*head)),
            };
            for (id, result) in rest.iter().zip(results) {
                let (AppendResult::New(seq) | AppendResult::Duplicate(seq)) = *result;
                let before = acknowledged.insert((*user, *id), seq);
                assert!(before.is_none_or(|before| before == seq), "one message, one seq");
            }
            rest = &rest[results.len()..];
            if let Some(head) = head
                && let Ok(read) = store.read(room, head - 1, 1).await
            {
                assert_eq!(read.messages.len(), 1, "a head that was returned can be read");
            }
        }
    }
    acknowledged
}

async fn trouble_all(proxies: &[Proxy], troubles: &Troubles) {
    for (trouble, whose, after, lasts) in troubles {
        sleep(Duration::from_millis(*after)).await;
        let proxy = &proxies[*whose];
        match trouble {
            Trouble::Cut => proxy.cut(),
            Trouble::Freeze => proxy.freeze(),
            Trouble::HoldAnswers => proxy.hold_answers(),
        }
        sleep(Duration::from_millis(*lasts)).await;
        proxy.thaw();
    }
}

/// Reads the end of the log again and again, for ever.
async fn watch(reader: &MongoStore, room: &str, seen: &mut Vec<Stored>) {
    loop {
        let after = seen.len().saturating_sub(3);
        for message in reader.read(room, after as u64, 100).await.unwrap().messages {
            merge(seen, message);
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Keeps the room as a process does that follows it, until the case ends.
async fn follow(store: Arc<MongoStore>, mut feed: Feed, rooms: Rooms) -> Vec<Stored> {
    let mut seen: Vec<Stored> = Vec::new();
    loop {
        match feed.next().await.expect("a feed goes on until it is closed") {
            FeedEvent::Lagged => {
                let ended = insist(|| store.span(&rooms.end)).await.head > 0;
                loop {
                    let missed = insist(|| store.read(&rooms.written, seen.len() as u64, 100)).await.messages;
                    if missed.is_empty() {
                        break;
                    }
                    seen.extend(missed);
                }
                if ended {
                    return seen;
                }
            }
            FeedEvent::Appended { room, .. } if *room == *rooms.end => return seen,
            FeedEvent::Appended { room, message } if *room == *rooms.written => merge(&mut seen, message),
            FeedEvent::Appended { .. } => {}
            other => panic!("unknown: {other:?}"),
        }
    }
}

/// Adds a message that comes next, or compares it with the one that was there before.
fn merge(seen: &mut Vec<Stored>, message: Stored) {
    let index = message.seq as usize - 1;
    assert!(index <= seen.len(), "{} comes after {}", message.seq, seen.len());
    match seen.get(index) {
        Some(before) => assert_eq!(*before, message, "nothing changes"),
        None => seen.push(message),
    }
}

async fn insist<'a, T>(ask: impl Fn() -> BoxFuture<'a, Result<T, StoreError>>) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}
