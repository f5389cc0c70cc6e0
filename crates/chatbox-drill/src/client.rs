//! The clients of an act: each plays its role on one connection and records what happens to it.

use crate::frame::{self, Opcode};
use crate::profile::Profile;
use crate::record::{Client, Event, Role};
use crate::target::Target;
use crate::wire::{self, Answer, Read, Wire};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// How long a late client takes to answer a Close.
pub(crate) const LATE: Duration = Duration::from_millis(900);

/// How long after the signal a slow client begins to read.
const SLOW: Duration = Duration::from_secs(1);

/// How long it takes for each message. With what the act queues for it, it is still behind when most servers close it.
const SLOW_READ: Duration = Duration::from_millis(30);

/// How long a publisher goes on sending after the signal.
const AFTER_SIGNAL: Duration = Duration::from_millis(150);

/// Between two messages of a sender or publisher.
const PERIOD: Duration = Duration::from_millis(25);

/// How long a server may take for a handshake, and for the messages that make a client ready.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a client waits for the end of a connection whose close handshake is complete.
const END: Duration = Duration::from_secs(10);

/// The kernel's buffer for a client that does not read. The kernel doubles it, and takes no less than a few KiB.
const SMALL: u32 = 4096;

/// How far an act has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    /// The cast is connected and talks.
    Before,
    /// The signal is being sent.
    Signal,
    /// The process has ended, or its time has.
    Over,
}

/// What all clients of an act share.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) target: Target,
    pub(crate) profile: Arc<Profile>,
    pub(crate) start: Instant,
    pub(crate) moment: watch::Receiver<Moment>,
}

/// What one client is to do.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// L2: the room to join.
    pub(crate) room: Option<String>,
    /// L2: joins with this position, and takes what came after it.
    pub(crate) resume: Option<String>,
}

/// A connected client.
pub(crate) struct Player {
    stage: Stage,
    part: Part,
    wire: Wire,
    log: Log,
    sent: u32,
}

/// What has been recorded of a client so far; to be looked at while it plays.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    start: Instant,
    client: Arc<Mutex<Client>>,
}

impl Log {
    fn add(&self, event: Event) {
        let at = self.start.elapsed();
        self.with(|client| client.events.push((at, event)));
    }

    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut Client) -> R) -> R {
        look(&mut self.client.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The target and the headers with which `user` connects.
pub(crate) fn request_of(stage_target: &Target, profile: &Profile, user: &str) -> (Target, Vec<(String, String)>) {
    use crate::profile::fill;
    let mut target = stage_target.clone();
    let suffix = fill(&profile.url_suffix, &[("user", user)]);
    // A URL that has a query already takes the suffix as more of it.
    let suffix = if target.path.contains('?') { suffix.replacen('?', "&", 1) } else { suffix };
    target.path.push_str(&suffix);
    let mut headers: Vec<(String, String)> =
        profile.headers.iter().map(|(name, value)| (name.clone(), fill(value, &[("user", user)]))).collect();
    if let Some(subprotocol) = &profile.subprotocol {
        headers.push(("Sec-WebSocket-Protocol".to_owned(), subprotocol.clone()));
    }
    (target, headers)
}

impl Player {
    /// Connects, logs in, and joins its room.
    ///
    /// # Errors
    /// What went wrong, as a sentence: the server cannot be drilled.
    pub(crate) async fn enter(stage: Stage, part: Part) -> Result<Self, String> {
        let name = part.name.clone();
        let small = matches!(part.role, Role::Slow | Role::Stalled).then_some(SMALL);
        let (target, headers) = request_of(&stage.target, &stage.profile, &name);
        let wire = match wire::upgrade(&target, &headers, small, PATIENCE).await {
            (Some(wire), Answer::Head(head)) if head.status == 101 => wire,
            (_, Answer::Head(head)) => return Err(format!("{name}: the handshake was answered {}", head.status)),
            (_, answer) => return Err(format!("{name}: the handshake was not answered: {answer:?}")),
        };
        let client = Client { name, role: part.role, room: part.room.clone(), events: Vec::new() };
        let log = Log { start: stage.start, client: Arc::new(Mutex::new(client)) };
        let mut player = Self { stage, part, wire, log, sent: 0 };
        timeout(PATIENCE, player.introduce())
            .await
            .unwrap_or_else(|_| Err("the profile's `ready` or `joined` did not come".to_owned()))
            .map_err(|reason| format!("{}: {reason}", player.part.name))?;
        Ok(player)
    }

    pub(crate) fn is_member(&self) -> bool {
        self.part.room.is_some()
    }

    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }

    async fn introduce(&mut self) -> Result<(), String> {
        let profile = Arc::clone(&self.stage.profile);
        if let Some(hello) = &profile.hello {
            self.text(hello).await?;
        }
        if profile.ready.is_some() {
            self.until(|meaning| meaning.ready).await?;
        }
        let Some(room) = self.part.room.clone() else { return Ok(()) };
        let join = match &self.part.resume {
            Some(last) => profile.resume(&self.part.name, &room, last).ok_or("the profile has no `resume`")?,
            None => profile.join(&self.part.name, &room),
        };
        self.text(&join).await?;
        if profile.joined.is_some() {
            self.until(|meaning| meaning.joined).await?;
        }
        Ok(())
    }

    async fn text(&mut self, text: &str) -> Result<(), String> {
        self.wire.send(Opcode::Text, text.as_bytes()).await.map_err(|error| format!("cannot be written to: {error}"))
    }

    async fn until(&mut self, wanted: impl Fn(&crate::profile::Meaning) -> bool) -> Result<(), String> {
        loop {
            match self.wire.read().await {
                Read::Frame(frame) if frame.opcode == Opcode::Text => {
                    let text = String::from_utf8_lossy(&frame.payload).into_owned();
                    let meaning = self.stage.profile.meaning(&text);
                    let is_wanted = wanted(&meaning);
                    self.note(&text).await;
                    if is_wanted {
                        return Ok(());
                    }
                }
                Read::Frame(frame) if frame.opcode == Opcode::Ping => {
                    let _ = self.wire.send(Opcode::Pong, &frame.payload).await;
                }
                Read::Frame(frame) if frame.opcode == Opcode::Close => {
                    return Err(format!("was closed: {:?}", frame::close_reason(&frame.payload)));
                }
                Read::Frame(_) => {}
                end => return Err(format!("ended: {end:?}")),
            }
        }
    }

    /// Sends a message with a key of its own. L0 has none to send: a ping.
    pub(crate) async fn publish(&mut self, pad: usize) -> bool {
        let (profile, name) = (Arc::clone(&self.stage.profile), &self.part.name);
        if profile.send.is_empty() {
            return self.wire.send(Opcode::Ping, b"drill").await.is_ok();
        }
        self.sent += 1;
        let key = format!("{name}-{}", self.sent);
        let text = profile.send(name, self.part.room.as_deref().unwrap_or_default(), &key, pad);
        // Recorded before: a message that cannot be written completely may have arrived.
        self.log.add(Event::Sent(key));
        self.wire.send(Opcode::Text, text.as_bytes()).await.is_ok()
    }

    /// Sends so many messages of that size, each after the one before was received, or says that the server does not keep up.
    pub(crate) async fn feed(&mut self, count: u32, pad: usize) -> bool {
        for _ in 0..count {
            if !self.publish(pad).await {
                return false;
            }
            let sent = self.sent;
            let log = self.log.clone();
            let received = move || log.with(|client| client.received().count() >= sent as usize);
            let arrival = async {
                while !received() {
                    let read = self.wire.read().await;
                    if !matches!(self.take(read).await, Taken::More) {
                        return false;
                    }
                }
                true
            };
            if !matches!(timeout(PATIENCE, arrival).await, Ok(true)) {
                return false;
            }
        }
        true
    }

    /// Plays until the connection or the act has ended.
    pub(crate) async fn play(mut self) -> Client {
        let mut moment = self.stage.moment.clone();
        match self.part.role {
            Role::Stalled => {
                let _ = moment.wait_for(|moment| *moment == Moment::Over).await;
            }
            Role::Slow => {
                let _ = moment.wait_for(|moment| *moment >= Moment::Signal).await;
                sleep(SLOW).await;
                self.converse().await;
            }
            Role::MidMessage => {
                let whole = frame::encode(Opcode::Text, &[b'x'; 64]);
                let _ = self.wire.write(&whole[..whole.len() / 2]).await;
                self.converse().await;
            }
            _ => self.converse().await,
        }
        self.log.with(|client| client.clone())
    }

    /// Reads and, in some roles, sends, until the end.
    async fn converse(&mut self) {
        let mut moment = self.stage.moment.clone();
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sends = matches!(self.part.role, Role::Sender | Role::Publisher);
        // A publisher goes on for a moment: its messages come before the signal, with it and right after it.
        let enough = sleep(Duration::from_secs(3600));
        tokio::pin!(enough);
        loop {
            let read = tokio::select! {
                biased;
                changed = moment.changed() => {
                    let over = changed.is_err() || *moment.borrow() == Moment::Over;
                    if self.part.role == Role::Publisher {
                        enough.as_mut().reset(Instant::now() + AFTER_SIGNAL);
                        sends = sends && self.publish(0).await;
                    }
                    if over {
                        // What the kernel has is still read.
                        return self.finish(Duration::from_millis(500)).await;
                    }
                    continue;
                }
                () = &mut enough, if sends => {
                    sends = false;
                    continue;
                }
                read = self.wire.read() => read,
                _ = ticks.tick(), if sends => {
                    sends = self.publish(0).await;
                    continue;
                }
            };
            match self.take(read).await {
                Taken::More if self.part.role == Role::Slow => sleep(SLOW_READ).await,
                Taken::More => {}
                Taken::Closed => return self.finish(END).await,
                Taken::End => return,
            }
        }
    }

    async fn take(&mut self, read: Read) -> Taken {
        match read {
            Read::Frame(frame) => match frame.opcode {
                Opcode::Ping => {
                    let _ = self.wire.send(Opcode::Pong, &frame.payload).await;
                    Taken::More
                }
                Opcode::Text | Opcode::Binary if frame.fin => {
                    self.note(&String::from_utf8_lossy(&frame.payload)).await;
                    Taken::More
                }
                Opcode::Close => {
                    let (code, reason) = frame::close_reason(&frame.payload);
                    self.log.add(Event::Close { code, reason });
                    self.answer_close(&frame.payload).await;
                    Taken::Closed
                }
                // Fragments are legal; what they carry is not looked at.
                _ => Taken::More,
            },
            end => {
                self.note_end(end);
                Taken::End
            }
        }
    }

    async fn answer_close(&mut self, payload: &[u8]) {
        match self.part.role {
            Role::Deaf | Role::MidMessage => return,
            Role::Late => {
                let answer_at = sleep(LATE);
                tokio::pin!(answer_at);
                loop {
                    let read = tokio::select! {
                        biased;
                        read = self.wire.read() => read,
                        () = &mut answer_at => break,
                    };
                    if !self.note_after_close(read) {
                        return;
                    }
                }
            }
            _ => {}
        }
        self.log.add(Event::Answered);
        let code = payload.get(..2).unwrap_or_default();
        if let Err(error) = self.wire.send(Opcode::Close, code).await {
            let reset = wire::is_reset(&error);
            self.log.add(if reset { Event::Reset } else { Event::Failed(error.to_string()) });
        }
    }

    /// Reads to the end of the connection, for so long at most.
    async fn finish(&mut self, patience: Duration) {
        let closed = self.log.with(|client| client.close().is_some());
        let _ = timeout(patience, async {
            loop {
                let read = self.wire.read().await;
                let more = if closed {
                    self.note_after_close(read)
                } else {
                    // The act is over, and what came before that is read now.
                    match self.take(read).await {
                        Taken::More => true,
                        Taken::Closed => continue,
                        Taken::End => false,
                    }
                };
                if !more {
                    return;
                }
            }
        })
        .await;
        self.wire.finish().await;
    }

    fn note_after_close(&self, read: Read) -> bool {
        match read {
            Read::Frame(frame) => {
                self.log.add(Event::AfterClose(format!("{:?} of {} bytes", frame.opcode, frame.payload.len())));
                true
            }
            end => {
                self.note_end(end);
                false
            }
        }
    }

    fn note_end(&self, end: Read) {
        self.log.add(match end {
            Read::Frame(_) => return,
            Read::Malformed(fault) => Event::Malformed(fault),
            Read::Eof { partial } => Event::Eof { partial },
            Read::Reset => Event::Reset,
            Read::Failed(error) => Event::Failed(error.to_string()),
        });
    }

    async fn note(&mut self, text: &str) {
        let meaning = self.stage.profile.meaning(text);
        if meaning.ping {
            let pong = self.stage.profile.pong.clone();
            let _ = self.wire.send(Opcode::Text, pong.as_bytes()).await;
        }
        if let Some(key) = meaning.received {
            self.log.add(Event::Received { key, last: meaning.last });
        }
        if let Some(key) = meaning.acked {
            self.log.add(Event::Acked(key));
        }
        if let Some(key) = meaning.refused {
            self.log.add(Event::Refused(key));
        }
        if meaning.slot {
            self.log.add(Event::Slot);
        }
    }
}

/// What a read came to.
enum Taken {
    More,
    /// The server's Close came, and was answered as the role has it.
    Closed,
    /// The connection is over.
    End,
}
