//! `chatbox connect`: a terminal client. Lines from stdin are sent; what the room says goes to stdout, what happens to the
//! connection to stderr.

use super::{Failure, tls};
use crate::cli::Connect;
use crate::config::Config;
use chatbox_client::{Client, Event, Events, Gap, JoinFrom, SendError, Sending};
use serde_json::json;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Chats until stdin ends, Ctrl-C comes, or the server does not want the client back.
pub(super) fn run(config: &Config, options: &Connect) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::at_run_time(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(chat(config, options));
    // The thread that reads stdin may wait for a line that never comes.
    runtime.shutdown_background();
    result
}

async fn chat(config: &Config, options: &Connect) -> Result<ExitCode, Failure> {
    let (client, mut events) = build(config, options)?;
    let from = options.after.map_or(JoinFrom::Last(options.last), JoinFrom::After);
    client.join(&options.room, from).map_err(|error| Failure::bad_usage(format!("--room: {error}")))?;
    let mut screen = Screen { json: options.json, colours: std::io::stdout().is_terminal() && !options.json };
    let mut lines = stdin_lines();
    let mut sending = JoinSet::new();
    let mut open = true;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Closed { reason, .. }) => {
                    screen.note(&json!({"event": "closed", "reason": reason.to_string()}), &format!("closed: {reason}"));
                    return Err(Failure::at_run_time(format!("connect: {reason}")));
                }
                Some(event) => screen.show(&event),
                None => return Ok(ExitCode::SUCCESS),
            },
            line = lines.recv(), if open => match line {
                Some(line) if line.trim().is_empty() => {}
                Some(line) => { sending.spawn(answered(client.send(&options.room, &line))); }
                None => open = false,
            },
            Some(answer) = sending.join_next() => if let Ok((id, Err(error))) = answer {
                screen.note(&json!({"event": "not_sent", "id": id, "error": error.to_string()}), &format!("not sent: {error}"));
            },
            _ = tokio::signal::ctrl_c() => break,
        }
        // What was typed is sent before the end of a script ends the program.
        if !open && sending.is_empty() {
            break;
        }
    }
    finish(&client, &mut events, &mut screen).await;
    Ok(ExitCode::SUCCESS)
}

fn build(config: &Config, options: &Connect) -> Result<(Client, Events), Failure> {
    let own = [format!("ws://{}{}", config.listen, config.path_prefix)];
    let urls = if options.url.is_empty() { &own[..] } else { &options.url };
    let mut builder = Client::builder().max_message_bytes(config.limits.max_message_bytes.get());
    for url in urls {
        builder = builder.server(with_prefix(url, &config.path_prefix));
    }
    if let Some(user) = &options.user {
        builder = builder.user(user);
    }
    if let Some(token) = &options.token {
        builder = builder.token(token);
    }
    let dialer = tls::dialer(options.ca.as_deref(), urls)?;
    builder.dialer(dialer).connect().map_err(|error| Failure::bad_usage(format!("--url: {error}")))
}

/// A URL without a path means the service where it is by default.
pub(super) fn with_prefix(url: &str, prefix: &str) -> String {
    let base = url.trim_end_matches('/');
    let bare = base.split_once("://").is_some_and(|(_, rest)| !rest.contains('/'));
    if bare { format!("{base}{prefix}") } else { base.to_owned() }
}

async fn answered(sending: Sending) -> (String, Result<u64, SendError>) {
    let id = sending.id().to_owned();
    (id, sending.await.map(|acked| acked.seq))
}

/// Shows what is still on its way, and closes the connection properly.
async fn finish(client: &Client, events: &mut Events, screen: &mut Screen) {
    let closing = client.close();
    tokio::pin!(closing);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::Closed { .. }) | None => return,
                Some(event) => screen.show(&event),
            },
            () = &mut closing => return,
        }
    }
}

/// Lines from a thread: stdin cannot be read asynchronously on every system.
fn stdin_lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(64);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

struct Screen {
    json: bool,
    colours: bool,
}

impl Screen {
    fn show(&mut self, event: &Event) {
        match event {
            Event::Message { room, seq, user, id, body, at, .. } => {
                let line = if self.json {
                    json!({"event": "message", "room": &**room, "seq": seq, "user": user, "id": id, "body": body, "at": at})
                        .to_string()
                } else {
                    let time = at.to_string();
                    let time = time.get(11..19).unwrap_or(&time);
                    let user = printable(user);
                    let user = if self.colours { format!("\x1b[1m{user}\x1b[0m") } else { user };
                    format!("{time} {user}: {}", printable(body))
                };
                // The terminal is gone: the error cannot be shown.
                let _ = writeln!(std::io::stdout(), "{line}");
            }
            Event::Connected { server, generation, connection, user, .. } => self.note(
                &json!({"event": "connected", "server": server, "generation": generation, "connection": connection, "user": user}),
                &format!("connected to {server} as {user}"),
            ),
            Event::Disconnected { reason, retry_in, .. } => self.note(
                &json!({"event": "disconnected", "reason": reason.to_string(), "retry_in_ms": retry_in.as_millis() as u64}),
                &format!("disconnected: {reason}; next try in {:.1} s", retry_in.as_secs_f64()),
            ),
            Event::Joined { room, head, first, epoch, after, .. } => self.note(
                &json!({"event": "joined", "room": &**room, "head": head, "first": first, "epoch": epoch.as_deref(), "after": after}),
                &format!("in {room}, {} messages so far", head),
            ),
            Event::Gap { room, gap, .. } => self.note(&gap_json(room, *gap), &format!("gap in {room}: {gap}")),
            Event::Goodbye { reason, close_after, reconnect_after, .. } => self.note(
                &json!({"event": "goodbye", "reason": reason, "close_after_ms": close_after.as_millis() as u64, "reconnect_after_ms": reconnect_after.as_millis() as u64}),
                &format!("the server says goodbye ({reason}); back in {:.1} s", reconnect_after.as_secs_f64()),
            ),
            Event::Error { code, message, .. } => {
                self.note(&json!({"event": "error", "code": code.as_str(), "message": message}), &format!("{code}: {message}"));
            }
            Event::Left { room, .. } => self.note(&json!({"event": "left", "room": &**room}), &format!("left {room}")),
            _ => {}
        }
    }

    /// Tells what happens beside the room: scripts get it on stdout with everything else.
    fn note(&mut self, event: &serde_json::Value, text: &str) {
        // As for messages.
        let _ =
            if self.json { writeln!(std::io::stdout(), "{event}") } else { writeln!(std::io::stderr(), "* {text}") };
    }
}

fn gap_json(room: &str, gap: Gap) -> serde_json::Value {
    match gap {
        Gap::Removed { from, to, .. } => {
            json!({"event": "gap", "room": room, "kind": "removed", "from": from, "to": to})
        }
        Gap::LogReplaced { seen, after, .. } => {
            json!({"event": "gap", "room": room, "kind": "log_replaced", "seen": seen, "after": after})
        }
        Gap::Missing { from, to, .. } => {
            json!({"event": "gap", "room": room, "kind": "missing", "from": from, "to": to})
        }
        _ => json!({"event": "gap", "room": room}),
    }
}

/// What others write must not command this terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
