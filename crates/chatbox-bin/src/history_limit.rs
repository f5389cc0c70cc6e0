//! The limit on pages of history that are held in memory at the same time, of one user and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Pages of one user.
const PAGES_OF_USER: usize = 4;

/// Pages in all.
const PAGES: usize = 64;

/// Counts the pages of history that are on their way from the store to a client.
#[derive(Debug, Default)]
pub(crate) struct HistoryLimit(Mutex<HashMap<String, usize>>);

/// The right to hold one page. Returned to the limit when dropped.
#[must_use]
pub(crate) struct PagePermit {
    limit: Arc<HistoryLimit>,
    user: String,
}

impl HistoryLimit {
    /// A permit for one page of `user`; `None` when the user, or all users together, hold as many as they may.
    pub(crate) fn acquire(self: &Arc<Self>, user: String) -> Option<PagePermit> {
        let mut held = self.held();
        let all: usize = held.values().sum();
        let own = held.get(&user).copied().unwrap_or(0);
        if all >= PAGES || own >= PAGES_OF_USER {
            return None;
        }
        held.insert(user.clone(), own + 1);
        Some(PagePermit { limit: Arc::clone(self), user })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PagePermit {
    fn drop(&mut self) {
        let mut held = self.limit.held();
        if let Some(own) = held.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                held.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_limited_per_user_and_in_all_and_permits_return() {
        let limit = Arc::new(HistoryLimit::default());
        let own: Vec<_> = (0..PAGES_OF_USER).map(|_| limit.acquire("alice".to_owned()).unwrap()).collect();
        assert!(limit.acquire("alice".to_owned()).is_none());
        let others: Vec<_> = (PAGES_OF_USER..PAGES).map(|user| limit.acquire(user.to_string()).unwrap()).collect();
        assert!(limit.acquire("bob".to_owned()).is_none());
        drop(own);
        assert!(limit.acquire("alice".to_owned()).is_some());
        drop(others);
        assert!(limit.held().is_empty());
    }
}
