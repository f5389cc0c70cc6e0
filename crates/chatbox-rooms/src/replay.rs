//! Where a `join` begins.

use crate::room::Snapshot;
use chatbox_protocol::ClientMessage;
use std::sync::Arc;

/// The part of the log that a `join` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replay {
    /// Everything after this `seq`.
    pub(crate) after: Option<u64>,
    /// At most so many of the newest messages, unless `after` is set.
    pub(crate) last: Option<u64>,
    /// The epoch that `after` belongs to, if the client knows it.
    pub(crate) epoch: Option<Arc<str>>,
}

/// The answer to a [`Replay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// What is sent follows this `seq`.
    pub(crate) cursor: u64,
    /// `after` is not in this log, so that the client gets everything that is stored.
    pub(crate) history_gone: bool,
}

impl Replay {
    /// The replay that a `join` asks for; of other messages, none.
    pub(crate) fn of(message: &ClientMessage<'_>) -> Self {
        match message {
            ClientMessage::Join { after, last, epoch, .. } => {
                Self { after: *after, last: *last, epoch: epoch.as_deref().map(Into::into) }
            }
            _ => Self::default(),
        }
    }

    /// Where the replay begins in a room of this state.
    pub(crate) fn start(&self, Snapshot { span, epoch, .. }: &Snapshot) -> Start {
        let removed = span.first - 1;
        match (self.after, self.last) {
            (Some(after), _) => {
                let is_other = self.epoch.as_ref().is_some_and(|known| known != epoch);
                let history_gone = is_other || !(removed..=span.head).contains(&after);
                Start { cursor: if history_gone { removed } else { after }, history_gone }
            }
            (None, Some(last)) => Start { cursor: span.head.saturating_sub(last).max(removed), history_gone: false },
            (None, None) => Start { cursor: span.head, history_gone: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatbox_store::Span;

    fn start(after: Option<u64>, last: Option<u64>, epoch: Option<&str>) -> (u64, bool) {
        let snapshot = Snapshot { span: Span { first: 11, head: 20 }, epoch: "this".into(), generation: 0 };
        let Start { cursor, history_gone } = Replay { after, last, epoch: epoch.map(Into::into) }.start(&snapshot);
        (cursor, history_gone)
    }

    #[test]
    fn a_replay_begins_where_it_asks_if_that_is_in_the_log() {
        assert_eq!(start(None, None, None), (20, false));
        assert_eq!(start(None, Some(2), None), (18, false));
        assert_eq!(start(None, Some(u64::MAX), None), (10, false));
        assert_eq!(start(None, Some(0), None), (20, false));
        for after in 10..=20 {
            assert_eq!(start(Some(after), None, None), (after, false));
            assert_eq!(start(Some(after), None, Some("this")), (after, false));
        }
    }

    #[test]
    fn a_replay_from_outside_the_log_gets_everything_that_is_stored() {
        for after in [0, 9, 21, u64::MAX] {
            assert_eq!(start(Some(after), None, None), (10, true), "{after}");
        }
        for after in [0, 10, 15, 20, 21] {
            assert_eq!(start(Some(after), None, Some("other")), (10, true), "{after}");
        }
    }

    #[test]
    fn the_epoch_means_nothing_without_a_seq() {
        assert_eq!(start(None, None, Some("other")), (20, false));
        assert_eq!(start(None, Some(5), Some("other")), (15, false));
    }
}
