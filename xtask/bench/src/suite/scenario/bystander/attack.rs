//! The attacks: each strikes at a rate of its own, from one thread, until it is stopped. They cost the machine what they cost
//! the attacker, too, so the rates are far below what one thread could do.

use crate::suite::wire;
use anyhow::Result;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// How long an attacker waits for anything.
const PATIENCE: Duration = Duration::from_millis(100);

/// One kind of attack.
pub(super) struct Attack {
    pub(super) name: &'static str,
    /// Blows in a second.
    rate: u32,
    /// Connections that are held.
    connections: usize,
    /// What a connection begins with; none: it is opened for each blow, and closed after it.
    begin: Option<Begin>,
    strike: Strike,
    /// Whether the answers are read.
    reads: bool,
}

/// How a connection that is held begins.
enum Begin {
    Silence,
    Upgrade,
    /// The same, and joins all rooms.
    Member,
}

/// The bytes of one blow.
enum Strike {
    Raw(&'static str),
    Upgrade { user: &'static str, then: &'static [u8] },
    Ping,
    Text(fn(u64) -> String),
    Nothing,
}

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "500 heads that trickle",
        rate: 500,
        connections: 500,
        begin: Some(Begin::Silence),
        strike: Strike::Raw("G"),
        reads: false,
    },
    Attack {
        name: "handshakes that are malformed",
        rate: 500,
        connections: 0,
        begin: None,
        strike: Strike::Raw("GET /chat/ws HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        reads: true,
    },
    Attack {
        name: "connections that break a rule at once",
        rate: 500,
        connections: 0,
        begin: None,
        // Binary, without a mask.
        strike: Strike::Upgrade { user: "mallory", then: &[0x82, 1, 0] },
        reads: true,
    },
    Attack {
        name: "messages above the rate",
        rate: 5_000,
        connections: 5,
        begin: Some(Begin::Upgrade),
        strike: Strike::Text(|n| format!(r#"{{"type":"send","room":"room-0","id":"{n}","body":"x"}}"#)),
        reads: true,
    },
    Attack {
        name: "JSON nested 10,000 deep",
        rate: 500,
        connections: 5,
        begin: Some(Begin::Upgrade),
        strike: Strike::Text(|_| "[".repeat(10_000) + &"]".repeat(10_000)),
        reads: true,
    },
    Attack {
        name: "pings",
        rate: 5_000,
        connections: 5,
        begin: Some(Begin::Upgrade),
        strike: Strike::Ping,
        reads: true,
    },
    Attack {
        name: "requests whose answers are not read",
        rate: 5_000,
        connections: 5,
        begin: Some(Begin::Upgrade),
        strike: Strike::Text(|_| r#"{"type":"shout"}"#.to_owned()),
        reads: false,
    },
    Attack {
        name: "members that read nothing",
        rate: 1,
        connections: 100,
        begin: Some(Begin::Member),
        strike: Strike::Nothing,
        reads: false,
    },
];

/// An attack in progress.
pub(super) struct Attackers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<f64>,
}

impl Attackers {
    pub(super) fn start(attack: &'static Attack, server: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || strike_until(attack, server, &stopped));
        Self { stop, thread }
    }

    /// Ends it; returns how many blows there were in a second.
    pub(super) fn stop(self) -> f64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn strike_until(attack: &Attack, server: SocketAddr, stop: &AtomicBool) -> f64 {
    let mut held: Vec<Option<TcpStream>> = (0..attack.connections).map(|_| None).collect();
    let (began, mut blows) = (Instant::now(), 0_u64);
    while !stop.load(Ordering::Relaxed) {
        // A connection that the server closed is opened again.
        for (index, place) in held.iter_mut().enumerate().filter(|(_, place)| place.is_none()) {
            *place = attack.begin.as_ref().and_then(|begin| open(begin, server, index).ok());
        }
        let place = usize::try_from(blows).unwrap_or_default() % held.len().max(1);
        let struck = match held.get_mut(place) {
            Some(place) => place.as_mut().is_some_and(|stream| attack.strike(stream, server, blows).is_ok()),
            None => {
                TcpStream::connect(server).is_ok_and(|mut stream| attack.strike(&mut stream, server, blows).is_ok())
            }
        };
        if let Some(place) = held.get_mut(place).filter(|_| !struck) {
            *place = None;
        }
        blows += 1;
        let due = began + Duration::from_secs(1).mul_f64(blows as f64 / f64::from(attack.rate));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    blows as f64 / began.elapsed().as_secs_f64()
}

fn open(begin: &Begin, server: SocketAddr, index: usize) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    if matches!(begin, Begin::Silence) {
        stream.set_nonblocking(true)?;
        return Ok(stream);
    }
    stream.write_all(upgrade(server, &format!("mallory-{index}")).as_bytes())?;
    if matches!(begin, Begin::Member) {
        for room in 0..super::ROOMS {
            stream.write_all(&text(&format!(r#"{{"type":"join","room":"room-{room}"}}"#)))?;
        }
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

impl Attack {
    fn strike(&self, stream: &mut TcpStream, server: SocketAddr, blow: u64) -> std::io::Result<()> {
        let bytes = match &self.strike {
            Strike::Raw(raw) => raw.as_bytes().to_vec(),
            Strike::Upgrade { user, then } => [upgrade(server, user).as_bytes(), then].concat(),
            Strike::Ping => frame(wire::PING, b"are you there?"),
            Strike::Text(make) => text(&make(blow)),
            Strike::Nothing => return Ok(()),
        };
        // A part of a frame that the kernel does not take is lost, and the next one is garbage: as good an attack as any.
        later(stream.write_all(&bytes))?;
        if self.begin.is_none() {
            stream.set_read_timeout(Some(PATIENCE))?;
            // To its end, as the server sees it.
            while later(stream.read(&mut [0; 4_096]))?.is_some_and(|length| length > 0) {}
        } else if self.reads {
            later(stream.read(&mut [0; 65_536]))?;
        }
        Ok(())
    }
}

/// What is only not possible now is no error.
fn later<T>(result: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => Ok(None),
        Err(error) => Err(error),
    }
}

fn upgrade(server: SocketAddr, user: &str) -> String {
    format!(
        "GET {}?user={user} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        crate::suite::server::PATH
    )
}

fn text(text: &str) -> Vec<u8> {
    frame(wire::TEXT, text.as_bytes())
}

fn frame(opcode: tungstenite::protocol::frame::coding::OpCode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::append(opcode, Some(MASK), payload, &mut out);
    out
}
