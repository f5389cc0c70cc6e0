//! Appending: what keeps a room's sequence without gaps, and every id in it once.
//!
//! The server knows nothing of sequences. It refuses a second document with the same `_id`, that is
//! with the same place in the same room, and a second one with the same room, user and id. An
//! ordered insert goes through its documents one by one and ends with the first that is refused.
//! A message is put at a place only
//!
//! - by a process that has learnt from a majority that the place before it is taken, or
//! - behind the one before it in the same ordered insert, hence behind it in the primary's log too.
//!
//! Either way every member that has a message, now or after a failover, has all before it. None of
//! this depends on when an insert arrives. One that was given up, because its time was over, its
//! caller had gone or the connection was cut, may arrive late: its first document finds its place
//! free, and then that is the head's successor still, or taken, and then nothing of it is stored.
//! The driver's own second attempt is recognised by the server as the same insert.
//!
//! That an id is stored once rests on an index that can be dropped. Therefore nothing that was inserted is acknowledged
//! before the index was seen after the insert: it cannot be there if an id is stored twice. And nothing is inserted before it
//! was seen: a message that is sent again would be stored twice, and then the index cannot be made again.
//!
//! What remains is that the places after a stale head may be free again because they were expired.
//! Therefore a head is believed for a while only ([`FRESH`](super::heads::FRESH)), and
//! [`expire`](super::expire) leaves what is younger than that by a wide margin.

use std::collections::{HashMap, VecDeque};
use std::iter::repeat;
use std::time::Duration;

use futures_util::future::join_all;
use mongodb::error::{Error, ErrorKind, Result};
use tokio::time::{Instant, sleep};

use crate::{Append, AppendResult, Appended, Draft};

use super::documents::NewMessage;
use super::log::Log;
use super::schema;

/// How many inserts of a batch run at the same time. A contended room delays only those in its lane.
const LANES: usize = 8;

/// The most messages and bytes of text in one insert, far below what the driver would split.
const MAX_MESSAGES: usize = 500;
const MAX_BYTES: usize = 8 << 20;

/// The most messages that are looked up at a time.
const MAX_REACH: usize = 64;

/// The pause until a message that took the place is looked for again: a majority may not have it yet.
const PAUSE: Duration = Duration::from_millis(10);

/// Answers each append of the batch. After an error any of them may be stored, in whole or in part.
pub(super) async fn append(log: &Log, batch: &[Append]) -> Result<Vec<Appended>> {
    confirm(log).await?;
    let mut answers = vec![None; batch.len()];
    for wave in waves(batch) {
        let lanes = wave.chunks(wave.len().div_ceil(LANES)).map(|indices| Lane::run(log, batch, indices));
        // All are awaited even if one fails: an insert that is given up costs a connection.
        for lane in join_all(lanes).await {
            for (index, appended) in lane? {
                answers[index] = Some(appended);
            }
        }
    }
    let answers: Vec<_> =
        answers.into_iter().map(|answer| answer.expect("a lane answers each of its appends")).collect();
    if answers.iter().any(has_inserted) {
        confirm(log).await?;
    }
    Ok(answers)
}

fn has_inserted(answer: &Appended) -> bool {
    match answer {
        Appended::All(results) | Appended::Partly { results, .. } => {
            results.iter().any(|result| matches!(result, AppendResult::New(_)))
        }
        Appended::HeadMoved { .. } => false,
    }
}

/// Looks for the index that makes ids unique.
async fn confirm(log: &Log) -> Result<()> {
    if schema::has_unique_ids(&log.messages).await? {
        return Ok(());
    }
    Err(Error::custom("the index that makes ids unique is gone"))
}

/// The indices in the batch of every room's first append, then of every room's second one, and so on.
fn waves(batch: &[Append]) -> Vec<Vec<usize>> {
    let mut waves: Vec<Vec<usize>> = Vec::new();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, append) in batch.iter().enumerate() {
        let wave = seen.entry(&append.room).or_default();
        if *wave == waves.len() {
            waves.push(Vec::new());
        }
        waves[*wave].push(index);
        *wave += 1;
    }
    waves
}

/// Appends to different rooms that are inserted together.
struct Lane<'a> {
    log: &'a Log,
    pending: VecDeque<Pending<'a>>,
    answers: Vec<(usize, Appended)>,
}

/// An append that is not answered yet.
struct Pending<'a> {
    index: usize,
    append: &'a Append,
    /// The results of its first messages.
    results: Vec<AppendResult>,
    /// The head that they leave.
    head: u64,
    /// For the messages after them: the `seq` of each that was found to be stored before. The first was not.
    ahead: VecDeque<Option<u64>>,
    /// How many messages are looked up when the next one is refused for its id.
    reach: usize,
}

/// How an insert ended.
enum Inserted {
    All,
    /// The message with this index was refused for its place or its id: it was stored neither, nor what follows it.
    UpTo(usize),
}

impl<'a> Lane<'a> {
    async fn run(log: &'a Log, batch: &'a [Append], indices: &[usize]) -> Result<Vec<(usize, Appended)>> {
        let mut lane = Self { log, pending: VecDeque::new(), answers: Vec::new() };
        for &index in indices {
            lane.admit(index, &batch[index]).await?;
        }
        while !lane.pending.is_empty() {
            let messages = lane.next_messages();
            let count = messages.len();
            match insert(log, messages).await? {
                Inserted::All => lane.on_stored(count),
                Inserted::UpTo(refused) => {
                    lane.on_stored(refused);
                    lane.resolve().await?;
                }
            }
        }
        Ok(lane.answers)
    }

    /// Admits an append whose expected head is that of the room, as far as is known.
    async fn admit(&mut self, index: usize, append: &'a Append) -> Result<()> {
        let expected = append.expected_head;
        let head = match self.log.heads.known(&append.room) {
            Some(head) if head.seq > expected || head.seq == expected && head.is_fresh() => head.seq,
            _ => self.log.head(&append.room).await?,
        };
        if head != expected {
            self.answers.push((index, Appended::HeadMoved { head }));
        } else if append.messages.is_empty() {
            self.answers.push((index, Appended::All(Vec::new())));
        } else {
            self.pending.push_back(Pending {
                index,
                append,
                results: Vec::new(),
                head,
                ahead: VecDeque::new(),
                reach: 1,
            });
        }
        Ok(())
    }

    fn next_messages(&self) -> Vec<NewMessage<'a>> {
        let mut messages = Vec::new();
        let mut bytes = 0;
        for pending in &self.pending {
            for (draft, seq) in pending.to_insert().zip(pending.head + 1..) {
                bytes += draft.user.len() + draft.id.len() + draft.body.len();
                if !messages.is_empty() && (bytes > MAX_BYTES || messages.len() == MAX_MESSAGES) {
                    return messages;
                }
                messages.push(NewMessage::new(&pending.append.room, seq, draft));
            }
        }
        messages
    }

    /// Records that the first messages of an insert are stored by a majority.
    fn on_stored(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(pending) = self.pending.front_mut() {
                pending.on_next_stored();
                self.finish_if_whole();
            }
        }
    }

    fn finish_if_whole(&mut self) {
        if let Some(Pending { index, append, results, head, .. }) =
            self.pending.pop_front_if(|pending| pending.rest().is_empty())
        {
            self.log.heads.learn(&append.room, head, Instant::now());
            self.answers.push((index, Appended::All(results)));
        }
    }

    /// Finds out why the first pending message was refused: its place is taken, or its id.
    async fn resolve(&mut self) -> Result<()> {
        let Some(pending) = self.pending.front_mut() else { return Ok(()) };
        let room = &pending.append.room;
        loop {
            let head = self.log.head(room).await?;
            if head > pending.head {
                break self.finish_moved(head);
            }
            if head == pending.head {
                if pending.look_up(self.log).await? {
                    break self.finish_if_whole();
                }
                // The message that took the place is not durable yet, or was lost with a primary that failed: try again.
                sleep(PAUSE).await;
                break;
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    fn finish_moved(&mut self, head: u64) {
        if let Some(Pending { index, results, .. }) = self.pending.pop_front() {
            let moved =
                if results.is_empty() { Appended::HeadMoved { head } } else { Appended::Partly { results, head } };
            self.answers.push((index, moved));
        }
    }
}

impl<'a> Pending<'a> {
    fn rest(&self) -> &'a [Draft] {
        &self.append.messages[self.results.len()..]
    }

    fn to_insert(&self) -> impl Iterator<Item = &'a Draft> {
        let found = self.ahead.iter().copied().chain(repeat(None));
        self.rest().iter().zip(found).filter(|(_, found)| found.is_none()).map(|(draft, _)| draft)
    }

    fn on_next_stored(&mut self) {
        self.head += 1;
        self.results.push(AppendResult::New(self.head));
        self.ahead.pop_front();
        self.skip_found();
    }

    /// Looks up the message that was refused, and some after it, since messages that are sent again come in groups. Returns
    /// whether it is stored.
    async fn look_up(&mut self, log: &Log) -> Result<bool> {
        let room = &self.append.room;
        let drafts = self.rest().iter().take(self.reach);
        let lookups: Vec<_> = drafts.map(|draft| log.find(room, &draft.user, &draft.id)).collect();
        self.ahead = join_all(lookups).await.into_iter().collect::<Result<_>>()?;
        self.reach = MAX_REACH.min(2 * self.reach);
        let stored = self.ahead.front().is_some_and(Option::is_some);
        self.skip_found();
        Ok(stored)
    }

    fn skip_found(&mut self) {
        while let Some(&Some(seq)) = self.ahead.front() {
            self.results.push(AppendResult::Duplicate(seq));
            self.ahead.pop_front();
        }
    }
}

async fn insert(log: &Log, messages: Vec<NewMessage<'_>>) -> Result<Inserted> {
    let Err(error) = log.messages.clone_with_type::<NewMessage<'_>>().insert_many(messages).ordered(true).await else {
        return Ok(Inserted::All);
    };
    if let ErrorKind::InsertMany(failure) = &*error.kind
        && failure.write_concern_error.is_none()
        && let Some([refused]) = failure.write_errors.as_deref()
        && refused.code == DUPLICATE_KEY
    {
        return Ok(Inserted::UpTo(refused.index));
    }
    Err(error)
}

const DUPLICATE_KEY: i32 = 11000;
