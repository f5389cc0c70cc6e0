//! The connections of each user, as linked lists through the connections themselves: the index costs no memory for each connection.

use crate::connection::Connection;
use slab::Slab;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The end of a list.
const END: u32 = u32::MAX;

/// How many connections each user has, and which. Used under the lock of the registry, which makes the relaxed accesses sound.
#[derive(Debug, Default)]
pub(crate) struct Users(HashMap<Arc<str>, Entry>);

#[derive(Debug)]
struct Entry {
    count: u32,
    newest: u32,
}

impl Users {
    /// The number of connections of `user`, and the shared name if there are any.
    pub(crate) fn get(&self, user: &str) -> (u32, Option<&Arc<str>>) {
        self.0.get_key_value(user).map_or((0, None), |(user, entry)| (entry.count, Some(user)))
    }

    pub(crate) fn add(&mut self, connection: &Connection) {
        let entry = self.0.entry(Arc::clone(connection.user())).or_insert(Entry { count: 0, newest: END });
        connection.next_of_user.store(entry.newest, Ordering::Relaxed);
        entry.newest = connection.slot;
        entry.count += 1;
    }

    /// Removes a connection that is still in `connections`. No effect if it was removed before.
    pub(crate) fn remove(&mut self, connection: &Connection, connections: &Slab<Arc<Connection>>) {
        let Some(entry) = self.0.get_mut(connection.user()) else { return };
        let next = connection.next_of_user.load(Ordering::Relaxed);
        if entry.newest == connection.slot {
            entry.newest = next;
        } else {
            let predecessor = list(connections, entry.newest)
                .find(|other| other.next_of_user.load(Ordering::Relaxed) == connection.slot);
            let Some(predecessor) = predecessor else { return };
            predecessor.next_of_user.store(next, Ordering::Relaxed);
        }
        entry.count -= 1;
        if entry.count == 0 {
            self.0.remove(connection.user());
        }
    }

    /// The connections of `user`, the newest first.
    pub(crate) fn of<'a>(
        &self,
        user: &str,
        connections: &'a Slab<Arc<Connection>>,
    ) -> impl Iterator<Item = &'a Arc<Connection>> + use<'a> {
        list(connections, self.0.get(user).map_or(END, |entry| entry.newest))
    }
}

fn list(connections: &Slab<Arc<Connection>>, first: u32) -> impl Iterator<Item = &Arc<Connection>> {
    let at = move |slot: u32| connections.get(usize::try_from(slot).ok()?);
    std::iter::successors(at(first), move |connection| at(connection.next_of_user.load(Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox_limits::OutboxLimits;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_lists_are_those_of_a_plain_set(steps in prop::collection::vec((0usize..3, any::<bool>(), any::<prop::sample::Index>()), 0..60)) {
            let limits = Arc::new(OutboxLimits::new(1, 1));
            let (mut users, mut slab, mut model) = (Users::default(), Slab::new(), Vec::<(usize, u32)>::new());
            for (user, add, which) in steps {
                if add || model.is_empty() {
                    let entry = slab.vacant_entry();
                    let slot = u32::try_from(entry.key()).unwrap();
                    let connection = Arc::new(Connection::new(0, user.to_string().into(), Arc::clone(&limits), slot));
                    users.add(&connection);
                    entry.insert(connection);
                    model.push((user, slot));
                } else {
                    let (_, slot) = model.remove(which.index(model.len()));
                    let connection = Arc::clone(&slab[slot as usize]);
                    users.remove(&connection, &slab);
                    // Twice is once: its session may end after it was displaced.
                    users.remove(&connection, &slab);
                    slab.remove(slot as usize);
                }
                for user in 0..3 {
                    let expected: Vec<_> = model.iter().rev().filter(|(of, _)| *of == user).map(|(_, slot)| *slot).collect();
                    let listed: Vec<_> = users.of(&user.to_string(), &slab).map(|connection| connection.slot).collect();
                    prop_assert_eq!(users.get(&user.to_string()).0 as usize, expected.len());
                    prop_assert_eq!(listed, expected);
                }
            }
        }
    }
}
