//! The decision whether and when to connect again, as a pure function of how the last try ended.

use crate::Reason;
use crate::backoff::Backoff;
use std::time::Duration;

/// The longest that a server can make a client wait: beyond it lies a mistake, not a plan.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(300);

/// Remembers how many tries have failed in a row.
#[derive(Debug)]
pub(crate) struct Reconnect {
    backoff: Backoff,
    /// Tokens come from a provider: the next one may be accepted where the last was not.
    renews_token: bool,
    failures: u32,
}

/// How a connection, or the try to get one, ended.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) reason: &'a Reason,
    /// A `message` or an `ack` came. A connection that was merely open proves nothing: servers that are overrun by
    /// reconnecting clients accept connections, too.
    pub(crate) progressed: bool,
    /// What is left of the wait that a `goodbye` asked for.
    pub(crate) slot: Option<Duration>,
}

impl Reconnect {
    pub(crate) fn new(backoff: Backoff, renews_token: bool) -> Self {
        Self { backoff, renews_token, failures: 0 }
    }

    /// How long to wait before the next try; `None`: there is to be none. `fraction`, from 0 to 1, is the jitter.
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
        // On top of what the server asks for: it asks everybody for the same.
        let delay = asked + self.backoff.delay(self.failures, fraction);
        self.failures = self.failures.saturating_add(1);
        Some(delay)
    }

    fn is_worthwhile(&self, reason: &Reason) -> bool {
        match reason {
            Reason::Requested => false,
            // The table of the protocol; what does not stand there is no invitation to come back.
            Reason::Close { code: 1001 | 1011 | 1013, .. } => true,
            Reason::Close { code: 1008, .. } | Reason::Refused { status: 401 | 403, .. } => self.renews_token,
            Reason::Close { .. } => false,
            Reason::Refused { status, .. } => *status == 429 || *status >= 500,
            Reason::Network(_) | Reason::Silent(_) | Reason::Protocol(_) | Reason::Token(_) => true,
        }
    }
}

#[cfg(test)]
mod tests;
