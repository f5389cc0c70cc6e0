//! A small broadcast server that shuts down well, or breaks exactly one rule: `peer PORT LOG [RULE]`.
//!
//! It proves that the drill is right: for each rule there is one way in which this server fails that rule and no other. Raw
//! sockets, no framework: what it does on the wire is what stands here. Texts: `join ROOM`, `resume ROOM POSITION`,
//! `send ROOM KEY PAD`; answers: `joined ROOM`, `message ROOM POSITION KEY`, `ack KEY`.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

type Fault = Option<&'static str>;

/// What a shutdown has come to.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Phase {
    Running,
    Refusing,
    Draining,
}

/// Between the signal and the first close.
const LAME_DUCK: Duration = Duration::from_millis(400);

/// Between two closes.
const PACE: Duration = Duration::from_millis(40);

/// How long a client may take to answer its Close, to take what is queued, and to close its side.
const BOUND: Duration = Duration::from_secs(6);

struct Server {
    fault: Fault,
    rooms: Mutex<HashMap<String, Room>>,
    log: Mutex<File>,
    phase: watch::Sender<Phase>,
    /// A client has not answered its Close in time.
    holdouts: AtomicBool,
}

#[derive(Default)]
struct Room {
    messages: Vec<String>,
    members: Vec<mpsc::UnboundedSender<String>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().ok_or("usage: peer PORT LOG [RULE]")?.parse()?;
    let log = arguments.next().ok_or("usage: peer PORT LOG [RULE]")?;
    let fault: Fault = arguments.next().map(|rule| &*rule.leak());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(serve(port, &log, fault))?;
    std::process::exit(code);
}

async fn serve(port: u16, log: &str, fault: Fault) -> Result<i32, Box<dyn Error>> {
    let mut signals = signal(SignalKind::terminate())?;
    let mut rooms: HashMap<String, Room> = HashMap::new();
    for line in std::fs::read_to_string(log).unwrap_or_default().lines() {
        let (room, key) = line.split_once(' ').ok_or("the log is damaged")?;
        rooms.entry(room.to_owned()).or_default().messages.push(key.to_owned());
    }
    let log = Mutex::new(File::options().create(true).append(true).open(log)?);
    let server = Arc::new(Server {
        fault,
        rooms: Mutex::new(rooms),
        log,
        phase: watch::Sender::new(Phase::Running),
        holdouts: AtomicBool::new(false),
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let mut connections = JoinSet::new();
    let mut accepted = 0_u32;
    let begin = async {
        loop {
            tokio::select! {
                stream = listener.accept() => if let Ok((stream, _)) = stream {
                    accepted += 1;
                    connections.spawn(Arc::clone(&server).connection(stream, accepted));
                },
                Some(_) = connections.join_next() => {}
                _ = signals.recv() => break,
            }
        }
    };
    begin.await;

    server.phase.send_replace(Phase::Refusing);
    let mut drain_at = Box::pin(sleep(LAME_DUCK));
    let mut drained = Box::pin(sleep(Duration::from_secs(3600)));
    let mut looks = interval(Duration::from_millis(50));
    // Connections that are not upgraded end by themselves; upgraded ones are counted by the watch.
    loop {
        tokio::select! {
            () = &mut drain_at, if *server.phase.borrow() == Phase::Refusing => {
                server.phase.send_replace(Phase::Draining);
                let upgraded = server.phase.receiver_count() as u32;
                drained = Box::pin(sleep(PACE * upgraded + BOUND * 4));
            }
            stream = listener.accept() => if let Ok((stream, _)) = stream {
                connections.spawn(Arc::clone(&server).connection(stream, u32::MAX));
            },
            Some(_) = connections.join_next() => {}
            _ = signals.recv(), if fault != Some("E4") => break,
            () = &mut drained, if !matches!(fault, Some("E1" | "E3")) => break,
            _ = looks.tick(), if *server.phase.borrow() == Phase::Draining => {
                let holdouts = server.holdouts.load(Ordering::Relaxed);
                // Without hold-outs it is E1 that never ends; with them it is no different from E3.
                if server.phase.receiver_count() == 0 && (fault != Some("E1") || holdouts) {
                    break;
                }
            }
        }
    }
    drop(listener);
    let _ = timeout(Duration::from_millis(200), async { while connections.join_next().await.is_some() {} }).await;
    Ok(i32::from(fault == Some("E2")))
}

impl Server {
    async fn connection(self: Arc<Self>, mut stream: TcpStream, index: u32) {
        let mut buffer = Vec::new();
        while !buffer.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            match stream.read_buf(&mut buffer).await {
                Ok(1..) => {}
                _ => return,
            }
        }
        let head = String::from_utf8_lossy(&buffer).into_owned();
        let phase = *self.phase.borrow();
        let refusing = phase > Phase::Running;
        let retry = if self.fault == Some("N3") { "" } else { "Retry-After: 1\r\n" };
        let unavailable = format!("HTTP/1.1 503 x\r\n{retry}Content-Length: 0\r\nConnection: close\r\n\r\n");
        let ok = "HTTP/1.1 200 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let answer = if head.starts_with("GET /ready") {
            if refusing && self.fault != Some("H1") { unavailable.as_str() } else { ok }
        } else if head.starts_with("GET /live") {
            if refusing && self.fault == Some("H2") { unavailable.as_str() } else { ok }
        } else if !head.to_ascii_lowercase().contains("upgrade: websocket") {
            ok
        } else if refusing && self.fault == Some("N1") {
            return;
        } else if refusing && !(self.fault == Some("N2") && phase < Phase::Draining) {
            unavailable.as_str()
        } else {
            return self.websocket(stream, &head, index).await;
        };
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        let _ = timeout(BOUND, async { while matches!(stream.read(&mut [0; 512]).await, Ok(1..)) {} }).await;
    }

    /// Serves an upgraded connection. Its receiver of the phase is what the shutdown counts.
    async fn websocket(&self, stream: TcpStream, head: &str, index: u32) {
        let mut phase = self.phase.subscribe();
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
        let (mut input, mut output) = stream.into_split();
        let upgraded = format!(
            "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n\r\n"
        );
        if output.write_all(upgraded.as_bytes()).await.is_err() {
            return;
        }
        let (queue, mut queued) = mpsc::unbounded_channel::<String>();
        let mut buffer = Vec::new();
        let all_at_once = self.fault == Some("C6");
        let closing = async {
            let _ = phase.wait_for(|phase| *phase == Phase::Draining).await;
            if !all_at_once {
                sleep(PACE * index.min(40)).await;
            }
        };
        let mut closing = Box::pin(closing);
        let mut peer_closed = false;
        loop {
            tokio::select! {
                biased;
                () = &mut closing => break,
                Some(text) = queued.recv() => {
                    // Not cancelled by reading: a frame is written whole, or the connection ends. A client that does not read holds up
                    // its own connection only, and only until its close.
                    let frame = frame(1, text.as_bytes());
                    tokio::select! {
                        written = output.write_all(&frame) => if written.is_err() { return },
                        () = self.overdue() => return,
                    }
                }
                read = input.read_buf(&mut buffer) => {
                    if !matches!(read, Ok(1..)) {
                        return;
                    }
                    while let Some((opcode, payload)) = take(&mut buffer) {
                        match opcode {
                            8 => {
                                let _ = output.write_all(&frame(8, &payload)).await;
                                peer_closed = true;
                            }
                            9 => _ = output.write_all(&frame(10, &payload)).await,
                            _ => self.message(&String::from_utf8_lossy(&payload), &queue),
                        }
                    }
                    if peer_closed {
                        break;
                    }
                }
            }
        }
        if !peer_closed {
            let silent = self.fault == Some("C1") && index.is_multiple_of(4);
            // What has been accepted is written before the Close.
            let flush = async {
                while let Ok(text) = queued.try_recv() {
                    if self.fault != Some("Q1") {
                        output.write_all(&frame(1, text.as_bytes())).await?;
                    }
                }
                if silent { Ok(()) } else { output.write_all(&self.close_frame()).await }
            };
            if !matches!(timeout(BOUND, flush).await, Ok(Ok(()))) {
                return;
            }
            if self.fault == Some("C5") {
                let _ = output.write_all(&frame(9, b"")).await;
            }
            if self.fault == Some("C3") {
                let _ = output.shutdown().await;
            }
            let answered = async {
                loop {
                    while let Some((opcode, _)) = take(&mut buffer) {
                        if opcode == 8 {
                            return;
                        }
                    }
                    if !matches!(input.read_buf(&mut buffer).await, Ok(1..)) {
                        return;
                    }
                }
            };
            let bound = if self.fault == Some("E3") { Duration::from_secs(3600) } else { BOUND };
            let answered = if silent { Ok(()) } else { timeout(bound, answered).await };
            if answered.is_err() {
                self.holdouts.store(true, Ordering::Relaxed);
            }
            if self.fault == Some("C4") && answered.is_ok() {
                let Ok(stream) = input.reunite(output) else { return };
                let _ = stream.set_zero_linger();
                return;
            }
        }
        let _ = output.shutdown().await;
        let _ = timeout(BOUND, async { while matches!(input.read(&mut [0; 4096]).await, Ok(1..)) {} }).await;
    }

    /// Resolves when a connection that cannot be written to has had its time.
    async fn overdue(&self) {
        let mut phase = self.phase.subscribe();
        let _ = phase.wait_for(|phase| *phase == Phase::Draining).await;
        drop(phase);
        if self.fault == Some("E3") {
            std::future::pending::<()>().await;
        }
        sleep(PACE * 40 + BOUND).await;
    }

    fn close_frame(&self) -> Vec<u8> {
        let code: u16 = if self.fault == Some("C2") { 1000 } else { 1001 };
        frame(8, &[&code.to_be_bytes()[..], b"shutting down"].concat())
    }

    fn message(&self, text: &str, queue: &mpsc::UnboundedSender<String>) {
        let words: Vec<&str> = text.split(' ').collect();
        let signalled = *self.phase.borrow() > Phase::Running;
        let mut rooms = self.rooms.lock().expect("nothing panics under it");
        match words[..] {
            ["join", name] => {
                let room = rooms.entry(name.to_owned()).or_default();
                room.members.push(queue.clone());
                let _ = queue.send(format!("joined {name}"));
            }
            ["resume", name, after] => {
                let room = rooms.entry(name.to_owned()).or_default();
                let after: usize = after.parse().unwrap_or(0);
                let _ = queue.send(format!("joined {name}"));
                let missing = usize::from(self.fault == Some("Q5") && after > 0);
                for (index, key) in
                    room.messages.iter().enumerate().skip(after + missing).filter(|(_, key)| *key != "-")
                {
                    let _ = queue.send(format!("message {name} {} {key}", index + 1));
                }
                room.members.push(queue.clone());
            }
            ["send", name, key, pad] => {
                if signalled && self.fault == Some("Q2") {
                    return;
                }
                let room = rooms.entry(name.to_owned()).or_default();
                room.messages.push(key.to_owned());
                // The position is used up, the message is not there.
                let logged = if signalled && self.fault == Some("Q4") { "-" } else { key };
                let _ = writeln!(self.log.lock().expect("nothing panics under it"), "{name} {logged}");
                let delivery = format!("message {name} {} {key} {pad}", room.messages.len());
                let half = signalled && self.fault == Some("Q3");
                for member in room.members.iter().step_by(if half { 2 } else { 1 }) {
                    let _ = member.send(delivery.clone());
                }
                let _ = queue.send(format!("ack {key}"));
            }
            _ => {}
        }
    }
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => frame.push(length as u8),
        length => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// The first complete frame of a client. Lengths beyond 64 KiB are not sent by a drill.
fn take(buffer: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let [first, second, rest @ ..] = buffer.as_slice() else { return None };
    let (length, head) = match second & 0x7f {
        126 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), 4),
        length => (usize::from(length), 2),
    };
    let mask: [u8; 4] = buffer.get(head..head + 4)?.try_into().ok()?;
    let payload = buffer.get(head + 4..head + 4 + length)?;
    let frame = (first & 0x0f, payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect());
    buffer.drain(..head + 4 + length);
    Some(frame)
}
