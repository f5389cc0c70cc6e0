//! Messages that wait for the store, room by room and in order.

use super::batch::{Group, reject};
use super::queue::{Submission, size_of_draft};
use crate::room::Room;
use crate::rooms::Shared;
use chatbox_store::Draft;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

/// Messages in one batch at most.
pub(super) const MAX_BATCH: usize = 4096;

/// What has been received and is not being written. A room that cannot be written to now holds nobody up but itself.
#[derive(Debug)]
pub(super) struct PendingAppends {
    /// Not yet told apart, in order of arrival.
    arrived: VecDeque<Submission>,
    /// One for each room, some of them only because the room rests.
    groups: Vec<Group>,
    places: HashMap<u64, usize>,
    /// Messages in `groups`.
    grouped: usize,
    /// The bytes of the queue: what leaves here makes room there.
    bytes: Arc<AtomicUsize>,
}

impl PendingAppends {
    pub(super) fn new(bytes: Arc<AtomicUsize>) -> Self {
        Self { arrived: VecDeque::new(), groups: Vec::new(), places: HashMap::new(), grouped: 0, bytes }
    }

    /// How many messages.
    pub(super) fn len(&self) -> usize {
        self.arrived.len() + self.grouped
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, submission: Submission) {
        self.arrived.push_back(submission);
    }

    /// Takes the messages of one batch, from rooms that do not rest and are `clear` to be written to. Those of a room keep
    /// their order.
    pub(super) fn take(&mut self, now: Instant, mut clear: impl FnMut(&Arc<Room>) -> bool) -> Vec<Group> {
        let mut is_ready = |group: &Group| group.backoff_until.is_none_or(|until| until <= now) && clear(&group.room);
        let mut ready: Vec<bool> = self.groups.iter().map(|group| !group.is_empty() && is_ready(group)).collect();
        let mut count: usize =
            self.groups.iter().zip(&ready).filter_map(|(group, ready)| ready.then_some(group.len())).sum();
        while count < MAX_BATCH
            && let Some(submission) = self.arrived.pop_front()
        {
            let place = self.place_of(&submission.room);
            self.groups[place].push(submission);
            self.grouped += 1;
            if place == ready.len() {
                ready.push(is_ready(&self.groups[place]));
            } else if self.groups[place].len() == 1 {
                // There only because it rests, until now.
                ready[place] = is_ready(&self.groups[place]);
            }
            count += usize::from(ready[place]);
        }
        let (mut taken, mut left) = (Vec::new(), MAX_BATCH);
        self.places.clear();
        for (mut group, ready) in std::mem::take(&mut self.groups).into_iter().zip(ready) {
            if ready && left > 0 {
                let part = group.split_front(left);
                left -= part.len();
                self.leave(part.len(), part.drafts());
                taken.push(part);
            }
            if !group.is_empty() || group.backoff_until.is_some_and(|until| until > now) {
                self.places.insert(group.room.key(), self.groups.len());
                self.groups.push(group);
            }
        }
        taken
    }

    /// Messages that were taken and are known not to be stored, to go before those of their room that came since.
    pub(super) fn put_back(&mut self, mut group: Group) {
        self.grouped += group.len();
        self.bytes.fetch_add(group.drafts().iter().map(size_of_draft).sum(), Ordering::AcqRel);
        let place = self.place_of(&group.room);
        group.append(std::mem::replace(&mut self.groups[place], Group::new(Arc::clone(&group.room))));
        self.groups[place] = group;
    }

    /// Lets a room rest: nothing of it is taken until then.
    pub(super) fn rest(&mut self, room: &Arc<Room>, until: Instant) {
        let place = self.place_of(room);
        self.groups[place].backoff_until = Some(until);
    }

    /// When the next room that has messages has rested; those that have are passed over.
    pub(super) fn rested(&self, now: Instant) -> Option<Instant> {
        let resting = self.groups.iter().filter(|group| !group.is_empty()).filter_map(|group| group.backoff_until);
        resting.filter(|until| *until > now).min()
    }

    pub(super) fn reject_overdue(&mut self, now: Instant, shared: &Shared) {
        let overdue = self.arrived.partition_point(|submission| submission.due <= now);
        for submission in self.arrived.drain(..overdue) {
            self.bytes.fetch_sub(size_of_draft(&submission.draft), Ordering::AcqRel);
            reject(shared, &submission.draft.id, &submission.room, submission.reply);
        }
        for place in 0..self.groups.len() {
            let overdue = self.groups[place].overdue(now);
            self.reject_front(place, overdue, shared);
        }
    }

    /// Rejects what waits for a room that cannot be read. Returns how many messages that were.
    pub(super) fn reject_room(&mut self, room: &Arc<Room>, shared: &Shared) -> usize {
        let place = self.places.get(&room.key()).copied();
        place.map_or(0, |place| self.reject_front(place, usize::MAX, shared))
    }

    fn reject_front(&mut self, place: usize, count: usize, shared: &Shared) -> usize {
        if count == 0 || self.groups[place].is_empty() {
            return 0;
        }
        let part = self.groups[place].split_front(count);
        let count = part.len();
        self.leave(count, part.drafts());
        part.reject(shared);
        count
    }

    fn leave(&mut self, count: usize, drafts: &[Draft]) {
        self.grouped -= count;
        self.bytes.fetch_sub(drafts.iter().map(size_of_draft).sum(), Ordering::AcqRel);
    }

    fn place_of(&mut self, room: &Arc<Room>) -> usize {
        *self.places.entry(room.key()).or_insert_with(|| {
            self.groups.push(Group::new(Arc::clone(room)));
            self.groups.len() - 1
        })
    }
}
