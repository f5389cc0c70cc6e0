//! The decision whether and when to reconnect, as a pure function of how the last attempt ended.

use crate::Reason;
use crate::backoff::Backoff;
use chatbox_protocol::Retry;
use std::time::Duration;

/// The longest wait that a server can ask for: more is taken for a mistake.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(300);

/// The backoff state: how many attempts have failed in a row.
#[derive(Clone, Debug)]
pub(crate) struct Reconnect {
    backoff: Backoff,
    /// Tokens come from a provider: the next one may be accepted where the last one was not.
    renews_token: bool,
    failures: u32,
}

/// The end of a connection or of an attempt to connect.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) reason: &'a Reason,
    /// A `message` or an `ack` was received. A connection that was merely open proves nothing: overloaded servers accept
    /// connections, too.
    pub(crate) progressed: bool,
    /// The remaining wait that a `goodbye` asked for.
    pub(crate) slot: Option<Duration>,
}

impl Reconnect {
    pub(crate) fn new(backoff: Backoff, renews_token: bool) -> Self {
        Self { backoff, renews_token, failures: 0 }
    }

    /// Forgets the failures.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The delay before the next attempt; `None`: no further attempt. `fraction`, from 0 to 1, is the jitter.
    pub(crate) fn after(&mut self, ended: &Ended<'_>, fraction: f64) -> Option<Duration> {
        if !self.is_worthwhile(ended.reason) {
            return None;
        }
        if ended.progressed {
            self.failures = 0;
        }
        if let Some(slot) = ended.slot {
            return Some(slot.min(MAX_WAIT));
        }
        let asked = match ended.reason {
            Reason::Refused { retry_after, .. } => retry_after.unwrap_or_default().min(MAX_WAIT),
            _ => Duration::ZERO,
        };
        // Added to what the server asks for, because it asks every client for the same.
        let delay = asked + self.backoff.delay(self.failures, fraction);
        self.failures = self.failures.saturating_add(1);
        Some(delay)
    }

    fn is_worthwhile(&self, reason: &Reason) -> bool {
        match reason {
            Reason::Requested => false,
            Reason::Close { code, .. } => match Retry::for_code(*code) {
                Retry::Slot | Retry::Backoff => true,
                Retry::NewToken => self.renews_token,
                // Also advice of a later version.
                _ => false,
            },
            Reason::Refused { status: 401 | 403, .. } => self.renews_token,
            Reason::Refused { status, .. } => *status == 429 || *status >= 500,
            Reason::Network(_) | Reason::Silent(_) | Reason::Protocol(_) | Reason::Token(_) | Reason::Headers(_) => {
                true
            }
        }
    }
}

#[cfg(test)]
mod tests;
