//! The HTTP connections of a listener: limited in number, the oldest of which are ended for new ones.

use crate::telemetry;
use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// The age before which no connection is ended for a new one. Requests are answered in less: a fleet that reconnects at once waits in the
/// accept queue and is served, while connections that are only held open make room.
const MIN_AGE: Duration = Duration::from_secs(1);

/// The tasks of connections that are not, or not yet, WebSockets.
pub(crate) struct ConnectionSet {
    tasks: JoinSet<()>,
    /// Oldest first; some of them have ended.
    ages: VecDeque<(Instant, AbortHandle)>,
    limit: usize,
}

impl ConnectionSet {
    pub(crate) fn new(limit: usize) -> Self {
        Self { tasks: JoinSet::new(), ages: VecDeque::new(), limit }
    }

    /// Whether the limit is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.tasks.len() >= self.limit
    }

    /// Spawns the task of a connection, also beyond the limit.
    pub(crate) fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(connection);
        self.ages.push_back((Instant::now(), task));
        // One sweep for as many new connections as the limit: a constant cost for each.
        if self.ages.len() > 2 * self.limit.max(32) {
            self.ages.retain(|(_, task)| !task.is_finished());
        }
    }

    /// Waits until a connection has ended. While the limit is reached, aborts the oldest when it has its minimum age. Cancel safe.
    pub(crate) async fn change(&mut self) {
        let full = self.is_full();
        let (tasks, ages) = (&mut self.tasks, &mut self.ages);
        let overdue = async {
            while ages.front().is_some_and(|(_, task)| task.is_finished()) {
                ages.pop_front();
            }
            match ages.front() {
                Some((since, _)) if full => sleep_until(*since + MIN_AGE).await,
                _ => pending().await,
            }
            if let Some((_, task)) = ages.pop_front().filter(|(_, task)| !task.is_finished()) {
                telemetry::on_refused("handshake_limit");
                task.abort();
            }
        };
        tokio::select! {
            biased;
            Some(_) = tasks.join_next() => {}
            () = overdue => {}
        }
    }

    /// Waits until all have ended. Cancel safe.
    pub(crate) async fn ended(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Notify;

    #[tokio::test(start_paused = true)]
    async fn at_the_limit_the_oldest_is_ended_at_its_minimum_age() {
        let mut connections = ConnectionSet::new(2);
        let (start, end) = (Instant::now(), Arc::new(Notify::new()));
        connections.add(pending());
        tokio::time::advance(MIN_AGE / 2).await;
        let ended = Arc::clone(&end);
        connections.add(async move { ended.notified().await });
        assert!(connections.is_full());
        // A connection that ends makes room at once.
        end.notify_one();
        connections.change().await;
        assert!(!connections.is_full() && start.elapsed() == MIN_AGE / 2);
        connections.add(pending());
        // The oldest is aborted at its minimum age, and counts until its task has ended.
        while connections.is_full() {
            connections.change().await;
        }
        assert_eq!(start.elapsed(), MIN_AGE);
    }

    #[tokio::test(start_paused = true)]
    async fn below_the_limit_no_connection_is_ended() {
        let mut connections = ConnectionSet::new(2);
        connections.add(tokio::time::sleep(100 * MIN_AGE));
        let start = Instant::now();
        connections.change().await;
        assert_eq!(start.elapsed(), 100 * MIN_AGE);
        connections.ended().await;
    }
}
