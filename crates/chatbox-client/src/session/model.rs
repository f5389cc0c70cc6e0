//! The session against a model of the service, through any sequence of lost connections, lost acks, repeats, faults, moves
//! to other connections and restored backups.

use super::*;
use crate::{Acked, Gap};
use chatbox_protocol::{ErrorCode, ServerMessage, Timestamp};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use tokio::sync::oneshot;

const ROOMS: [&str; 3] = ["live", "all", "newest"];

#[derive(Clone, Debug)]
enum Step {
    Connect {
        /// The server does not have the newest messages yet.
        lags: bool,
    },
    Disconnect,
    /// The client begins to use another connection, beside the one it has.
    Move,
    PreviousServerReads(Fault),
    PreviousClientReads,
    PreviousCloses,
    ClientWrites,
    ServerReads(Fault),
    ClientReads,
    /// The server sends a message again that it has sent.
    Repeat(usize),
    Send(usize),
    /// A message of another client.
    Foreign(usize),
    /// Retention removes what is older than the newest two.
    Trim(usize),
    /// Every room goes back to an earlier state, under a new epoch.
    Restore(usize),
    Leave(usize),
    Join(usize, JoinFrom),
    Pass(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    RateLimited,
    NotStored,
    /// Stored, but the server does not know that.
    StoredUnknown,
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::RateLimited),
        1 => Just(Fault::NotStored),
        1 => Just(Fault::StoredUnknown),
    ];
    let from =
        prop_oneof![Just(JoinFrom::Live), (0..6_u64).prop_map(JoinFrom::After), (0..6_u64).prop_map(JoinFrom::Last)];
    let room = 0..ROOMS.len();
    prop_oneof![
        3 => any::<bool>().prop_map(|lags| Step::Connect { lags }),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Move),
        3 => fault.clone().prop_map(Step::PreviousServerReads),
        5 => Just(Step::PreviousClientReads),
        1 => Just(Step::PreviousCloses),
        6 => Just(Step::ClientWrites),
        6 => fault.prop_map(Step::ServerReads),
        9 => Just(Step::ClientReads),
        1 => any::<usize>().prop_map(Step::Repeat),
        3 => room.clone().prop_map(Step::Send),
        3 => room.clone().prop_map(Step::Foreign),
        1 => room.clone().prop_map(Step::Trim),
        1 => (0..4_usize).prop_map(Step::Restore),
        1 => room.clone().prop_map(Step::Leave),
        1 => (room, from).prop_map(|(room, from)| Step::Join(room, from)),
        2 => (0..3000_u64).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
    ]
}

/// A room on the server: the ids of its messages, and how many of them are no longer stored.
#[derive(Default)]
struct Log {
    entries: Vec<String>,
    gone: u64,
}

impl Log {
    fn head(&self) -> u64 {
        self.entries.len() as u64
    }

    fn seq_of(&self, id: &str) -> Option<u64> {
        self.entries.iter().position(|stored| stored == id).map(|index| index as u64 + 1)
    }
}

#[derive(Default)]
struct Connection {
    lags: bool,
    to_server: VecDeque<String>,
    to_client: VecDeque<String>,
    /// Everything that was sent as a `message`.
    sent: Vec<String>,
    joined: Vec<String>,
}

/// A message of the application.
struct Sent {
    room: String,
    id: String,
    answer: oneshot::Receiver<Result<Acked, SendError>>,
}

struct World {
    session: Session,
    now: Instant,
    logs: HashMap<String, Log>,
    connection: Option<Connection>,
    /// The connection that the client moved away from.
    previous: Option<Connection>,
    sends: Vec<Sent>,
    foreign: usize,
    /// The `seq` that must be delivered next, for each room it is in.
    expected: HashMap<String, u64>,
    wanted: Vec<String>,
    epoch: u32,
    /// The epoch of the last `Joined` of each room.
    epochs: HashMap<String, u32>,
    /// Rooms whose replaced log was not yet reported.
    unreported: HashSet<String>,
    /// Messages that a restored backup does not have.
    lost: HashSet<String>,
}

impl World {
    fn new() -> Self {
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(1) };
        let limits = Limits { max_unacked: 1000, max_unacked_bytes: 1 << 20, max_message_bytes: 1 << 16, backoff };
        Self {
            session: Session::new(limits, 7),
            now: Instant::now(),
            logs: ROOMS.map(|room| (room.to_owned(), Log::default())).into(),
            connection: None,
            previous: None,
            sends: Vec::new(),
            foreign: 0,
            expected: HashMap::new(),
            wanted: Vec::new(),
            epoch: 0,
            epochs: HashMap::new(),
            unreported: HashSet::new(),
            lost: HashSet::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        match step.clone() {
            Step::Connect { lags } => {
                if self.connection.is_none() {
                    let mut connection = Connection { lags, ..Connection::default() };
                    connection.to_client.push_back(welcome());
                    self.connection = Some(connection);
                }
            }
            Step::Disconnect => {
                self.previous = None;
                if self.connection.take().is_some() {
                    self.session.on_disconnected(Reason::Network("cut".to_owned()), Duration::ZERO);
                }
            }
            Step::Move => {
                if self.previous.is_none() && self.session.link().is_some() {
                    self.session.on_moved(&welcome()).unwrap();
                    self.previous = self.connection.replace(Connection::default());
                }
            }
            Step::PreviousServerReads(fault) => {
                if self.previous.is_some() {
                    std::mem::swap(&mut self.connection, &mut self.previous);
                    self.server_reads(fault);
                    std::mem::swap(&mut self.connection, &mut self.previous);
                }
            }
            Step::PreviousClientReads => {
                if let Some(text) = self.previous.as_mut().and_then(|previous| previous.to_client.pop_front()) {
                    self.session.on_previous_text(&text, self.now);
                }
            }
            Step::PreviousCloses => {
                if self.previous.take().is_some() {
                    self.session.on_previous_closed();
                }
            }
            Step::ClientWrites => {
                let text = self.session.poll_transmit(self.now);
                if let (Some(text), Some(connection)) = (text, &mut self.connection) {
                    connection.to_server.push_back(text.as_str().to_owned());
                }
            }
            Step::ServerReads(fault) => self.server_reads(fault),
            Step::ClientReads => {
                let text = self.connection.as_mut().and_then(|connection| connection.to_client.pop_front());
                if let Some(text) = text {
                    self.session.on_text(&text, self.now).unwrap();
                }
            }
            Step::Repeat(which) => {
                if let Some(connection) = self.connection.as_mut().filter(|connection| !connection.sent.is_empty()) {
                    let repeated = connection.sent[which % connection.sent.len()].clone();
                    connection.to_client.push_back(repeated);
                }
            }
            Step::Send(room) => {
                let (reply, answer) = oneshot::channel();
                let id = self.session.new_id();
                self.session.send(ROOMS[room], &id, "body", reply);
                self.sends.push(Sent { room: ROOMS[room].to_owned(), id, answer });
            }
            Step::Foreign(room) => {
                self.foreign += 1;
                self.append(ROOMS[room], format!("foreign-{}", self.foreign));
            }
            Step::Trim(room) => {
                let room = ROOMS[room];
                // Not while messages of this connection are still to be sent.
                if self.connection.is_none() {
                    let log = self.logs.get_mut(room).unwrap();
                    log.gone = log.head().saturating_sub(2).max(log.gone);
                }
            }
            Step::Restore(kept) => {
                if self.connection.is_none() {
                    self.epoch += 1;
                    for log in self.logs.values_mut() {
                        let kept = log.entries.len().min(kept.max(usize::try_from(log.gone).unwrap()));
                        self.lost.extend(log.entries.drain(kept..));
                    }
                }
            }
            Step::Leave(room) => {
                self.session.leave(ROOMS[room]);
                self.wanted.retain(|wanted| wanted != ROOMS[room]);
            }
            Step::Join(room, from) => {
                self.session.join(&RoomName::new(ROOMS[room]).unwrap(), from);
                if !self.wanted.iter().any(|wanted| wanted == ROOMS[room]) {
                    self.wanted.push(ROOMS[room].to_owned());
                }
            }
            Step::Pass(time) => self.now += time,
        }
        while let Some(event) = self.session.poll_event() {
            self.on_event(event);
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Joined { room, after, .. } => {
                let is_same_log =
                    self.epochs.insert(room.to_string(), self.epoch).is_none_or(|epoch| epoch == self.epoch);
                if !is_same_log {
                    self.unreported.insert(room.to_string());
                }
                let expected = self.expected.entry(room.to_string()).or_insert(after + 1);
                // A gap that was announced follows.
                assert!(!is_same_log || *expected <= after + 1, "a room goes on where it was");
            }
            Event::Gap { room, gap: Gap::LogReplaced { after, .. } } => {
                assert!(after <= self.logs[&*room].gone, "what is stored is delivered");
                self.unreported.remove(&*room);
                self.expected.insert(room.to_string(), after + 1);
            }
            Event::Gap { room, gap } => {
                let Gap::Removed { from, to } = gap else { panic!("{gap:?}") };
                assert!(to <= self.logs[&*room].gone, "what is stored is not lost");
                let expected = self.expected.get_mut(&*room).unwrap();
                // On the first join nothing was expected before the gap.
                assert!(*expected == from || *expected == to + 1);
                *expected = to + 1;
            }
            Event::Message { room, seq, id, .. } => {
                assert!(!self.unreported.contains(&*room), "a replaced log is reported before its messages");
                assert_eq!(self.logs[&*room].seq_of(&id), Some(seq));
                let expected = self.expected.get_mut(&*room).expect("messages come between `Joined` and `Left`");
                assert_eq!(seq, *expected, "each message once, in order");
                *expected += 1;
            }
            Event::Left { room } => {
                self.expected.remove(&*room);
                self.epochs.remove(&*room);
            }
            Event::Error { code, .. } => assert_eq!(code, ErrorCode::BadMessage),
            _ => {}
        }
    }

    fn append(&mut self, room: &str, id: String) -> u64 {
        let log = self.logs.get_mut(room).unwrap();
        log.entries.push(id);
        let seq = log.head();
        for connection in [&mut self.connection, &mut self.previous].into_iter().flatten() {
            if connection.joined.iter().any(|joined| joined == room) {
                connection.deliver(room, log, seq);
            }
        }
        seq
    }

    fn server_reads(&mut self, fault: Fault) {
        let Some(connection) = &mut self.connection else { return };
        let Some(text) = connection.to_server.pop_front() else { return };
        let put_off = match fault {
            Fault::None => None,
            Fault::RateLimited => Some((ErrorCode::RateLimited, Some(300))),
            Fault::NotStored | Fault::StoredUnknown => Some((ErrorCode::StoreUnavailable, None)),
        };
        match ClientMessage::parse(&text).unwrap() {
            ClientMessage::Send { room, id, .. } => {
                let stored = self.logs[&*room].seq_of(&id);
                let answer = match put_off {
                    Some((code, retry_after_ms)) => {
                        if fault == Fault::StoredUnknown && stored.is_none() {
                            self.append(&room, id.to_string());
                        }
                        error(code, &room, Some(&id), retry_after_ms)
                    }
                    None => {
                        let seq = stored.unwrap_or_else(|| self.append(&room, id.to_string()));
                        encode(&ServerMessage::ack(room, id, seq))
                    }
                };
                self.connection.as_mut().unwrap().to_client.push_back(answer);
            }
            ClientMessage::Join { room, .. } | ClientMessage::Leave { room, .. } if put_off.is_some() => {
                let (code, retry_after_ms) = put_off.unwrap();
                connection.to_client.push_back(error(code, &room, None, retry_after_ms));
            }
            ClientMessage::Leave { room, .. } => {
                let position =
                    connection.joined.iter().position(|joined| *joined == *room).expect("left, but not in it");
                connection.joined.remove(position);
                connection.to_client.push_back(encode(&ServerMessage::left(room)));
            }
            ClientMessage::Join { room, after, last, epoch, .. } => {
                assert!(!connection.joined.iter().any(|joined| *joined == *room), "joined, but in it already");
                let log = &self.logs[&*room];
                let lags = std::mem::take(&mut connection.lags) && after.is_some_and(|after| after > 0);
                if lags {
                    connection.to_client.push_back(error(ErrorCode::BadMessage, &room, None, None));
                    return;
                }
                let epoch_is_other = epoch.is_some_and(|epoch| *epoch != *self.epoch.to_string());
                let is_gone = after.is_some_and(|after| epoch_is_other || after < log.gone || after > log.head());
                if is_gone {
                    connection.to_client.push_back(error(ErrorCode::HistoryGone, &room, None, None));
                }
                let (head, first) = (log.head(), log.gone + 1);
                connection.to_client.push_back(encode(&ServerMessage::joined(
                    &*room,
                    head,
                    first,
                    Some(&self.epoch.to_string()),
                )));
                let begin = match after {
                    Some(_) if is_gone => log.gone,
                    Some(after) => after,
                    None => last.map_or(head, |last| head.saturating_sub(last)).max(log.gone),
                };
                for seq in begin + 1..=head {
                    connection.deliver(&room, log, seq);
                }
                connection.joined.push(room.to_string());
            }
        }
    }

    /// A good connection for as long as it takes: the current or a new one.
    fn settle(&mut self, reconnects: bool) {
        if reconnects {
            self.step(&Step::Disconnect);
        }
        self.step(&Step::Connect { lags: false });
        for _ in 0..2000 {
            self.step(&Step::Pass(Duration::from_millis(50)));
            self.step(&Step::ClientWrites);
            self.step(&Step::ServerReads(Fault::None));
            self.step(&Step::ClientReads);
            self.step(&Step::PreviousServerReads(Fault::None));
            self.step(&Step::PreviousClientReads);
            if self.session.has_moved() {
                self.step(&Step::PreviousCloses);
            }
        }
        assert!(self.session.has_moved() && self.previous.is_none(), "the previous connection is closed in the end");
    }
}

impl Connection {
    fn deliver(&mut self, room: &str, log: &Log, seq: u64) {
        let id = log.entries[usize::try_from(seq).unwrap() - 1].as_str();
        let text = encode(&ServerMessage::message(room, seq, "other", id, "body", Timestamp::from_millis(0)));
        self.to_client.push_back(text.clone());
        self.sent.push(text);
    }
}

fn welcome() -> String {
    encode(&ServerMessage::welcome("me", "1", "s", None, Duration::from_secs(1)))
}

fn encode(message: &ServerMessage<'_>) -> String {
    String::from_utf8(message.encode()).unwrap()
}

fn error(code: ErrorCode, room: &str, id: Option<&str>, retry_after_ms: Option<u64>) -> String {
    encode(&ServerMessage::error(code, "fault", Some(room), id, retry_after_ms.map(Duration::from_millis)))
}

fn check(steps: &[Step], reconnects: bool) {
    let mut world = World::new();
    for (room, from) in [(0, JoinFrom::Live), (1, JoinFrom::After(0)), (2, JoinFrom::Last(3))] {
        world.step(&Step::Join(room, from));
    }
    for step in steps {
        world.step(step);
    }
    world.settle(reconnects);

    let stats = world.session.stats();
    assert_eq!((stats.violations, stats.unacked), (0, 0));
    assert_eq!(stats.acked, world.sends.len() as u64);
    for Sent { room, id, answer } in &mut world.sends {
        let Acked { seq } = answer.try_recv().expect("every send has its answer").unwrap();
        // A backup may have lost a message that was acked before; one acked afterwards may have been lost before.
        let is_lost = world.lost.contains(id);
        assert!(is_lost || world.logs[room].seq_of(id) == Some(seq));
        assert!(world.logs[room].entries.iter().filter(|stored| *stored == id).count() <= 1);
    }
    let is_disturbed = |step: &Step| matches!(step, Step::ServerReads(fault) | Step::PreviousServerReads(fault) if *fault != Fault::None);
    if !steps.iter().any(is_disturbed) && world.lost.is_empty() {
        for (room, log) in &world.logs {
            let sent: Vec<_> = world.sends.iter().filter(|sent| sent.room == *room).map(|sent| &sent.id).collect();
            let stored: Vec<_> = log.entries.iter().filter(|id| sent.contains(id)).collect();
            assert_eq!(sent, stored, "sent again in the original order");
        }
    }
    let rooms = (world.expected.len(), world.session.rooms.len());
    assert_eq!(rooms, (world.wanted.len(), world.wanted.len()), "the client is where the application wants to be");
    for room in &world.wanted {
        assert_eq!(world.expected[room], world.logs[room].head() + 1, "everything was delivered");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_send_is_acked_once_and_every_message_delivered_once_in_order(
        steps in proptest::collection::vec(step(), 0..150), reconnects: bool,
    ) {
        check(&steps, reconnects);
    }
}
