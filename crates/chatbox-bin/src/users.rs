//! The connections of a running service, by user.

use crate::service::Service;
use chatbox_core::CloseReason;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Service {
    /// The number of open connections of each user that has any.
    #[must_use]
    pub fn connections(&self) -> BTreeMap<Arc<str>, usize> {
        let mut users = BTreeMap::new();
        self.state.registry.for_each(|connection| *users.entry(Arc::clone(connection.user())).or_default() += 1);
        users
    }

    /// Closes every connection of a user, for example after a logout. What is queued for them is written before the Close frame. Returns
    /// their number.
    ///
    /// A new connection of the user is admitted if it is authenticated: end the session first.
    pub fn close_user(&self, user: &str, reason: CloseReason) -> usize {
        let connections = self.state.registry.by_user(user);
        for connection in &connections {
            connection.close(reason.clone());
        }
        connections.len()
    }
}
