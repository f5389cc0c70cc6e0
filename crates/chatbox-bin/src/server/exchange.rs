//! The time limits of one HTTP connection, as a state that is fed with the time.

use std::time::Duration;
use tokio::time::Instant;

/// How long the head of the first request may take.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a request may take from its head to the end of its answer.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(60);

/// The age from which on the next answer of a connection is its last.
pub(crate) const CONNECTION_TIME: Duration = Duration::from_secs(60);

/// How long the last answer may take to be read by the peer.
pub(crate) const LAST_ANSWER_TIME: Duration = Duration::from_secs(10);

/// How far an HTTP connection is with its current request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// No request has come.
    Opened,
    /// A request is being answered.
    Answering { since: Instant },
    /// The answer was handed to the socket, and another request may come.
    Idle { since: Instant },
    /// The last answer was handed to the socket.
    Ending { since: Instant },
}

/// The requests and answers of one HTTP connection: when it must be cut, and which answer is its last.
#[derive(Debug)]
pub(crate) struct Exchange {
    keep_alive: Duration,
    opened: Instant,
    progress: Progress,
    /// The request has a body that was not read to its end.
    unread_body: bool,
}

impl Exchange {
    /// A connection that was just accepted. Between two requests it is kept for `keep_alive`.
    pub(crate) fn new(keep_alive: Duration, now: Instant) -> Self {
        Self { keep_alive, opened: now, progress: Progress::Opened, unread_body: false }
    }

    /// The head of a request was read.
    pub(crate) fn on_request(&mut self, has_body: bool, now: Instant) {
        self.progress = Progress::Answering { since: now };
        self.unread_body = has_body;
    }

    /// The body of the request was read to its end.
    pub(crate) fn on_body_read(&mut self) {
        self.unread_body = false;
    }

    /// The answer to the request was handed to the socket.
    pub(crate) fn on_answered(&mut self, last: bool, now: Instant) {
        self.progress = if last { Progress::Ending { since: now } } else { Progress::Idle { since: now } };
    }

    /// Whether the answer that is given now must be the connection's last: because of its age, or because the rest of the request's body
    /// stands before the next request.
    pub(crate) fn is_last(&self, now: Instant) -> bool {
        self.unread_body || now.duration_since(self.opened) >= CONNECTION_TIME
    }

    /// Whether the connection waits for a request after its first.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.progress, Progress::Idle { .. })
    }

    /// When the connection is ended unless something happens before.
    pub(crate) fn limit(&self) -> Instant {
        match self.progress {
            Progress::Opened => self.opened + HEAD_TIME,
            Progress::Answering { since } => since + ANSWER_TIME,
            Progress::Idle { since } => since + self.keep_alive,
            Progress::Ending { since } => since + LAST_ANSWER_TIME,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_a_connection_has_its_limit() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut exchange = Exchange::new(Duration::from_secs(75), start);
        assert_eq!((exchange.limit(), exchange.is_idle()), (at(10), false));
        exchange.on_request(false, at(9));
        assert_eq!((exchange.limit(), exchange.is_idle()), (at(69), false));
        exchange.on_answered(false, at(12));
        assert_eq!((exchange.limit(), exchange.is_idle()), (at(87), true));
        exchange.on_request(false, at(61));
        exchange.on_answered(true, at(62));
        assert_eq!((exchange.limit(), exchange.is_idle()), (at(72), false));
    }

    #[test]
    fn an_answer_is_the_last_at_the_age_limit_and_while_the_body_of_its_request_is_unread() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut exchange = Exchange::new(Duration::from_secs(75), start);
        exchange.on_request(false, start);
        assert!(!exchange.is_last(at(59)) && exchange.is_last(at(60)));
        exchange.on_request(true, start);
        assert!(exchange.is_last(at(1)));
        exchange.on_body_read();
        assert!(!exchange.is_last(at(1)));
    }
}
