//! The task of one client: connects, lets the session and the server talk, decides what comes after.

mod connect;
mod socket;

use crate::dial::Dialer;
use crate::reconnect::{Ended, Reconnect};
use crate::server::Rotation;
use crate::shared::Shared;
use crate::token::Token;
use crate::{Event, Reason};
use socket::{Heard, Socket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// From the token to the `welcome`.
    pub(crate) connect: Duration,
    /// The close handshake.
    pub(crate) close: Duration,
    /// Bounds of the silence after which a server is taken for dead.
    pub(crate) silence: (Duration, Duration),
}

/// See the module.
pub(crate) struct Driver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) servers: Rotation,
    pub(crate) token: Token,
    pub(crate) dialer: Dialer,
    pub(crate) timing: Timing,
    pub(crate) reconnect: Reconnect,
}

impl Driver {
    /// Runs until the client is closed or the server does not want it back.
    pub(crate) async fn run(mut self, events: mpsc::Sender<Event>, done: watch::Sender<bool>) {
        // Runs even if a closure of the application's panics: nobody waits for an answer that cannot come.
        let finish = Finish { shared: Arc::clone(&self.shared), done };
        let reason = self.keep_connected(&events).await;
        finish.shared.session().finish(reason);
    }

    async fn keep_connected(&mut self, events: &mpsc::Sender<Event>) -> Reason {
        loop {
            let reason = self.attempt(events).await;
            let now = Instant::now();
            let retry_at = {
                let mut session = self.shared.session();
                if let Some(reason) = session.ended() {
                    return reason.clone();
                }
                let link = session.link();
                let ended = Ended {
                    reason: &reason,
                    progressed: link.is_some_and(|link| link.progressed),
                    slot: link.and_then(|link| link.slot).map(|slot| slot.saturating_duration_since(now)),
                };
                let Some(delay) = self.reconnect.after(&ended, rand::random()) else { return reason };
                session.on_disconnected(reason, delay);
                now + delay
            };
            tokio::select! {
                () = sleep_until(retry_at) => {}
                () = self.until_ended(events) => return Reason::Requested,
            }
        }
    }

    /// One try and, if it succeeds, one connection. Returns why there is none, or none any more.
    async fn attempt(&mut self, events: &mpsc::Sender<Event>) -> Reason {
        let server = self.servers.next().clone();
        let deadline = Instant::now() + self.timing.connect;
        let opened = tokio::select! {
            opened = timeout_at(deadline, connect::open(&server, &self.token, &self.dialer)) => opened,
            () = self.until_ended(events) => return Reason::Requested,
        };
        match opened {
            Ok(Ok(mut socket)) => self.converse(&mut socket, deadline, events).await,
            Ok(Err(reason)) => reason,
            Err(_) => Reason::Silent(self.timing.connect),
        }
    }

    /// Lets both sides talk until the connection ends. `deadline` is when the `welcome` must have come.
    async fn converse(&self, socket: &mut Socket, deadline: Instant, events: &mpsc::Sender<Event>) -> Reason {
        let mut heard_at = Instant::now();
        loop {
            let (link, has_events, session_timeout) = {
                let session = self.shared.session();
                if session.ended().is_some() {
                    break;
                }
                (session.link(), session.has_events(), session.next_timeout(Instant::now()))
            };
            let silent_at = link.map_or(deadline, |link| heard_at + self.silence(link.heartbeat));
            // While the application takes no events nothing is read, and silence says nothing about the server.
            let wake_at = session_timeout.into_iter().chain((!has_events).then_some(silent_at)).min();
            tokio::select! {
                () = self.deliver(events), if has_events => heard_at = Instant::now(),
                heard = socket.talk(!has_events, || self.shared.session().poll_transmit(Instant::now())) => {
                    heard_at = Instant::now();
                    match heard {
                        Heard::Text(text) => if let Err(reason) = self.shared.session().on_text(&text, heard_at) {
                            return reason;
                        },
                        Heard::Control => {}
                        Heard::Close(reason) => {
                            self.finish_close(socket).await;
                            return reason;
                        }
                        Heard::End(reason) => return reason,
                    }
                }
                () = self.shared.changed() => {}
                () = sleep_until(wake_at.unwrap_or(heard_at)), if wake_at.is_some() => {
                    if !has_events && Instant::now() >= silent_at {
                        return Reason::Silent(silent_at.saturating_duration_since(heard_at));
                    }
                }
            }
        }
        socket.start_close();
        self.finish_close(socket).await;
        Reason::Requested
    }

    /// Waits for the end of the close handshake (RFC 6455 section 7.1.1: the server is the first to close the TCP
    /// connection). Acks may still come.
    async fn finish_close(&self, socket: &mut Socket) {
        let end = async {
            loop {
                match socket.talk(true, || None).await {
                    // What it says about the session is of no interest any more.
                    Heard::Text(text) => drop(self.shared.session().on_text(&text, Instant::now())),
                    Heard::Control | Heard::Close(_) => {}
                    Heard::End(_) => return,
                }
            }
        };
        // A server that takes longer is left: its Close or ours was written.
        let _ = timeout(self.timing.close, end).await;
    }

    /// Hands out events while there is no connection. Returns when the application closes the client.
    async fn until_ended(&self, events: &mpsc::Sender<Event>) {
        loop {
            let has_events = {
                let session = self.shared.session();
                if session.ended().is_some() {
                    return;
                }
                session.has_events()
            };
            tokio::select! {
                () = self.deliver(events), if has_events => {}
                () = self.shared.changed() => {}
            }
        }
    }

    /// Hands out one event when there is room for it. Cancel safe: it is taken from the session last.
    async fn deliver(&self, events: &mpsc::Sender<Event>) {
        match events.reserve().await {
            Ok(place) => {
                if let Some(event) = self.shared.session().poll_event() {
                    place.send(event);
                }
            }
            Err(_) => self.shared.session().discard_events(),
        }
    }

    fn silence(&self, heartbeat: Duration) -> Duration {
        let (min, max) = self.timing.silence;
        heartbeat.saturating_mul(5).clamp(min.saturating_mul(2), max.saturating_mul(2)) / 2
    }
}

/// Ends the session when the task ends, in whatever way.
struct Finish {
    shared: Arc<Shared>,
    done: watch::Sender<bool>,
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.shared.session().finish(Reason::Requested);
        self.done.send_replace(true);
    }
}
