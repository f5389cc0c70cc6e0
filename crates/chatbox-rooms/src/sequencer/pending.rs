//! Messages that are not being written yet, grouped by room and in order.

use super::batch::Group;
use crate::context::Context;
use crate::queue::{Submission, size_of_draft};
use crate::room::Room;
use chatbox_store::Draft;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

/// The most messages in one batch.
pub(super) const MAX_BATCH: usize = 4096;

/// Messages that were received and are not being written. A room that cannot be written to now delays no other room.
#[derive(Debug)]
pub(super) struct PendingAppends {
    /// Not grouped yet, in order of arrival.
    arrived: VecDeque<Submission>,
    /// One for each room; empty ones record a backoff.
    groups: Vec<Group>,
    /// The index in `groups` by room key.
    index: HashMap<u64, usize>,
    /// Messages in `groups`.
    grouped: usize,
    /// The bytes of the queue: messages that leave here free space there.
    bytes: Arc<AtomicUsize>,
}

impl PendingAppends {
    pub(super) fn new(bytes: Arc<AtomicUsize>) -> Self {
        Self { arrived: VecDeque::new(), groups: Vec::new(), index: HashMap::new(), grouped: 0, bytes }
    }

    /// Number of messages.
    pub(super) fn len(&self) -> usize {
        self.arrived.len() + self.grouped
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, submission: Submission) {
        self.arrived.push_back(submission);
    }

    /// Takes the messages of one batch, from rooms that are not backing off and for which `clear` is true. The messages of a room keep
    /// their order.
    pub(super) fn take(&mut self, now: Instant, mut clear: impl FnMut(&Arc<Room>) -> bool) -> Vec<Group> {
        let mut is_ready = |group: &Group| group.backoff_until.is_none_or(|until| until <= now) && clear(&group.room);
        let mut ready: Vec<bool> = self.groups.iter().map(|group| !group.is_empty() && is_ready(group)).collect();
        let mut count: usize =
            self.groups.iter().zip(&ready).filter_map(|(group, ready)| ready.then_some(group.len())).sum();
        while count < MAX_BATCH
            && let Some(submission) = self.arrived.pop_front()
        {
            let index = self.index_of(&submission.room);
            self.groups[index].push(submission);
            self.grouped += 1;
            if index == ready.len() {
                ready.push(is_ready(&self.groups[index]));
            } else if self.groups[index].len() == 1 {
                // Until now it only recorded a backoff.
                ready[index] = is_ready(&self.groups[index]);
            }
            count += usize::from(ready[index]);
        }
        let (mut taken, mut left) = (Vec::new(), MAX_BATCH);
        self.index.clear();
        for (mut group, ready) in std::mem::take(&mut self.groups).into_iter().zip(ready) {
            if ready && left > 0 {
                let part = group.split_front(left);
                left -= part.len();
                self.remove(part.len(), part.drafts());
                taken.push(part);
            }
            if !group.is_empty() || group.backoff_until.is_some_and(|until| until > now) {
                self.index.insert(group.room.key(), self.groups.len());
                self.groups.push(group);
            }
        }
        taken
    }

    /// Puts messages back that were taken and are known not to be stored, in front of later ones of their room.
    pub(super) fn put_back(&mut self, mut group: Group) {
        self.grouped += group.len();
        self.bytes.fetch_add(group.drafts().iter().map(size_of_draft).sum(), Ordering::AcqRel);
        let index = self.index_of(&group.room);
        group.append(std::mem::replace(&mut self.groups[index], Group::new(Arc::clone(&group.room))));
        self.groups[index] = group;
    }

    /// Takes nothing of a room until then.
    pub(super) fn back_off(&mut self, room: &Arc<Room>, until: Instant) {
        let index = self.index_of(room);
        self.groups[index].backoff_until = Some(until);
    }

    /// When the next backoff of a room with messages ends; those that have ended are ignored.
    pub(super) fn next_backoff(&self, now: Instant) -> Option<Instant> {
        let backoffs = self.groups.iter().filter(|group| !group.is_empty()).filter_map(|group| group.backoff_until);
        backoffs.filter(|until| *until > now).min()
    }

    pub(super) fn reject_overdue(&mut self, now: Instant, context: &Context) {
        let overdue = self.arrived.partition_point(|submission| submission.due <= now);
        for submission in self.arrived.drain(..overdue) {
            self.bytes.fetch_sub(size_of_draft(&submission.draft), Ordering::AcqRel);
            context.reject(submission.room.name(), &submission.draft.id, submission.reply);
        }
        for index in 0..self.groups.len() {
            let overdue = self.groups[index].overdue(now);
            self.reject_front(index, overdue, context);
        }
    }

    /// Rejects the messages of a room that cannot be read. Returns how many.
    pub(super) fn reject_room(&mut self, room: &Arc<Room>, context: &Context) -> usize {
        let index = self.index.get(&room.key()).copied();
        index.map_or(0, |index| self.reject_front(index, usize::MAX, context))
    }

    fn reject_front(&mut self, index: usize, count: usize, context: &Context) -> usize {
        if count == 0 || self.groups[index].is_empty() {
            return 0;
        }
        let part = self.groups[index].split_front(count);
        let count = part.len();
        self.remove(count, part.drafts());
        part.reject(context);
        count
    }

    fn remove(&mut self, count: usize, drafts: &[Draft]) {
        self.grouped -= count;
        self.bytes.fetch_sub(drafts.iter().map(size_of_draft).sum(), Ordering::AcqRel);
    }

    fn index_of(&mut self, room: &Arc<Room>) -> usize {
        *self.index.entry(room.key()).or_insert_with(|| {
            self.groups.push(Group::new(Arc::clone(room)));
            self.groups.len() - 1
        })
    }
}
