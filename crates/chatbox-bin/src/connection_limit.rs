//! The HTTP connections of a listener: bounded, and those that dawdle give way to newcomers.

use crate::telemetry;
use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// How long a connection is sure of its place. Who means to be served is served in less, so that a fleet that comes at once waits in
/// the kernel's queue and none of it is turned away, while connections that are only held open last no longer than that.
const SURE: Duration = Duration::from_secs(1);

/// The tasks of connections that are not WebSockets, or not yet.
pub(crate) struct ConnectionSet {
    tasks: JoinSet<()>,
    /// Oldest first; among them some that have ended.
    ages: VecDeque<(Instant, AbortHandle)>,
    limit: usize,
}

impl ConnectionSet {
    pub(crate) fn new(limit: usize) -> Self {
        Self { tasks: JoinSet::new(), ages: VecDeque::new(), limit }
    }

    /// Whether nobody else may come in now.
    pub(crate) fn is_full(&self) -> bool {
        self.tasks.len() >= self.limit
    }

    pub(crate) fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(connection);
        self.ages.push_back((Instant::now(), task));
        // Each sweep comes after as many newcomers as there may be connections.
        if self.ages.len() > 2 * self.limit.max(32) {
            self.ages.retain(|(_, task)| !task.is_finished());
        }
    }

    /// Waits until a connection has ended; in a full crowd, ends the oldest when it has had its time. Cancel safe.
    pub(crate) async fn change(&mut self) {
        let full = self.is_full();
        let (tasks, ages) = (&mut self.tasks, &mut self.ages);
        let overdue = async {
            while ages.front().is_some_and(|(_, task)| task.is_finished()) {
                ages.pop_front();
            }
            match ages.front() {
                Some((since, _)) if full => sleep_until(*since + SURE).await,
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
    pub(crate) async fn gone(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Notify;

    #[tokio::test(start_paused = true)]
    async fn in_a_full_crowd_the_oldest_gives_way_once_it_has_had_its_time() {
        let mut crowd = ConnectionSet::new(2);
        let (start, end) = (Instant::now(), Arc::new(Notify::new()));
        crowd.add(pending());
        tokio::time::advance(SURE / 2).await;
        let ended = Arc::clone(&end);
        crowd.add(async move { ended.notified().await });
        assert!(crowd.is_full());
        // Who ends makes room at once.
        end.notify_one();
        crowd.change().await;
        assert!(!crowd.is_full() && start.elapsed() == SURE / 2);
        crowd.add(pending());
        // The oldest is told to end when it has had its time; its place is free when it has ended.
        while crowd.is_full() {
            crowd.change().await;
        }
        assert_eq!(start.elapsed(), SURE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_is_not_full_rushes_nobody() {
        let mut crowd = ConnectionSet::new(2);
        crowd.add(tokio::time::sleep(100 * SURE));
        let start = Instant::now();
        crowd.change().await;
        assert_eq!(start.elapsed(), 100 * SURE);
        crowd.gone().await;
    }
}
