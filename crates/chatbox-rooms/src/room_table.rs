//! The rooms in memory: looked up by name, forgotten when unused.

use crate::ring_budget::RingBudget;
use crate::room::Room;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many rooms may be in memory before unused ones are removed.
const FEW_ROOMS: usize = 8_192;

/// The rooms of a process by name, and the memory that their rings share.
#[derive(Debug)]
pub(crate) struct RoomTable {
    pub(crate) ring_budget: RingBudget,
    rooms: Mutex<Rooms>,
}

#[derive(Debug)]
struct Rooms {
    by_name: HashMap<Arc<str>, Arc<Room>>,
    /// The number of rooms at which the next sweep is due.
    sweep_at: usize,
}

impl RoomTable {
    pub(crate) fn new(ring_budget: RingBudget) -> Self {
        Self { ring_budget, rooms: Mutex::new(Rooms { by_name: HashMap::new(), sweep_at: FEW_ROOMS }) }
    }

    /// The room of that name, created unloaded if it is not in memory.
    pub(crate) fn room(&self, name: &str) -> Arc<Room> {
        let mut rooms = self.lock();
        if let Some(room) = rooms.by_name.get(name) {
            return Arc::clone(room);
        }
        if rooms.by_name.len() >= rooms.sweep_at {
            self.sweep(&mut rooms);
        }
        let name: Arc<str> = name.into();
        let room = Arc::new(Room::new(Arc::clone(&name)));
        rooms.by_name.insert(name, Arc::clone(&room));
        room
    }

    /// Looks up the room in which another process has stored `seq`. `None` if there is nothing to do: the room is not in memory, has that
    /// message, or is not loaded yet and was given the `seq` to read up to. An unused room is forgotten instead of being updated.
    pub(crate) fn on_appended(&self, room: &str, seq: u64) -> Option<Arc<Room>> {
        let mut rooms = self.lock();
        let room = rooms.by_name.get(room)?;
        if seq <= room.head() {
            return None;
        }
        if is_used(room) {
            return room.announce(seq).then(|| Arc::clone(room));
        }
        let name = Arc::clone(room.name());
        room.forget(&self.ring_budget);
        rooms.by_name.remove(&name);
        None
    }

    /// Forgets the unused rooms and returns the others.
    pub(crate) fn forget_unused(&self) -> Vec<Arc<Room>> {
        let mut rooms = self.lock();
        self.sweep(&mut rooms);
        rooms.by_name.values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().by_name.len()
    }

    /// Forgets the unused rooms. The next sweep is due after as many new rooms as this one left, which spreads its cost over them.
    fn sweep(&self, rooms: &mut Rooms) {
        rooms.by_name.retain(|_, room| {
            let used = is_used(room);
            if !used {
                room.forget(&self.ring_budget);
            }
            used
        });
        rooms.by_name.shrink_to(FEW_ROOMS);
        rooms.sweep_at = FEW_ROOMS.max(2 * rooms.by_name.len());
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether anything beside the table holds the room. Only meaningful under the table's lock: a room is cloned under it or from another
/// clone, so a room with one holder keeps one.
fn is_used(room: &Arc<Room>) -> bool {
    Arc::strong_count(room) > 1
}
