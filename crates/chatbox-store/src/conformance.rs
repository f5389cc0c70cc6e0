//! The tests that every backend passes, for backends of this crate and elsewhere (feature `conformance`).
//!
//! [`conformance_tests!`](crate::conformance_tests) makes a test of each function below. A backend that is kept in another
//! crate needs this crate with the feature, and tokio, as development dependencies:
//!
//! ```
//! use chatbox_store::{MemoryStore, Store};
//! use std::sync::Arc;
//!
//! /// An empty store, and a value that has to live as long as the test. `None` skips the test.
//! async fn open() -> Option<(Arc<dyn Store>, ())> {
//!     Some((Arc::new(MemoryStore::new()), ()))
//! }
//!
//! chatbox_store::conformance_tests!(open);
//! ```

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(missing_docs, reason = "the names say what each tests")]

use std::collections::HashSet;
use std::sync::Arc;

use self::support::{append, before, draft, everything, insist, seqs, store_all};
use crate::{AppendResult, Appended, Cutoff, Draft, MAX_READ_BYTES, Page, Span, Store, StoreError};

pub mod support;

/// Makes a tokio test of each conformance test, for the stores that an async function opens. See
/// [`conformance`](crate::conformance).
#[macro_export]
macro_rules! conformance_tests {
    ($open:path) => {
        $crate::conformance_tests! { $open;
            an_empty_room_has_head_0_and_first_1
            messages_are_read_back_as_they_were_appended
            sequences_are_contiguous_and_rooms_do_not_share_them
            a_batch_answers_each_of_its_appends_in_order
            an_append_that_expects_another_head_stores_nothing_and_affects_no_other
            a_batch_may_name_a_room_twice
            the_same_id_is_stored_once_across_appends
            the_same_id_is_stored_once_within_an_append
            another_user_or_room_may_use_the_same_id
            concurrent_writers_of_one_room_leave_no_gap
            an_append_whose_future_was_dropped_is_whole_or_absent
            reading_is_bounded_in_messages
            reading_is_bounded_in_bytes
            reading_beyond_the_head_finds_nothing
            any_text_is_kept_to_the_byte
            expiry_removes_the_oldest_of_each_room_and_keeps_the_head
            expiry_leaves_no_gap_when_clocks_disagree
            expiry_goes_on_in_a_room_that_was_emptied_by_a_later_date
            expiry_is_not_stopped_by_a_date_in_the_future
            expiry_passes_many_dates_in_the_future
            a_read_that_begins_at_removed_messages_is_as_long_as_any_other
            a_page_of_an_emptied_room_tells_what_was_removed
            the_epoch_is_a_short_name_that_stays
            an_open_store_can_be_pinged
            closing_twice_is_closing_once
            nothing_works_after_closing
            what_is_queued_when_closing_is_answered
        }
    };
    ($open:path; $($test:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let Some((store, _kept_alive)) = $open().await else { return };
                $crate::conformance::$test(store).await;
            }
        )*
    };
}
pub async fn an_empty_room_has_head_0_and_first_1(store: Arc<dyn Store>) {
    assert_eq!(store.span("r").await.unwrap(), Span { first: 1, head: 0 });
    assert_eq!(store.read("r", 0, 10).await.unwrap(), Page::new(0, vec![]));
    assert_eq!(store_all(&*store, "r", 0, vec![]).await, []);
    assert_eq!(store.span("r").await.unwrap(), Span { first: 1, head: 0 });
}

pub async fn messages_are_read_back_as_they_were_appended(store: Arc<dyn Store>) {
    let drafts: Vec<Draft> =
        (0..20).map(|n| Draft { at_ms: 1_767_323_045_120 + n, ..draft(["alice", "bob"][n as usize % 2], n) }).collect();
    let results = store_all(&*store, "r", 0, drafts.clone()).await;
    assert_eq!(results, (1..=20).map(AppendResult::New).collect::<Vec<_>>());
    assert_eq!(store.span("r").await.unwrap(), Span { first: 1, head: 20 });
    for (stored, draft) in everything(&*store, "r").await.into_iter().zip(drafts) {
        let again = Draft { user: stored.user, id: stored.id, body: stored.body, at_ms: stored.at_ms };
        assert_eq!(again, draft);
    }
}

pub async fn sequences_are_contiguous_and_rooms_do_not_share_them(store: Arc<dyn Store>) {
    for head in 0..5 {
        let (a, b) = (draft("alice", format!("a{head}")), draft("alice", format!("b{head}")));
        assert_eq!(store_all(&*store, "a", head, vec![a]).await, [AppendResult::New(head + 1)]);
        assert_eq!(store_all(&*store, "b", head, vec![b]).await, [AppendResult::New(head + 1)]);
    }
    for room in ["a", "b"] {
        assert_eq!(seqs(&everything(&*store, room).await), [1, 2, 3, 4, 5]);
    }
}

pub async fn a_batch_answers_each_of_its_appends_in_order(store: Arc<dyn Store>) {
    let batch: Vec<_> = (0..50_usize).map(|n| append(&format!("r{n}"), 0, vec![draft("alice", n); n % 3])).collect();
    let appended = store.append(batch.into()).await.unwrap();
    assert_eq!(appended.len(), 50);
    for (n, appended) in appended.into_iter().enumerate() {
        let expected = [AppendResult::New(1), AppendResult::Duplicate(1)][..n % 3].to_vec();
        assert_eq!(appended, Appended::All(expected));
    }
    assert_eq!(store.append(Arc::from([])).await.unwrap(), []);
}

pub async fn an_append_that_expects_another_head_stores_nothing_and_affects_no_other(store: Arc<dyn Store>) {
    store_all(&*store, "r", 0, vec![draft("alice", 1), draft("alice", 2)]).await;
    let batch = Arc::from([
        append("r", 1, vec![draft("bob", 3)]),
        append("fresh", 7, vec![draft("bob", 3)]),
        append("r", u64::MAX, vec![draft("bob", 3)]),
        append("r", 2, vec![draft("bob", 4)]),
    ]);
    assert_eq!(
        store.append(batch).await.unwrap(),
        [
            Appended::HeadMoved { head: 2 },
            Appended::HeadMoved { head: 0 },
            Appended::HeadMoved { head: 2 },
            Appended::All(vec![AppendResult::New(3)]),
        ]
    );
    assert_eq!(store.span("fresh").await.unwrap(), Span { first: 1, head: 0 });
}

pub async fn a_batch_may_name_a_room_twice(store: Arc<dyn Store>) {
    let batch = Arc::from([
        append("r", 0, vec![draft("alice", 1)]),
        append("r", 1, vec![draft("alice", 1), draft("alice", 2)]),
    ]);
    assert_eq!(
        store.append(batch).await.unwrap(),
        [
            Appended::All(vec![AppendResult::New(1)]),
            Appended::All(vec![AppendResult::Duplicate(1), AppendResult::New(2)]),
        ]
    );
}

pub async fn the_same_id_is_stored_once_across_appends(store: Arc<dyn Store>) {
    store_all(&*store, "r", 0, vec![draft("alice", 1), draft("alice", 2)]).await;
    let other_body = Draft { body: "another body".into(), ..draft("alice", 2) };
    let results = store_all(&*store, "r", 2, vec![draft("alice", 3), other_body]).await;
    assert_eq!(results, [AppendResult::New(3), AppendResult::Duplicate(2)]);
    let all = everything(&*store, "r").await;
    assert_eq!(seqs(&all), [1, 2, 3]);
    assert_eq!(&*all[1].body, "body of 2");
    let results = store_all(&*store, "r", 3, vec![draft("alice", 1)]).await;
    assert_eq!(results, [AppendResult::Duplicate(1)]);
    assert_eq!(store.span("r").await.unwrap().head, 3);
}

pub async fn the_same_id_is_stored_once_within_an_append(store: Arc<dyn Store>) {
    let ids = ["x", "x", "y", "x"].map(|id| draft("alice", id));
    let results = store_all(&*store, "r", 0, ids.to_vec()).await;
    assert_eq!(
        results,
        [AppendResult::New(1), AppendResult::Duplicate(1), AppendResult::New(2), AppendResult::Duplicate(1)]
    );
}

pub async fn another_user_or_room_may_use_the_same_id(store: Arc<dyn Store>) {
    // The two users and ids are the same when put behind each other.
    let drafts = vec![draft("alice", 1), draft("bob", 1), draft("al", "ice"), draft("ali", "ce")];
    let results = store_all(&*store, "r", 0, drafts).await;
    assert!(results.iter().all(|results| matches!(results, AppendResult::New(_))), "{results:?}");
    assert_eq!(store_all(&*store, "s", 0, vec![draft("alice", 1)]).await, [AppendResult::New(1)]);
}

pub async fn concurrent_writers_of_one_room_leave_no_gap(store: Arc<dyn Store>) {
    let writers = (0..8).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut results = Vec::new();
            for n in 0..25 {
                // Two writers share each user, so that half of all messages are duplicates.
                let message = draft(&format!("user{}", writer / 2), n);
                results.push(insist(&*store, "r", message).await);
            }
            results
        })
    });
    let mut fresh = HashSet::new();
    let mut known = HashSet::new();
    for writer in writers.collect::<Vec<_>>() {
        for results in writer.await.unwrap() {
            match results {
                AppendResult::New(seq) => assert!(fresh.insert(seq), "{seq} was given twice"),
                AppendResult::Duplicate(seq) => _ = known.insert(seq),
            }
        }
    }
    assert_eq!(fresh, (1..=100).collect());
    assert_eq!(known, fresh);
    assert_eq!(seqs(&everything(&*store, "r").await), (1..=100).collect::<Vec<_>>());
}

pub async fn an_append_whose_future_was_dropped_is_whole_or_absent(store: Arc<dyn Store>) {
    for n in 0..20 {
        let room = format!("r{n}");
        let batch = Arc::from([append(&room, 0, vec![draft("alice", 1), draft("alice", 2)])]);
        let mut abandoned = Box::pin(store.append(batch));
        // Polled once, so that it is queued, and dropped before the answer.
        tokio::select! { biased; _ = &mut abandoned => {}, () = std::future::ready(()) => {} }
        drop(abandoned);
        for (id, seq) in [(1, 1), (2, 2)] {
            let results = insist(&*store, &room, draft("alice", id)).await;
            assert!(matches!(results, AppendResult::New(s) | AppendResult::Duplicate(s) if s == seq));
        }
        assert_eq!(seqs(&everything(&*store, &room).await), [1, 2]);
    }
}

pub async fn reading_is_bounded_in_messages(store: Arc<dyn Store>) {
    store_all(&*store, "r", 0, (0..30).map(|n| draft("alice", n)).collect()).await;
    assert_eq!(seqs(&store.read("r", 0, 5).await.unwrap().messages), [1, 2, 3, 4, 5]);
    assert_eq!(seqs(&store.read("r", 27, 5).await.unwrap().messages), [28, 29, 30]);
    assert_eq!(seqs(&store.read("r", 4, 0).await.unwrap().messages), [5], "0 counts as 1");
    assert_eq!(store.read("r", 0, usize::MAX).await.unwrap().messages.len(), 30);
}

pub async fn reading_is_bounded_in_bytes(store: Arc<dyn Store>) {
    let sized = |id: u32, len| Draft { body: "x".repeat(len).into(), ..draft("alice", id) };
    let half = MAX_READ_BYTES / 2;
    let drafts = vec![sized(1, 2 * MAX_READ_BYTES), sized(2, half), sized(3, half - 20), sized(4, half)];
    store_all(&*store, "r", 0, drafts).await;
    assert_eq!(seqs(&store.read("r", 0, 10).await.unwrap().messages), [1], "one that is larger comes alone");
    assert_eq!(seqs(&store.read("r", 1, 10).await.unwrap().messages), [2, 3]);
    assert_eq!(seqs(&everything(&*store, "r").await), [1, 2, 3, 4]);
}

pub async fn reading_beyond_the_head_finds_nothing(store: Arc<dyn Store>) {
    store_all(&*store, "r", 0, vec![draft("alice", 1)]).await;
    for after in [1, 2, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        assert_eq!(store.read("r", after, 10).await.unwrap(), Page::new(1, vec![]), "after {after}");
    }
}

pub async fn any_text_is_kept_to_the_byte(store: Arc<dyn Store>) {
    let texts = ["", "\0", "a\0b", "'; DROP TABLE messages; --", "🦀 e\u{301} é", "\u{10ffff}\r\n"];
    let big = "ä".repeat(1 << 20);
    let drafts: Vec<Draft> = texts
        .into_iter()
        .chain([&*big])
        .enumerate()
        .map(|(n, text)| Draft { user: text.into(), body: text.into(), ..draft("", n) })
        .collect();
    for room in ["", "raum-ä", "a\0b", "a\0c"] {
        store_all(&*store, room, 0, drafts.clone()).await;
        for (stored, draft) in everything(&*store, room).await.iter().zip(&drafts) {
            assert_eq!((&stored.user, &stored.body), (&draft.user, &draft.body));
        }
    }
    let extremes = [i64::MIN, -1, i64::MAX].map(|at_ms| Draft { at_ms, ..draft("alice", at_ms) });
    store_all(&*store, "times", 0, extremes.to_vec()).await;
    let times: Vec<i64> = everything(&*store, "times").await.iter().map(|m| m.at_ms).collect();
    assert_eq!(times, [i64::MIN, -1, i64::MAX]);
}

pub async fn expiry_removes_the_oldest_of_each_room_and_keeps_the_head(store: Arc<dyn Store>) {
    let at = |n: i64| Draft { at_ms: n, ..draft("alice", n) };
    for room in 0..120 {
        store_all(&*store, &format!("r{room}"), 0, (1..=20).map(at).collect()).await;
    }
    assert_eq!(store.expire(before(1)).await.unwrap(), 0);
    assert_eq!(store.expire(before(16)).await.unwrap(), 120 * 15);
    for room in 0..120 {
        let room = format!("r{room}");
        assert_eq!(store.span(&room).await.unwrap(), Span { first: 16, head: 20 });
        assert_eq!(seqs(&store.read(&room, 0, 100).await.unwrap().messages), [16, 17, 18, 19, 20]);
    }
    assert_eq!(store.expire(before(i64::MAX)).await.unwrap(), 120 * 5);
    assert_eq!(store.span("r0").await.unwrap(), Span { first: 21, head: 20 });
    assert_eq!(store_all(&*store, "r0", 20, vec![at(20)]).await, [AppendResult::New(21)]);
}

pub async fn expiry_leaves_no_gap_when_clocks_disagree(store: Arc<dyn Store>) {
    let drafts = [1, 2, 9, 3, 4].map(|at_ms| Draft { at_ms, ..draft("alice", at_ms) });
    store_all(&*store, "r", 0, drafts.to_vec()).await;
    assert_eq!(store.expire(before(5)).await.unwrap(), 2);
    assert_eq!(seqs(&everything(&*store, "r").await), [3, 4, 5]);
}

pub async fn expiry_goes_on_in_a_room_that_was_emptied_by_a_later_date(store: Arc<dyn Store>) {
    let at = |at_ms: i64| Draft { at_ms, ..draft("alice", at_ms) };
    store_all(&*store, "r", 0, vec![at(5), at(67)]).await;
    assert_eq!(store.expire(before(80)).await.unwrap(), 2);
    store_all(&*store, "r", 2, vec![at(11), at(22)]).await;
    assert_eq!(store.expire(before(19)).await.unwrap(), 1);
    assert_eq!(store.span("r").await.unwrap(), Span { first: 4, head: 4 });
    assert_eq!(store.expire(before(23)).await.unwrap(), 1);
    assert_eq!(store.expire(before(23)).await.unwrap(), 0);
    assert_eq!(store.span("r").await.unwrap(), Span { first: 5, head: 4 });
}

pub async fn expiry_is_not_stopped_by_a_date_in_the_future(store: Arc<dyn Store>) {
    let at = |at_ms: i64| Draft { at_ms, ..draft("alice", at_ms) };
    let cutoff = Cutoff { before_ms: 100, now_ms: 1000 };
    store_all(&*store, "behind", 0, [1, 5000, 2, 6000, 101, 7000].map(at).to_vec()).await;
    store_all(&*store, "only", 0, [5000, 6000].map(at).to_vec()).await;
    store_all(&*store, "young", 0, [5000, 999].map(at).to_vec()).await;
    store_all(&*store, "all", 0, [5000, 1].map(at).to_vec()).await;
    assert_eq!(store.expire(cutoff).await.unwrap(), 3 + 2);
    assert_eq!(seqs(&everything(&*store, "behind").await), [4, 5, 6], "one more could be young");
    assert_eq!(seqs(&everything(&*store, "only").await), [1, 2], "no date says how old they are");
    assert_eq!(seqs(&everything(&*store, "young").await), [1, 2]);
    assert_eq!(store.span("all").await.unwrap(), Span { first: 3, head: 2 });
    assert_eq!(store.expire(cutoff).await.unwrap(), 0);
}

pub async fn expiry_passes_many_dates_in_the_future(store: Arc<dyn Store>) {
    let at = |n: i64| Draft { at_ms: if n % 1100 == 0 { n / 1100 } else { 5000 }, ..draft("alice", n) };
    for head in (0..2300).step_by(100) {
        store_all(&*store, "r", head as u64, (head + 1..=head + 100).map(at).collect()).await;
    }
    let kept = store.span("r").await.unwrap();
    let cutoff = |before_ms| Cutoff { before_ms, now_ms: 1000 };
    assert_eq!(store.expire(cutoff(1)).await.unwrap(), 0);
    assert_eq!(store.expire(cutoff(3)).await.unwrap(), 2200_u64.saturating_sub(kept.first - 1));
    assert_eq!(store.span("r").await.unwrap(), Span { first: 2201.max(kept.first), head: 2300 });
}

pub async fn a_page_of_an_emptied_room_tells_what_was_removed(store: Arc<dyn Store>) {
    store_all(&*store, "r", 0, (1..=4).map(|n| draft("alice", n)).collect()).await;
    store.expire(before(i64::MAX)).await.unwrap();
    for after in 0..6 {
        let page = store.read("r", after, 2).await.unwrap();
        assert_eq!(page, Page::new(4, vec![]), "after {after}");
        assert_eq!(page.removed_to(after), (after < 4).then_some(4));
    }
}

pub async fn the_epoch_is_a_short_name_that_stays(store: Arc<dyn Store>) {
    let epoch = store.epoch();
    assert!(epoch.len() == 16 && epoch.bytes().all(|byte| byte.is_ascii_hexdigit()), "{epoch}");
    store_all(&*store, "r", 0, vec![draft("alice", 1)]).await;
    store.ping().await.unwrap();
    assert_eq!(store.epoch(), epoch);
}

pub async fn a_read_that_begins_at_removed_messages_is_as_long_as_any_other(store: Arc<dyn Store>) {
    let at = |at_ms: i64| Draft { at_ms, ..draft("alice", at_ms) };
    store_all(&*store, "some", 0, (1..=9).map(at).collect()).await;
    store_all(&*store, "all", 0, (1..=4).map(at).collect()).await;
    store.expire(before(5)).await.unwrap();
    store_all(&*store, "all", 4, (5..=9).map(at).collect()).await;
    for room in ["some", "all"] {
        for after in 0..9_u64 {
            for limit in 1..7_usize {
                let expected: Vec<u64> = (5..=9).filter(|seq| *seq > after).take(limit).collect();
                let page = store.read(room, after, limit).await.unwrap();
                assert_eq!(seqs(&page.messages), expected, "{limit} after {after} of {room}");
                assert_eq!(page.head, 9);
                assert_eq!(page.removed_to(after), (after < 4).then_some(4), "after {after} of {room}");
            }
        }
    }
}

pub async fn an_open_store_can_be_pinged(store: Arc<dyn Store>) {
    store.ping().await.unwrap();
    store_all(&*store, "r", 0, vec![draft("alice", 1)]).await;
    store.ping().await.unwrap();
    assert_eq!(seqs(&everything(&*store, "r").await), [1]);
}

pub async fn closing_twice_is_closing_once(store: Arc<dyn Store>) {
    store_all(&*store, "r", 0, vec![draft("alice", 1)]).await;
    let (first, second) = tokio::join!(store.close(), store.close());
    first.unwrap();
    second.unwrap();
    store.close().await.unwrap();
}

pub async fn nothing_works_after_closing(store: Arc<dyn Store>) {
    store.close().await.unwrap();
    let batch = Arc::from([append("r", 0, vec![draft("alice", 1)])]);
    assert!(matches!(store.append(batch).await, Err(StoreError::Closed)));
    assert!(matches!(store.span("r").await, Err(StoreError::Closed)));
    assert!(matches!(store.read("r", 0, 1).await, Err(StoreError::Closed)));
    assert!(matches!(store.expire(before(0)).await, Err(StoreError::Closed)));
    assert!(matches!(store.ping().await, Err(StoreError::Closed)));
}

pub async fn what_is_queued_when_closing_is_answered(store: Arc<dyn Store>) {
    let appends = (0..200).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let batch = Arc::from([append(&format!("r{n}"), 0, vec![draft("alice", 1)])]);
            store.append(batch).await
        })
    });
    let appends: Vec<_> = appends.collect();
    tokio::task::yield_now().await;
    store.close().await.unwrap();
    for append in appends {
        match append.await.unwrap() {
            Ok(appended) => assert_eq!(appended, [Appended::All(vec![AppendResult::New(1)])]),
            Err(error) => assert!(matches!(error, StoreError::Closed), "{error}"),
        }
    }
}
