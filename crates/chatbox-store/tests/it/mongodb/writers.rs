//! Several processes write to one room, some of their appends are given up half-way, and their connections are cut
//! and held up: a reader who looks on sees a log that only grows at its end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chatbox_store::{AppendResult, Appended, BoxFuture, Draft, Feed, FeedEvent, MongoStore, Store, StoreError, Stored};
use futures_util::StreamExt;
use futures_util::future::{join_all, select};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::time::{sleep, timeout};

use super::database::Database;
use super::proxy::Proxy;
use chatbox_store::conformance::support::{append, draft, everything};

const WRITERS: usize = 3;

/// Messages that a writer sends in one append, and again until it knows where they stand.
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

/// What happens to whose connections, after how many milliseconds and for how many.
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

#[test]
fn the_log_only_grows_at_its_end_whatever_happens_to_its_writers() {
    if Database::fresh().is_none() {
        return;
    }
    let config = ProptestConfig { cases: 6, max_shrink_iters: 10, failure_persistence: None, ..Default::default() };
    let run = |(steps, troubles): (Vec<Vec<Step>>, Troubles)| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(check(&steps, &troubles));
        Ok(())
    };
    TestRunner::new(config).run(&plan(), run).unwrap();
}

async fn check(steps: &[Vec<Step>], troubles: &Troubles) {
    let database = Database::fresh().unwrap();
    let reader = MongoStore::open(database.uri()).await.unwrap();
    let mut proxies = Vec::new();
    let mut stores = Vec::new();
    for _ in 0..WRITERS {
        let proxy = Proxy::before(database.server()).await;
        stores.push(Arc::new(MongoStore::open(&database.through(proxy.address())).await.unwrap()));
        proxies.push(proxy);
    }
    let listening: Vec<_> =
        stores.iter().map(|store| tokio::spawn(listen(Arc::clone(store), store.follow().unwrap()))).collect();

    let writing = join_all(stores.iter().zip(steps).map(|(store, steps)| write(store, steps)));
    let writing = Box::pin(async { tokio::join!(writing, trouble_all(&proxies, troubles)).0 });
    let mut seen = Vec::new();
    let acknowledged = match select(writing, Box::pin(look_on(&reader, &mut seen))).await {
        futures_util::future::Either::Left((acknowledged, _)) => acknowledged,
        futures_util::future::Either::Right(((), _)) => unreachable!("the reader looks on for ever"),
    };

    let log = everything(&reader, "r").await;
    assert!(log.iter().map(|message| message.seq).eq(1..=log.len() as u64), "no gap: {log:?}");
    assert_eq!(log[..seen.len()], seen, "what was visible stays as it was");
    let mut places = HashMap::new();
    for Stored { seq, user, id, .. } in &log {
        assert_eq!(places.insert((&**user, id.parse().unwrap()), *seq), None, "{user}'s {id} is stored twice");
    }
    for acknowledged in acknowledged {
        for ((user, id), seq) in acknowledged {
            assert_eq!(places.get(&(user, id)), Some(&seq), "{user}'s {id} was acknowledged");
        }
    }
    for listening in listening {
        // Whoever has heard the last one has heard all: the feeds check that themselves.
        let stopped = timeout(Duration::from_secs(60), async {
            drop(reader.append(Arc::from([append("end", 0, vec![draft("ann", 1)])])).await);
            listening.await.unwrap()
        });
        assert_eq!(stopped.await.expect("all is heard"), log);
    }
}

/// Sends until all is acknowledged.
async fn write(store: &MongoStore, steps: &[Step]) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    for Step { user, ids, patience } in steps {
        let (mut rest, mut patience) = (&ids[..], *patience);
        while !rest.is_empty() {
            let span = insist(|| store.span("r")).await;
            let drafts: Vec<Draft> = rest.iter().map(|id| draft(user, id)).collect();
            let appending = store.append(Arc::from([append("r", span.head, drafts)]));
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
                assert!(before.is_none_or(|before| before == seq), "one message, one place");
            }
            rest = &rest[results.len()..];
            if let Some(head) = head
                && let Ok(read) = store.read("r", head - 1, 1).await
            {
                assert_eq!(read.messages.len(), 1, "a head that was told can be read");
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
async fn look_on(reader: &MongoStore, seen: &mut Vec<Stored>) {
    loop {
        let after = seen.len().saturating_sub(3);
        for message in reader.read("r", after as u64, 100).await.unwrap().messages {
            let place = message.seq as usize - 1;
            assert!(place <= seen.len(), "nothing appears behind a gap");
            match seen.get(place) {
                Some(before) => assert_eq!(*before, message, "nothing changes"),
                None => seen.push(message),
            }
        }
    }
}

/// Keeps the room as a process does that follows it, until the room `end` is written to.
async fn listen(store: Arc<MongoStore>, mut feed: Feed) -> Vec<Stored> {
    let mut room: Vec<Stored> = Vec::new();
    loop {
        match feed.next().await.expect("a feed goes on until it is closed") {
            FeedEvent::Lagged => {
                let ended = insist(|| store.span("end")).await.head > 0;
                loop {
                    let missed = insist(|| store.read("r", room.len() as u64, 100)).await;
                    if missed.messages.is_empty() {
                        break;
                    }
                    room.extend(missed.messages);
                }
                if ended {
                    return room;
                }
            }
            FeedEvent::Appended { room: name, .. } if &*name == "end" => return room,
            FeedEvent::Appended { message, .. } => {
                let place = message.seq as usize - 1;
                assert!(place <= room.len(), "{} is heard after {}", message.seq, room.len());
                match room.get(place) {
                    Some(before) => assert_eq!(*before, message),
                    None => room.push(message),
                }
            }
            other => panic!("unknown: {other:?}"),
        }
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
