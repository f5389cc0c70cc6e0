//! The run of frames that this thread's members pulled last.
//!
//! Members who have caught up all want the same: what has just been published. The first of a thread takes it out of the ring, the others
//! take it from here, without the ring's lock, and with a reference count that no other thread changes. A thread keeps one run
//! until another takes its place: one chunk of a ring at most.

use bytes::Bytes;
use std::cell::RefCell;

thread_local! {
    static LAST: RefCell<Option<Run>> = const { RefCell::new(None) };
}

struct Run {
    /// The key of a room, which no other room ever has.
    room: u64,
    after: u64,
    upto: u64,
    frames: Bytes,
}

/// The frames of a room's messages after `after` up to `upto`, if those are what was kept last.
pub(crate) fn find(room: u64, after: u64, upto: u64) -> Option<Bytes> {
    LAST.with_borrow(|last| {
        let run = last.as_ref().filter(|run| (run.room, run.after, run.upto) == (room, after, upto))?;
        Some(run.frames.clone())
    })
}

/// Keeps them for this thread.
pub(crate) fn keep(room: u64, after: u64, upto: u64, frames: &Bytes) {
    // A reference of its own to the same bytes: the ring's is counted by all threads.
    let frames = Bytes::from_owner(frames.clone());
    LAST.set(Some(Run { room, after, upto, frames }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_same_run_is_found_and_only_until_another_is_kept() {
        let frames = Bytes::from(vec![1, 2, 3]);
        keep(7, 4, 6, &frames);
        assert_eq!(find(7, 4, 6), Some(frames.clone()));
        for (room, after, upto) in [(8, 4, 6), (7, 3, 6), (7, 5, 6), (7, 4, 5), (7, 4, 7)] {
            assert_eq!(find(room, after, upto), None, "{room} {after} {upto}");
        }
        keep(8, 4, 6, &Bytes::new());
        assert_eq!(find(7, 4, 6), None);
        // Neither does the thread hold on to it any more.
        assert!(frames.is_unique());
    }

    #[test]
    fn what_one_thread_keeps_is_not_another_s() {
        keep(1, 0, 1, &Bytes::from_static(b"x"));
        let found = std::thread::spawn(|| find(1, 0, 1)).join();
        assert_eq!(found.expect("the thread ends"), None);
    }
}
