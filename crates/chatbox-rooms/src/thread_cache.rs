//! A cache of one entry for each thread: the frames that one of its members pulled last.
//!
//! All members that have caught up pull the same frames, those just published. The first member of a thread takes them from the ring,
//! the others from this cache: without the ring's lock, and with a reference count that no other thread touches. An
//! entry is at most one chunk of a ring, and is kept until the next one replaces it.

use bytes::Bytes;
use std::cell::RefCell;

thread_local! {
    static LAST: RefCell<Option<Run>> = const { RefCell::new(None) };
}

struct Run {
    /// The key of the log, that is of one generation of a room.
    log: u64,
    after: u64,
    up_to: u64,
    frames: Bytes,
}

/// The frames of a room's messages after `after` up to `up_to`, if they are the cached ones.
pub(crate) fn find(log: u64, after: u64, up_to: u64) -> Option<Bytes> {
    LAST.with_borrow(|last| {
        let run = last.as_ref().filter(|run| (run.log, run.after, run.up_to) == (log, after, up_to))?;
        Some(run.frames.clone())
    })
}

/// Caches frames for this thread.
pub(crate) fn keep(log: u64, after: u64, up_to: u64, frames: &Bytes) {
    // A reference count of its own for the same bytes: the count of the ring's is shared by all threads.
    let frames = Bytes::from_owner(frames.clone());
    LAST.set(Some(Run { log, after, up_to, frames }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_run_is_found_until_another_replaces_it() {
        let frames = Bytes::from(vec![1, 2, 3]);
        keep(7, 4, 6, &frames);
        assert_eq!(find(7, 4, 6), Some(frames.clone()));
        for (log, after, up_to) in [(8, 4, 6), (7, 3, 6), (7, 5, 6), (7, 4, 5), (7, 4, 7)] {
            assert_eq!(find(log, after, up_to), None, "{log} {after} {up_to}");
        }
        keep(8, 4, 6, &Bytes::new());
        assert_eq!(find(7, 4, 6), None);
        // The thread has dropped its reference.
        assert!(frames.is_unique());
    }

    #[test]
    fn threads_do_not_share_their_caches() {
        keep(1, 0, 1, &Bytes::from_static(b"x"));
        let found = std::thread::spawn(|| find(1, 0, 1)).join();
        assert_eq!(found.expect("the thread ends"), None);
    }
}
