//! What is appended to a store, what is read from it, and the answers to both.

use std::sync::Arc;

/// The most text (users, ids and bodies, in bytes) in one [`Page`]: 1 MiB, unless a single message is larger.
pub const MAX_READ_BYTES: usize = 1 << 20;

/// Messages to be appended to one room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The room.
    pub room: Arc<str>,
    /// The newest `seq` that the caller knows of, 0 for an empty room.
    pub expected_head: u64,
    /// The messages, in the order in which they get their `seq`.
    pub messages: Vec<Draft>,
}

/// A message that has no `seq` yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The sender.
    pub user: Arc<str>,
    /// The id that the sender chose, unique for this user in this room.
    pub id: Box<str>,
    /// The text.
    pub body: Box<str>,
    /// When the message was accepted, in milliseconds since the Unix epoch ([`Store::now_ms`](crate::Store::now_ms)).
    pub at_ms: i64,
}

/// The answer to an [`Append`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// All of it took effect: one [`AppendResult`] for each message, in order.
    All(Vec<AppendResult>),
    /// The room's head is not the expected one: nothing was stored.
    HeadMoved {
        /// The head of the room, or a newer one than was expected. Everything up to it can be read.
        head: u64,
    },
    /// Another process appended to the room meanwhile: only the first messages took effect. Happens only in a store that
    /// several processes share.
    Partly {
        /// One result for each message that took effect: at least one, and not all. The new ones follow the expected head
        /// without gaps.
        results: Vec<AppendResult>,
        /// As in [`HeadMoved`](Appended::HeadMoved).
        head: u64,
    },
}

/// The `seq` of an appended message, and whether the message is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendResult {
    /// The message was stored by this append. The new messages of an append follow its expected head without gaps.
    New(u64),
    /// A message with the same room, user and id was stored before (possibly earlier in the same append). This is its `seq`;
    /// its body is the one it had then.
    Duplicate(u64),
}

/// The range of messages that a room has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The oldest stored `seq`; `head + 1` when nothing is stored.
    pub first: u64,
    /// The newest `seq` ever assigned in the room, 0 when there was none.
    pub head: u64,
}

/// Consecutive messages of a room, and the room's head at the moment they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// The newest `seq` ever assigned in the room, 0 when there was none. At least that of the last message.
    pub head: u64,
    /// The messages, ascending and without gaps. Empty only when no stored message follows the requested position.
    pub messages: Vec<Stored>,
}

impl Page {
    /// A page that a backend read while the room's head was `head`.
    #[must_use]
    pub fn new(head: u64, messages: Vec<Stored>) -> Self {
        debug_assert!(messages.last().is_none_or(|last| last.seq <= head), "the head is the newest seq");
        Self { head, messages }
    }

    /// The `seq` of the last message, to continue reading after.
    #[must_use]
    pub fn last_seq(&self) -> Option<u64> {
        self.messages.last().map(|last| last.seq)
    }

    /// For a page that was read after `after`: the `seq` up to which the messages that followed `after` have been removed,
    /// `None` if none were. What is left begins one later.
    #[must_use]
    pub fn removed_to(&self, after: u64) -> Option<u64> {
        let removed = self.messages.first().map_or(self.head, |first| first.seq - 1);
        (removed > after).then_some(removed)
    }
}

/// A stored message of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its sequence number in the room: 1, 2, 3 … without gaps.
    pub seq: u64,
    /// The sender.
    pub user: Arc<str>,
    /// The id that the sender chose.
    pub id: Box<str>,
    /// The text.
    pub body: Box<str>,
    /// When the message was accepted, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

impl Stored {
    /// What the message counts towards [`MAX_READ_BYTES`].
    pub(crate) fn text_len(&self) -> usize {
        self.user.len() + self.id.len() + self.body.len()
    }
}

/// A predicate that accepts messages as long as [`MAX_READ_BYTES`] allows, and the first in any case.
pub(crate) fn within_read_bytes() -> impl FnMut(&Stored) -> bool {
    let mut bytes = 0;
    move |message| {
        let first = bytes == 0;
        bytes += message.text_len();
        first || bytes <= MAX_READ_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_which_messages_before_it_were_removed() {
        let message = |seq| Stored { seq, user: "ann".into(), id: "1".into(), body: "x".into(), at_ms: 0 };
        let page = Page::new(9, vec![message(5), message(6)]);
        assert_eq!((page.last_seq(), page.removed_to(4), page.removed_to(2)), (Some(6), None, Some(4)));
        let empty = Page::new(9, Vec::new());
        assert_eq!((empty.last_seq(), empty.removed_to(9), empty.removed_to(2)), (None, None, Some(9)));
    }
}
