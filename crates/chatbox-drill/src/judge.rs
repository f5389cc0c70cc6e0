//! Verdicts: pure functions from what was recorded to pass or fail, with the evidence.

use crate::profile::{Level, Profile};
use crate::record::{Act, Admission, Client, Event, Role, Status};
use crate::rule::Rule;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The result of one rule.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "result", content = "evidence", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The server does what the rule demands; what was seen.
    Pass(String),
    /// It does not; which client, when, what.
    Fail(String),
    /// The level, or the profile, has no use for the rule; why.
    NotApplicable(String),
    /// The rule could apply, but nothing was seen that decides it; why.
    NotObservable(String),
}

/// Everything that was recorded in a drill. An act that was not played is `None`.
#[derive(Debug, Default)]
pub(crate) struct Drill {
    /// The whole polite cast, newcomers and probes.
    pub(crate) drain: Act,
    /// Clients that hold the shutdown up, beside polite ones.
    pub(crate) holdouts: Option<Act>,
    /// The same, and a second signal.
    pub(crate) impatience: Option<Act>,
    pub(crate) restart: Option<Restart>,
}

/// What was found after a restart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Restart {
    /// The keys that a client reads that asks for everything.
    pub(crate) stored: BTreeSet<String>,
    /// The keys of messages that were sent and acknowledged after the restart, before the members came back.
    pub(crate) meanwhile: Vec<String>,
    /// What each member has after it came back, of before and after.
    pub(crate) members: Vec<(String, BTreeSet<String>)>,
    /// Why nothing could be found out.
    pub(crate) failure: Option<String>,
}

/// A newcomer counts as one after the signal only if it came that much later: the signal takes a moment to arrive.
const SIGNAL_ARRIVES: Duration = Duration::from_millis(100);

/// A newcomer does not count that shortly before the exit: what arrives between a server's last look at its backlog and the end
/// of its listener is reset by the kernel.
const LAST_MOMENT: Duration = Duration::from_millis(150);

/// How long before the exit liveness may fail.
const ABOUT_TO_EXIT: Duration = Duration::from_secs(1);

/// The window in which at most half of the clients may be closed.
const INSTANT: Duration = Duration::from_millis(100);

/// The part of the grace period that one bad client may use up.
const USED_UP: f64 = 0.9;

/// What is left of the wait after a second signal.
const SOONER: f64 = 0.5;

/// The verdict on every rule.
pub(crate) fn judge(drill: &Drill, profile: &Profile) -> Vec<(Rule, Verdict)> {
    let verdict = |rule: Rule| match profile.not_applicable.get(rule.id()) {
        Some(why) => Verdict::NotApplicable(why.clone()),
        None => judge_rule(rule, drill, profile),
    };
    Rule::ALL.iter().map(|rule| (*rule, verdict(*rule))).collect()
}

fn judge_rule(rule: Rule, drill: &Drill, profile: &Profile) -> Verdict {
    let act = &drill.drain;
    match rule {
        Rule::E1 => exits(act),
        Rule::E2 => exit_status(act),
        Rule::E3 => holdouts(drill.holdouts.as_ref()),
        Rule::E4 => second_signal(drill),
        Rule::C1 => each_polite(act, "got a Close frame", |client| match client.close() {
            Some(_) => Ok(()),
            None => Err(format!("no Close frame; last: {}", end_of(client))),
        }),
        Rule::C2 => each_closed(act, "1001 or 1012 with a reason", |_, code, reason| match (code, reason) {
            (1001 | 1012, "") => Err(format!("{code} without a reason")),
            (1001 | 1012, _) => Ok(()),
            _ => Err(format!("{code} {reason:?}")),
        }),
        Rule::C3 => close_awaited(act),
        Rule::C4 => each_polite(act, "ended without a reset", |client| {
            client.first(|event| *event == Event::Reset).map_or(Ok(()), |at| Err(format!("reset at {}", clock(at))))
        }),
        Rule::C5 => whole_frames(act),
        Rule::C6 => spread(act, profile),
        Rule::N1 => newcomers_answered(act),
        Rule::N2 => newcomers_not_admitted(act),
        Rule::N3 => refusals_say_when(act),
        Rule::H1 => readiness_first(act),
        Rule::H2 => liveness_to_the_end(act),
        Rule::Q1 => needs(profile, Level::L1, || slow_got_all(act)),
        Rule::Q2 => needs(profile, Level::L1, || sends_answered(act)),
        Rule::Q3 => needs(profile, Level::L2, || rooms_agree(act)),
        Rule::Q4 => needs_resume(profile, drill, |restart| acked_is_stored(act, restart)),
        Rule::Q5 => needs_resume(profile, drill, |restart| nothing_missed(act, restart)),
    }
}

fn needs(profile: &Profile, level: Level, judge: impl FnOnce() -> Verdict) -> Verdict {
    if profile.level < level {
        Verdict::NotApplicable(format!("the profile is {:?}, the rule needs {level:?}", profile.level))
    } else {
        judge()
    }
}

fn needs_resume(profile: &Profile, drill: &Drill, judge: impl FnOnce(&Restart) -> Verdict) -> Verdict {
    needs(profile, Level::L2, || {
        if profile.resume.is_none() {
            return Verdict::NotApplicable("the profile has no `resume`".to_owned());
        }
        match &drill.restart {
            Some(Restart { failure: Some(failure), .. }) => Verdict::Fail(format!("after the restart: {failure}")),
            Some(restart) => judge(restart),
            None => Verdict::NotObservable("the server was not restarted".to_owned()),
        }
    })
}

fn exits(act: &Act) -> Verdict {
    match &act.exit {
        Some(exit) => Verdict::Pass(format!("after {} of {}", clock(exit.at - act.signal), clock(act.grace))),
        None => Verdict::Fail(format!("still running {} after the signal, killed", clock(act.grace))),
    }
}

fn exit_status(act: &Act) -> Verdict {
    match act.exit.as_ref().map(|exit| exit.status) {
        Some(Status::Code(0)) => Verdict::Pass("0".to_owned()),
        Some(Status::Code(143)) | Some(Status::Signal(15)) => {
            Verdict::Fail("killed by the signal: no handler".to_owned())
        }
        Some(Status::Code(code)) => Verdict::Fail(format!("exit status {code}")),
        Some(Status::Signal(signal)) => Verdict::Fail(format!("killed by signal {signal}")),
        Some(Status::Unknown) => Verdict::NotObservable("not a child of the drill".to_owned()),
        None => Verdict::NotObservable("it did not exit by itself".to_owned()),
    }
}

fn holdouts(act: Option<&Act>) -> Verdict {
    let Some(act) = act else { return Verdict::NotObservable("the server was not restarted".to_owned()) };
    match &act.exit {
        Some(exit) if exit.at - act.signal <= act.grace.mul_f64(USED_UP) => {
            Verdict::Pass(format!("with {} that hold it up, after {}", odd_ones(act), clock(exit.at - act.signal)))
        }
        Some(exit) => Verdict::Fail(format!("{} of {} used up", clock(exit.at - act.signal), clock(act.grace))),
        None => Verdict::Fail(format!("still running {} after the signal, killed", clock(act.grace))),
    }
}

fn odd_ones(act: &Act) -> usize {
    act.clients.iter().filter(|client| !client.role.is_polite()).count()
}

fn second_signal(drill: &Drill) -> Verdict {
    let unknown = |why: &str| Verdict::NotObservable(why.to_owned());
    let (Some(patient), Some(forced)) = (&drill.holdouts, &drill.impatience) else {
        return unknown("the server was not restarted");
    };
    let Some(second) = forced.second_signal else { return unknown("it had ended before a second signal") };
    // How long it would have gone on from that moment.
    let after_first = second - forced.signal;
    let patient = patient.exit.as_ref().map_or(patient.grace, |exit| exit.at - patient.signal);
    let left = patient.saturating_sub(after_first);
    if left < Duration::from_secs(1) {
        return unknown("with one signal it is as quick");
    }
    match &forced.exit {
        Some(exit) if exit.at - second <= left.mul_f64(SOONER) => {
            Verdict::Pass(format!("{} after the second signal, rather than {}", clock(exit.at - second), clock(left)))
        }
        Some(exit) => {
            Verdict::Fail(format!("{} after the second signal; without it {}", clock(exit.at - second), clock(left)))
        }
        None => Verdict::Fail("still running at the end of the grace period, killed".to_owned()),
    }
}

/// Fails with the first client that behaves and for which `look` has an objection.
fn each_polite(act: &Act, passed: &str, look: impl Fn(&Client) -> Result<(), String>) -> Verdict {
    let polite: Vec<&Client> = act.clients.iter().filter(|client| client.role.is_polite()).collect();
    let objections: Vec<String> =
        polite.iter().filter_map(|client| Some(format!("{}: {}", client.name, look(client).err()?))).collect();
    match objections.first() {
        None => Verdict::Pass(format!("{} of {} {passed}", polite.len(), polite.len())),
        Some(first) => Verdict::Fail(format!("{} of {}, for instance {first}", objections.len(), polite.len())),
    }
}

fn each_closed(act: &Act, passed: &str, look: impl Fn(&Client, u16, &str) -> Result<(), String>) -> Verdict {
    if !act.clients.iter().any(|client| client.role.is_polite() && client.close().is_some()) {
        return Verdict::NotObservable("no client got a Close frame".to_owned());
    }
    each_polite(act, passed, |client| client.close().map_or(Ok(()), |(_, code, reason)| look(client, code, reason)))
}

fn close_awaited(act: &Act) -> Verdict {
    let late: Vec<&Client> =
        act.clients.iter().filter(|client| client.role == Role::Late && client.close().is_some()).collect();
    if late.is_empty() {
        return Verdict::NotObservable("no late client got a Close frame".to_owned());
    }
    for client in late {
        let ended = client.first(|event| matches!(event, Event::Eof { .. } | Event::Reset | Event::Failed(_)));
        let answered = client.first(|event| *event == Event::Answered);
        if let (Some(ended), Some((closed, ..))) = (ended, client.close())
            && answered.is_none_or(|answered| ended < answered)
        {
            let waited = clock(ended - closed);
            return Verdict::Fail(format!(
                "{}: the connection ended {waited} after its Close, unanswered",
                client.name
            ));
        }
    }
    Verdict::Pass(format!("for {} at least", clock(crate::client::LATE)))
}

fn whole_frames(act: &Act) -> Verdict {
    each_polite(act, "saw whole frames, and nothing after the Close", |client| {
        let fault = client.events.iter().find_map(|(at, event)| match event {
            Event::AfterClose(frame) => Some(format!("{frame} after the Close, at {}", clock(*at))),
            Event::Malformed(fault) => Some(format!("{fault}, at {}", clock(*at))),
            Event::Eof { partial: true } => Some(format!("the connection ended within a frame, at {}", clock(*at))),
            _ => None,
        });
        fault.map_or(Ok(()), Err)
    })
}

fn spread(act: &Act, profile: &Profile) -> Verdict {
    let polite = act.clients.iter().filter(|client| client.role.is_polite() && client.close().is_some());
    let slots = polite.clone().filter(|client| client.first(|event| *event == Event::Slot).is_some()).count();
    let mut closes: Vec<Duration> = polite.filter_map(|client| Some(client.close()?.0)).collect();
    closes.sort_unstable();
    if closes.len() < 4 {
        return Verdict::NotObservable(format!("{} clients got a Close frame", closes.len()));
    }
    if profile.slot.is_some() && slots == closes.len() {
        return Verdict::Pass(format!("{slots} of {slots} received their own time to reconnect"));
    }
    let most = (0..closes.len())
        .map(|first| closes[first..].partition_point(|close| *close < closes[first] + INSTANT))
        .max()
        .unwrap_or_default();
    let seen = format!("{most} of {} closed within {}", closes.len(), clock(INSTANT));
    if most * 2 <= closes.len() { Verdict::Pass(seen) } else { Verdict::Fail(format!("{seen}, without a slot")) }
}

fn newcomers_answered(act: &Act) -> Verdict {
    let mut after = newcomers_after(act).peekable();
    if after.peek().is_none() {
        return Verdict::NotObservable("the process ended before a newcomer came".to_owned());
    }
    let all: Vec<_> = after.collect();
    let bad = |admission: &Admission| {
        matches!(admission, Admission::Reset | Admission::ClosedWithoutAnswer | Admission::Hung)
    };
    match all.iter().find(|newcomer| bad(&newcomer.outcome)) {
        None => Verdict::Pass(format!("{} newcomers: {}", all.len(), admissions(&all))),
        Some(first) => {
            Verdict::Fail(format!("{}, the first {} after the signal", admissions(&all), clock(first.at - act.signal)))
        }
    }
}

fn newcomers_not_admitted(act: &Act) -> Verdict {
    let after: Vec<_> = newcomers_after(act).collect();
    let admitted = after
        .iter()
        .filter(|newcomer| matches!(newcomer.outcome, Admission::Admitted { closed: true }))
        .collect::<Vec<_>>();
    match admitted.last() {
        Some(last) => Verdict::Fail(format!(
            "{} of {} newcomers were admitted and closed again, the last {} after the signal",
            admitted.len(),
            after.len(),
            clock(last.at - act.signal)
        )),
        None if after.is_empty() => Verdict::NotObservable("the process ended before a newcomer came".to_owned()),
        None => Verdict::Pass(format!("none of {}", after.len())),
    }
}

fn refusals_say_when(act: &Act) -> Verdict {
    let refusals: Vec<(u16, bool)> = newcomers_after(act)
        .filter_map(|newcomer| match newcomer.outcome {
            Admission::Answered { status, retry_after } => Some((status, retry_after)),
            _ => None,
        })
        .collect();
    match refusals.iter().find(|(_, retry_after)| !retry_after) {
        _ if refusals.is_empty() => Verdict::NotObservable("no newcomer was refused by HTTP".to_owned()),
        None => Verdict::Pass(format!("{} of {} with Retry-After", refusals.len(), refusals.len())),
        Some((status, _)) => Verdict::Fail(format!("{status} without Retry-After")),
    }
}

fn newcomers_after(act: &Act) -> impl Iterator<Item = &crate::record::Newcomer> {
    let from = act.signal + SIGNAL_ARRIVES;
    let end = act.exit.as_ref().map_or(act.signal + act.grace, |exit| exit.at);
    let until = end.saturating_sub(LAST_MOMENT);
    act.newcomers.iter().filter(move |newcomer| newcomer.at >= from && newcomer.at < until)
}

fn admissions(newcomers: &[&crate::record::Newcomer]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for newcomer in newcomers {
        let outcome = match newcomer.outcome {
            Admission::Admitted { .. } => "admitted".to_owned(),
            Admission::Answered { status, .. } => format!("answered {status}"),
            Admission::Refused => "refused".to_owned(),
            Admission::Reset => "reset".to_owned(),
            Admission::ClosedWithoutAnswer => "closed without an answer".to_owned(),
            Admission::Hung => "left without an answer".to_owned(),
        };
        *counts.entry(outcome).or_default() += 1;
    }
    counts.into_iter().map(|(outcome, count)| format!("{count} {outcome}")).collect::<Vec<_>>().join(", ")
}

fn readiness_first(act: &Act) -> Verdict {
    if act.readiness.is_empty() {
        return Verdict::NotApplicable("no readiness probe was named (--ready)".to_owned());
    }
    let closed = act.clients.iter().filter_map(|client| Some(client.close()?.0)).min();
    let failed = act.readiness.iter().find(|probe| probe.at >= act.signal && !probe.ok).map(|probe| probe.at);
    match (failed, closed) {
        (_, None) => Verdict::NotObservable("no client got a Close frame".to_owned()),
        (Some(failed), Some(closed)) if failed < closed => {
            Verdict::Pass(format!("{} before the first Close", clock(closed - failed)))
        }
        (Some(failed), Some(closed)) => Verdict::Fail(format!("{} after the first Close", clock(failed - closed))),
        (None, Some(_)) => Verdict::Fail("it never failed".to_owned()),
    }
}

fn liveness_to_the_end(act: &Act) -> Verdict {
    if act.liveness.is_empty() {
        return Verdict::NotApplicable("no liveness probe was named (--live)".to_owned());
    }
    let end = act.exit.as_ref().map_or(act.signal + act.grace, |exit| exit.at);
    let failed = act
        .liveness
        .iter()
        .find(|probe| probe.at >= act.signal && probe.at + ABOUT_TO_EXIT < end && !probe.ok)
        .map(|probe| probe.at);
    match failed {
        Some(failed) => Verdict::Fail(format!("it failed {} before the exit", clock(end - failed))),
        None => Verdict::Pass("until the last second".to_owned()),
    }
}

fn slow_got_all(act: &Act) -> Verdict {
    let slow: Vec<&Client> = act.clients.iter().filter(|client| client.role == Role::Slow).collect();
    let Some(first) = slow.first() else { return Verdict::NotObservable("there was no slow client".to_owned()) };
    // What others in its room have received, or, alone, what it has sent itself.
    let expected = |client: &Client| -> BTreeSet<String> {
        let witnesses = act.clients.iter().filter(|other| other.role != Role::Slow && other.room == client.room);
        match client.room {
            Some(_) => witnesses.flat_map(Client::received).map(str::to_owned).collect(),
            None => client.sent_by(act.signal).map(str::to_owned).collect(),
        }
    };
    if expected(first).is_empty() {
        return Verdict::NotObservable("nothing was queued for a slow client".to_owned());
    }
    for client in &slow {
        let received: BTreeSet<String> = client.received().map(str::to_owned).collect();
        let expected = expected(client);
        let missing = expected.difference(&received).count();
        if missing > 0 {
            return Verdict::Fail(format!("{}: {missing} of {} did not arrive", client.name, expected.len()));
        }
    }
    Verdict::Pass(format!("{} messages", expected(first).len()))
}

fn sends_answered(act: &Act) -> Verdict {
    let mut sent = 0;
    for client in act.clients.iter().filter(|client| client.role == Role::Publisher) {
        // Those of the very moment, too: the signal may come before them, after them, or between them.
        let keys: Vec<&str> = client.sent_by(Duration::MAX).collect();
        sent += keys.len();
        let dropped: Vec<&&str> = keys.iter().filter(|key| !client.is_answered(key)).collect();
        if let Some(first) = dropped.first() {
            return Verdict::Fail(format!(
                "{}: {} of {} without an answer, for instance {first}",
                client.name,
                dropped.len(),
                keys.len()
            ));
        }
    }
    if sent == 0 {
        return Verdict::NotObservable("nothing was being sent".to_owned());
    }
    Verdict::Pass(format!("{sent} of {sent}"))
}

fn rooms_agree(act: &Act) -> Verdict {
    let mut rooms: BTreeMap<&str, Vec<&Client>> = BTreeMap::new();
    for client in act.clients.iter().filter(|client| matches!(client.role, Role::Polite | Role::Publisher | Role::Late))
    {
        if let Some(room) = &client.room {
            rooms.entry(room).or_default().push(client);
        }
    }
    let mut messages = 0;
    for (room, members) in &rooms {
        // A member that published saw its own messages after it had joined, as all others did.
        let [first, others @ ..] = members.as_slice() else { continue };
        let reference: Vec<&str> = first.received().collect();
        messages += reference.len();
        for other in others {
            let seen: Vec<&str> = other.received().collect();
            let differs = reference.iter().zip(&seen).position(|(one, two)| one != two);
            if let Some(at) = differs.or((reference.len() != seen.len()).then(|| reference.len().min(seen.len()))) {
                return Verdict::Fail(format!(
                    "{room}: {} and {} differ from their message {} on ({} and {} received)",
                    first.name,
                    other.name,
                    at + 1,
                    reference.len(),
                    seen.len()
                ));
            }
        }
    }
    if messages == 0 {
        return Verdict::NotObservable("no message was delivered".to_owned());
    }
    Verdict::Pass(format!("{messages} messages in {} rooms", rooms.len()))
}

/// The keys that count as acknowledged: by the profile's `ack` or, without one, by delivery to their own sender.
fn acknowledged(act: &Act) -> BTreeSet<String> {
    let publishers = || act.clients.iter().filter(|client| client.role == Role::Publisher);
    let acked: BTreeSet<String> = publishers().flat_map(Client::acked).map(str::to_owned).collect();
    if !acked.is_empty() {
        return acked;
    }
    let own = publishers().flat_map(|client| {
        let sent: BTreeSet<&str> = client.sent_by(Duration::MAX).collect();
        client.received().filter(move |key| sent.contains(key)).map(str::to_owned)
    });
    own.collect()
}

fn acked_is_stored(act: &Act, restart: &Restart) -> Verdict {
    let acked = acknowledged(act);
    if acked.is_empty() {
        return Verdict::NotObservable("no message was acknowledged".to_owned());
    }
    match acked.difference(&restart.stored).next() {
        None => Verdict::Pass(format!("{} of {}", acked.len(), acked.len())),
        Some(first) => Verdict::Fail(format!(
            "{} of {} are gone, for instance {first}",
            acked.difference(&restart.stored).count(),
            acked.len()
        )),
    }
}

fn nothing_missed(act: &Act, restart: &Restart) -> Verdict {
    let mut expected = acknowledged(act);
    expected.extend(restart.meanwhile.iter().cloned());
    if restart.members.is_empty() {
        return Verdict::NotObservable("no member came back".to_owned());
    }
    for (member, has) in &restart.members {
        if let Some(first) = expected.difference(has).next() {
            let missing = expected.difference(has).count();
            return Verdict::Fail(format!("{member} misses {missing} of {}, for instance {first}", expected.len()));
        }
    }
    Verdict::Pass(format!("{} members have all {} messages", restart.members.len(), expected.len()))
}

fn end_of(client: &Client) -> String {
    let end =
        client.events.iter().rev().find(|(_, event)| {
            matches!(event, Event::Eof { .. } | Event::Reset | Event::Failed(_) | Event::Malformed(_))
        });
    match end {
        Some((at, Event::Eof { .. })) => format!("end of the connection at {}", clock(*at)),
        Some((at, event)) => format!("{event:?} at {}", clock(*at)),
        None => "nothing until the end of the act".to_owned(),
    }
}

/// A duration for people.
pub(crate) fn clock(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
