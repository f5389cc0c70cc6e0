//! The acts of a drill: a fresh process, a cast, a signal, and the recording of what follows.

use crate::client::{self, Moment, PATIENCE, Part, Player, Stage};
use crate::drill::{DrillError, Options};
use crate::judge::Restart;
use crate::process::Process;
use crate::profile::Level;
use crate::record::{Act, Admission, Client, Exit, Newcomer, Probe, Role};
use crate::target::Target;
use crate::wire::{self, Answer, Read};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

/// How long the cast talks before the signal.
const WARM_UP: Duration = Duration::from_millis(700);

/// Between two newcomers, and two looks at a probe.
const NEWCOMER: Duration = Duration::from_millis(20);
const PROBE: Duration = Duration::from_millis(50);

/// How long a newcomer and a probe wait for an answer.
const NEWCOMER_PATIENCE: Duration = Duration::from_secs(2);

/// Between the first signal and the second: beyond the second in which some servers take two signals for one.
const SECOND_SIGNAL: Duration = Duration::from_millis(1500);

/// How long a client that came back waits for more.
const QUIET: Duration = Duration::from_secs(1);

/// Messages for a slow client, and the size of each: more than the kernel's 4 MiB for a connection.
const BACKLOG: (u32, usize) = (95, 60_000);

/// The same for a client that has to send them itself: what the server may have to take in while it cannot answer.
const OWN_BACKLOG: (u32, usize) = (16, 4 * 1024);

/// Which cast an act has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cast {
    /// All clients behave.
    Polite,
    /// Some do not.
    Holdouts { second_signal: bool },
}

/// Plays an act with that process, to the process's end.
pub(crate) async fn play(options: &Options, mut process: Process, cast: Cast) -> Result<Act, DrillError> {
    let (moments, moment) = watch::channel(Moment::Before);
    let stage = Stage {
        target: options.target.clone(),
        profile: Arc::new(options.profile.clone()),
        start: Instant::now(),
        moment,
    };
    let mut players = Vec::new();
    for part in parts(cast, options.profile.level) {
        let entered = Player::enter(stage.clone(), part).await;
        match entered {
            Ok(player) => players.push(player),
            Err(reason) => return Err(DrillError::Conversation { reason, output: process.output().await }),
        }
    }
    let logs: Vec<_> = players.iter().map(Player::log).collect();
    fill_queues(&mut players).await;
    let mut clients = JoinSet::new();
    for (index, player) in players.into_iter().enumerate() {
        clients.spawn(async move { (index, player.play().await) });
    }
    let newcomers = (cast == Cast::Polite).then(|| tokio::spawn(newcomers(stage.clone())));
    let probes = |target: &Option<Target>| {
        let target = target.clone().filter(|_| cast == Cast::Polite);
        target.map(|target| tokio::spawn(probe(stage.clone(), target)))
    };
    let (readiness, liveness) = (probes(&options.ready), probes(&options.live));
    let mut odd = Vec::new();
    if matches!(cast, Cast::Holdouts { .. }) {
        odd = half_open(&stage).await;
    }

    sleep(WARM_UP).await;
    if let Some(status) = process.has_ended() {
        return Err(DrillError::Ended { status: format!("{status:?}"), output: process.output().await });
    }
    let mut act = Act { grace: options.grace, ..Act::default() };
    moments.send_replace(Moment::Signal);
    act.signal = stage.start.elapsed();
    process.signal(options.signal.number()).map_err(DrillError::Signal)?;
    let deadline = Instant::now() + options.grace;
    let mut again = (cast == Cast::Holdouts { second_signal: true }).then(|| Instant::now() + SECOND_SIGNAL);
    act.exit = loop {
        let second = async {
            match again {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            status = process.ended() => break Some(Exit { at: stage.start.elapsed(), status }),
            () = sleep_until(deadline) => break None,
            () = second => {
                again = None;
                act.second_signal = Some(stage.start.elapsed());
                let _ = process.signal(options.signal.number());
            }
        }
    };
    process.kill().await;
    drop(process);
    moments.send_replace(Moment::Over);
    drop(odd);
    act.clients = logs.iter().map(|log| log.with(|client| client.clone())).collect();
    while let Some(played) = clients.join_next().await {
        if let Ok((index, client)) = played {
            act.clients[index] = client;
        }
    }
    if let Some(newcomers) = newcomers {
        act.newcomers = newcomers.await.unwrap_or_default();
    }
    for (probes, into) in [(readiness, &mut act.readiness), (liveness, &mut act.liveness)] {
        if let Some(probes) = probes {
            *into = probes.await.unwrap_or_default();
        }
    }
    Ok(act)
}

/// The cast: room `talk` is what members are compared by, `noise` is what senders fill, `backlog` is what a slow client has to catch up with.
fn parts(cast: Cast, level: Level) -> Vec<Part> {
    let part = |name: String, role, room: &str| Part {
        name,
        role,
        room: (level == Level::L2).then(|| room.to_owned()),
        resume: None,
    };
    let many = |count: u32, name: &'static str, role: Role, room: &'static str| {
        (1..=count).map(move |n| part(format!("{name}-{n}"), role, room)).collect::<Vec<_>>()
    };
    let talks = level > Level::L0;
    let polite = match cast {
        Cast::Polite => 8,
        Cast::Holdouts { .. } => 4,
    };
    let mut parts = many(polite, "polite", Role::Polite, "talk");
    match cast {
        Cast::Polite => {
            parts.extend(many(1, "late", Role::Late, "talk"));
            if talks {
                parts.extend(many(2, "publisher", Role::Publisher, "talk"));
                parts.extend(many(1, "slow", Role::Slow, "backlog"));
            }
            if level == Level::L2 {
                parts.extend(many(1, "feeder", Role::Polite, "backlog"));
            }
            parts.extend(many(4, "sender", Role::Sender, "noise"));
        }
        Cast::Holdouts { .. } => {
            parts.extend(many(1, "stalled", Role::Stalled, "talk"));
            parts.extend(many(2, "deaf", Role::Deaf, "talk"));
            parts.extend(many(1, "mid-message", Role::MidMessage, "talk"));
        }
    }
    parts
}

/// Sends what a slow client will find when it begins to read. A feeder has received it all: so the server has it for the slow client, too.
async fn fill_queues(players: &mut [Player]) {
    for player in players {
        let (feeder, slow) = player.log().with(|client| (client.name.starts_with("feeder"), client.role == Role::Slow));
        if feeder {
            player.feed(BACKLOG.0, BACKLOG.1).await;
        } else if slow && !player.is_member() {
            for _ in 0..OWN_BACKLOG.0 {
                if !matches!(timeout(PATIENCE, player.publish(OWN_BACKLOG.1)).await, Ok(true)) {
                    break;
                }
            }
        }
    }
}

/// Connections on which the server waits: half of a handshake, and one kept alive after a request. Best effort.
async fn half_open(stage: &Stage) -> Vec<wire::Wire> {
    let request = wire::upgrade_request(&stage.target, &[]);
    let whole = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", stage.target.path, stage.target.authority);
    let mut wires = Vec::new();
    for text in [&request[..request.len() / 2], whole.as_str()] {
        if let Ok(mut wire) = wire::Wire::connect(&stage.target, None).await
            && wire.write(text.as_bytes()).await.is_ok()
        {
            wires.push(wire);
        }
    }
    wires
}

/// Connects again and again until the act is over.
async fn newcomers(stage: Stage) -> Vec<Newcomer> {
    let mut moment = stage.moment.clone();
    let mut ticks = interval(NEWCOMER);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut attempts = JoinSet::new();
    for n in 0_u32.. {
        tokio::select! {
            biased;
            over = moment.wait_for(|moment| *moment == Moment::Over) => { drop(over); break; }
            _ = ticks.tick() => { attempts.spawn(newcomer(stage.clone(), n)); }
        }
    }
    let mut newcomers = Vec::new();
    while let Some(attempt) = attempts.join_next().await {
        newcomers.extend(attempt);
    }
    newcomers.sort_by_key(|newcomer| newcomer.at);
    newcomers
}

async fn newcomer(stage: Stage, n: u32) -> Newcomer {
    let at = stage.start.elapsed();
    let (target, headers) = client::request_of(&stage.target, &stage.profile, &format!("newcomer-{n}"));
    let (wire, answer) = wire::upgrade(&target, &headers, None, NEWCOMER_PATIENCE).await;
    let outcome = match (wire, answer) {
        (Some(mut wire), Answer::Head(head)) if head.status == 101 => {
            // Before the signal it has seen enough; after it, what becomes of it is the question.
            let admitted_after = stage.moment.borrow().to_owned() >= Moment::Signal;
            let mut moment = stage.moment.clone();
            let closed = admitted_after
                && tokio::select! {
                    biased;
                    () = closed(&mut wire) => true,
                    _ = moment.wait_for(|moment| *moment == Moment::Over) => true,
                };
            if !admitted_after {
                let _ = wire.send(crate::frame::Opcode::Close, &crate::frame::close_payload(1000, "")).await;
                let _ = timeout(NEWCOMER_PATIENCE, closed_by(&mut wire)).await;
            }
            Admission::Admitted { closed }
        }
        (_, Answer::Head(head)) => {
            Admission::Answered { status: head.status, retry_after: head.header("Retry-After").is_some() }
        }
        (_, Answer::Refused) => Admission::Refused,
        (_, Answer::Reset) => Admission::Reset,
        (_, Answer::Closed) => Admission::ClosedWithoutAnswer,
        (_, Answer::TimedOut) => Admission::Hung,
    };
    Newcomer { at, outcome }
}

/// Resolves when the server closes the connection, by a frame or otherwise.
async fn closed(wire: &mut wire::Wire) {
    loop {
        match wire.read().await {
            Read::Frame(frame) if frame.opcode != crate::frame::Opcode::Close => {}
            Read::Frame(frame) => {
                let _ = wire.send(crate::frame::Opcode::Close, frame.payload.get(..2).unwrap_or_default()).await;
                return;
            }
            _ => return,
        }
    }
}

/// Reads to the end of the connection.
async fn closed_by(wire: &mut wire::Wire) {
    while matches!(wire.read().await, Read::Frame(_)) {}
}

/// Asks a probe again and again until the act is over.
async fn probe(stage: Stage, target: Target) -> Vec<Probe> {
    let mut moment = stage.moment.clone();
    let mut ticks = interval(PROBE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut probes = Vec::new();
    loop {
        tokio::select! {
            biased;
            over = moment.wait_for(|moment| *moment == Moment::Over) => { drop(over); return probes; }
            _ = ticks.tick() => {}
        }
        let at = stage.start.elapsed();
        let answer = wire::get(&target, NEWCOMER_PATIENCE).await;
        probes.push(Probe { at, ok: matches!(answer, Answer::Head(head) if head.status == 200) });
    }
}

/// Looks at what a restarted server has of the act before, and lets its members come back.
pub(crate) async fn restart(options: &Options, before: &Act) -> Restart {
    let (_moments, moment) = watch::channel(Moment::Before);
    let stage = Stage {
        target: options.target.clone(),
        profile: Arc::new(options.profile.clone()),
        start: Instant::now(),
        moment,
    };
    let mut restart = Restart::default();
    if let Err(failure) = come_back(&stage, before, &mut restart).await {
        restart.failure = Some(failure);
    }
    restart
}

async fn come_back(stage: &Stage, before: &Act, restart: &mut Restart) -> Result<(), String> {
    let part = |name: &str, resume: &str| Part {
        name: name.to_owned(),
        role: Role::Polite,
        room: Some("talk".to_owned()),
        resume: Some(resume.to_owned()),
    };
    let acked: BTreeSet<String> = before.clients.iter().flat_map(Client::acked).map(str::to_owned).collect();
    restart.stored = read_all(stage, part("reader", "0"), &acked).await?;
    let mut publisher = Player::enter(stage.clone(), part("afterwards", "0")).await?;
    for _ in 0..3 {
        if !publisher.publish(0).await {
            return Err("a message cannot be sent".to_owned());
        }
    }
    let log = publisher.log();
    let playing = tokio::spawn(publisher.play());
    let all_answered = || log.with(|client| client.sent_by(Duration::MAX).all(|key| client.is_answered(key)));
    let answered = timeout(PATIENCE, async {
        while !all_answered() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    let answered = answered.await.is_ok();
    playing.abort();
    if !answered {
        return Err("a message was not answered".to_owned());
    }
    restart.meanwhile = log.with(|client| client.sent_by(Duration::MAX).map(str::to_owned).collect());
    let members = before.clients.iter().filter(|client| is_member(client)).take(3);
    for member in members {
        let mut has: BTreeSet<String> = member.received().map(str::to_owned).collect();
        let missing = acked.iter().chain(&restart.meanwhile).filter(|key| !has.contains(*key)).cloned().collect();
        has.extend(read_all(stage, part(&member.name, member.last().unwrap_or("0")), &missing).await?);
        restart.members.push((member.name.clone(), has));
    }
    Ok(())
}

fn is_member(client: &Client) -> bool {
    client.role == Role::Polite && client.room.as_deref() == Some("talk") && client.last().is_some()
}

/// The keys that a client receives that joins like that: until it has what is `expected`, or nothing more comes.
async fn read_all(stage: &Stage, part: Part, expected: &BTreeSet<String>) -> Result<BTreeSet<String>, String> {
    let player = Player::enter(stage.clone(), part).await?;
    let log = player.log();
    let playing = tokio::spawn(player.play());
    let keys = || log.with(|client| client.received().map(str::to_owned).collect::<BTreeSet<String>>());
    let (mut count, mut since) = (0, Instant::now());
    loop {
        let now = keys();
        if now.is_superset(expected) || (now.len() == count && since.elapsed() > QUIET) {
            playing.abort();
            return Ok(now);
        }
        if now.len() > count {
            (count, since) = (now.len(), Instant::now());
        }
        sleep(Duration::from_millis(20)).await;
    }
}
