//! Two clients that exchange messages during an attack and must not notice it.

use crate::harness::{Peer, Server};
use serde_json::Value;
use std::cell::Cell;
use std::time::Duration;

/// At least so many messages, however short the attack.
const MESSAGES: u64 = 10;

/// Between two messages: far below what the rate limit allows.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Bystanders {
    peers: [Peer; Self::COUNT as usize],
    sent: u64,
}

impl Bystanders {
    pub(super) const COUNT: u64 = 2;

    /// Two clients of a server that is not attacked yet.
    pub(super) async fn join(server: &Server) -> Self {
        let mut peers = [server.connect("bystander-0").await, server.connect("bystander-1").await];
        for peer in &mut peers {
            peer.send(r#"{"type":"join","room":"bystanders"}"#).await;
            assert_eq!(peer.message().await["type"], "joined");
        }
        Self { peers, sent: 0 }
    }

    /// Talk until the attack is over: each message must be acknowledged, and come to both of them in its place.
    pub(super) async fn during<T>(mut self, attack: impl Future<Output = T>) -> T {
        let over = Cell::new(false);
        let talk = async {
            while self.sent < MESSAGES || !over.get() {
                self.exchange().await;
                tokio::time::sleep(PAUSE).await;
            }
        };
        let attack = async {
            let result = attack.await;
            over.set(true);
            result
        };
        tokio::join!(talk, attack).1
    }

    async fn exchange(&mut self) {
        let (id, sender) = (self.sent.to_string(), self.sent as usize % self.peers.len());
        self.sent += 1;
        let text = format!(r#"{{"type":"send","room":"bystanders","id":"{id}","body":"hello"}}"#);
        self.peers[sender].send(&text).await;
        for (index, peer) in self.peers.iter_mut().enumerate() {
            let mut missing = if index == sender { vec!["ack", "message"] } else { vec!["message"] };
            while !missing.is_empty() {
                let came: Value = peer.message().await;
                assert_eq!((&came["id"], &came["seq"]), (&id.as_str().into(), &self.sent.into()), "{came}");
                let kind = came["type"].as_str().unwrap();
                missing.remove(missing.iter().position(|expected| *expected == kind).unwrap());
            }
        }
    }
}
