//! An established connection and, while the client moves, the next and the previous one.
//!
//! A client moves when its token is about to expire, or when the server has said `goodbye` and serves the connection on. It
//! opens the next connection while the current one is in use. Then the session joins its rooms over the new one, while
//! messages and acks of the old one still count. The old one is closed when nothing more is needed of it.

use super::connect::Opened;
use super::socket::{Received, Socket};
use super::{Attempt, Driver};
use crate::reconnect::Ended;
use crate::{Event, Reason};
use std::future::pending;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// The connection that the client has moved away from.
struct Previous {
    socket: Socket,
    /// When it is closed in any case or, once it is closing, dropped.
    deadline: Instant,
    is_closing: bool,
}

/// What the loop reads of the session before it waits.
struct View {
    heartbeat: Duration,
    is_leaving: bool,
    has_events: bool,
    has_moved: bool,
    timeout: Option<Instant>,
}

impl Driver {
    /// Runs the session over a connection, and over those that it moves to, until the last one ends.
    pub(super) async fn converse(&mut self, opened: Opened, events: &mpsc::Sender<Event>) -> Reason {
        let mut read_at = Instant::now();
        if let Err(reason) = self.shared.session().on_text(&opened.welcome, read_at) {
            return reason;
        }
        let mut move_at = self.refresh_at(opened.expires_at);
        let mut is_leaving = false;
        let mut current = opened.socket;
        let mut next: Option<Attempt> = None;
        let mut previous: Option<Previous> = None;
        while let Some(view) = self.view() {
            if view.is_leaving && !is_leaving {
                move_at = Some(Instant::now());
            }
            is_leaving = view.is_leaving;
            if let Some(old) = previous.as_mut().filter(|old| view.has_moved && !old.is_closing) {
                self.start_close(old);
            }
            if next.is_none() && previous.is_none() && move_at.is_some_and(|at| at <= Instant::now()) {
                next = Some(self.attempt());
            }
            let silent_at = read_at + self.silence(view.heartbeat);
            // While the application takes no events nothing is read, and silence says nothing about the server.
            let reads = !view.has_events;
            let wake_at = [
                view.timeout,
                reads.then_some(silent_at),
                move_at.filter(|_| next.is_none() && previous.is_none()),
                previous.as_ref().map(|old| old.deadline),
            ];
            let wake_at = wake_at.into_iter().flatten().min();
            tokio::select! {
                () = self.deliver(events), if view.has_events => read_at = Instant::now(),
                received = current.exchange(reads, || self.shared.session().poll_transmit(Instant::now())) => {
                    read_at = Instant::now();
                    match received {
                        Received::Text(text) => if let Err(reason) = self.shared.session().on_text(&text, read_at) {
                            return reason;
                        },
                        Received::Control => {}
                        Received::Close(reason) => {
                            self.finish_close(&mut current).await;
                            return reason;
                        }
                        Received::End(reason) => return reason,
                    }
                }
                received = read_previous(&mut previous, reads) => self.on_previous(&mut previous, received),
                opened = established(&mut next) => {
                    next = None;
                    let moved = opened.and_then(|opened| {
                        self.shared.session().on_moved(&opened.welcome)?;
                        Ok(opened)
                    });
                    match moved {
                        Ok(opened) => {
                            let socket = std::mem::replace(&mut current, opened.socket);
                            read_at = Instant::now();
                            previous = Some(Previous { socket, deadline: read_at + self.timing.connect, is_closing: false });
                            (move_at, is_leaving) = (self.refresh_at(opened.expires_at), false);
                            self.moving.reset();
                        }
                        Err(reason) => move_at = self.retry_move(&reason),
                    }
                }
                () = self.shared.changed() => {}
                () = sleep_until(wake_at.unwrap_or(read_at)), if wake_at.is_some() => {
                    let now = Instant::now();
                    if reads && now >= silent_at {
                        return Reason::Silent(silent_at.saturating_duration_since(read_at));
                    }
                    self.check_deadline(&mut previous, now);
                }
            }
        }
        current.start_close();
        let closing_previous = async {
            if let Some(old) = &mut previous {
                if !old.is_closing {
                    old.socket.start_close();
                }
                self.finish_close(&mut old.socket).await;
            }
        };
        tokio::join!(self.finish_close(&mut current), closing_previous);
        Reason::Requested
    }

    /// `None`: the application has closed the client.
    fn view(&self) -> Option<View> {
        let session = self.shared.session();
        if session.ended().is_some() {
            return None;
        }
        let link = session.link()?;
        Some(View {
            heartbeat: link.heartbeat,
            is_leaving: link.is_leaving,
            has_events: session.has_events(),
            has_moved: session.has_moved(),
            timeout: session.next_timeout(Instant::now()),
        })
    }

    fn on_previous(&self, previous: &mut Option<Previous>, received: Received) {
        match received {
            Received::Text(text) => self.shared.session().on_previous_text(&text, Instant::now()),
            Received::Control => {}
            // The end follows; no answer does.
            Received::Close(_) => self.shared.session().on_previous_closed(),
            Received::End(_) => self.drop_previous(previous),
        }
    }

    /// Closes, and later drops, a previous connection that takes too long.
    fn check_deadline(&self, previous: &mut Option<Previous>, now: Instant) {
        match previous {
            Some(old) if old.deadline > now => {}
            Some(old) if !old.is_closing => self.start_close(old),
            Some(_) => self.drop_previous(previous),
            None => {}
        }
    }

    fn start_close(&self, previous: &mut Previous) {
        previous.socket.start_close();
        previous.is_closing = true;
        previous.deadline = Instant::now() + self.timing.close;
    }

    fn drop_previous(&self, previous: &mut Option<Previous>) {
        *previous = None;
        self.shared.session().on_previous_closed();
    }

    /// Waits for the end of the close handshake, within its bound. Acks may still come.
    async fn finish_close(&self, socket: &mut Socket) {
        let end = socket.finish(|text| drop(self.shared.session().on_text(text, Instant::now())));
        // A server that takes longer is left: its Close or ours was written.
        let _ = timeout(self.timing.close, end).await;
    }

    /// When to replace a connection whose token expires: `refresh_before` that, or at half the token's life if that is
    /// later.
    fn refresh_at(&self, expires_at: Option<SystemTime>) -> Option<Instant> {
        let before = self.timing.refresh_before?;
        let life = expires_at?.duration_since(SystemTime::now()).unwrap_or_default();
        Instant::now().checked_add(life.saturating_sub(before).max(life / 2).max(MIN_LIFE))
    }

    /// When to try again to move; `None`: the server refuses for good.
    fn retry_move(&mut self, reason: &Reason) -> Option<Instant> {
        let ended = Ended { reason, progressed: false, slot: None };
        Some(Instant::now() + self.moving.after(&ended, rand::random())?)
    }

    fn silence(&self, heartbeat: Duration) -> Duration {
        let (min, max) = self.timing.silence;
        heartbeat.saturating_mul(5).clamp(min.saturating_mul(2), max.saturating_mul(2)) / 2
    }
}

/// The shortest life of a connection before it is replaced: tokens that are stale when they are issued must not make a client
/// connect without pause.
const MIN_LIFE: Duration = Duration::from_secs(1);

/// Completes when the attempt does; never without one. Cancel safe.
async fn established(next: &mut Option<Attempt>) -> Result<Opened, Reason> {
    match next {
        Some(attempt) => attempt.await,
        None => pending().await,
    }
}

/// Reads from the previous connection, and writes what is queued; never completes without one. Cancel safe.
async fn read_previous(previous: &mut Option<Previous>, reads: bool) -> Received {
    match previous {
        Some(previous) => previous.socket.exchange(reads, || None).await,
        None => pending().await,
    }
}
