//! The options of a soak, and the names derived from them.

use chatbox_client::{Builder, Client, Dialer};
use http::Uri;
use http::uri::InvalidUri;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Makes the token of a user.
pub(crate) type TokenSource = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Everything that the parts of a soak read.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) servers: Vec<String>,
    pub(crate) clients: NonZeroU32,
    pub(crate) rooms: NonZeroU32,
    pub(crate) rate: f64,
    pub(crate) duration: Duration,
    pub(crate) body_bytes: usize,
    pub(crate) stubborn: u32,
    pub(crate) settle: Duration,
    pub(crate) token: Option<TokenSource>,
    pub(crate) dialer: Option<Dialer>,
    /// Distinguishes the rooms and users of this run from those of others.
    run: String,
}

impl Plan {
    pub(crate) fn new(servers: Vec<String>) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let run = (now.as_micros() ^ (u128::from(std::process::id()) << 12)) & 0xffff_ffff;
        Self {
            servers,
            clients: const { NonZeroU32::new(300).unwrap() },
            rooms: const { NonZeroU32::new(20).unwrap() },
            rate: 5.0,
            duration: Duration::from_secs(60),
            body_bytes: 64,
            stubborn: 0,
            settle: Duration::from_secs(60),
            token: None,
            dialer: None,
            run: format!("{run:x}"),
        }
    }

    pub(crate) fn room_count(&self) -> usize {
        self.rooms.get() as usize
    }

    pub(crate) fn room_of(&self, client: usize) -> usize {
        client % self.room_count()
    }

    pub(crate) fn room(&self, index: usize) -> String {
        format!("soak-{}-{index}", self.run)
    }

    pub(crate) fn user(&self, client: usize) -> String {
        format!("soak-{}-{client}", self.run)
    }

    /// The client with that user id.
    pub(crate) fn client_of(&self, user: &str) -> Option<usize> {
        user.strip_prefix("soak-")?.strip_prefix(&*self.run)?.strip_prefix('-')?.parse().ok()
    }

    pub(crate) fn token(&self, user: &str) -> Option<String> {
        self.token.as_ref().and_then(|token| token(user))
    }

    /// A builder for the client of a user.
    pub(crate) fn builder(&self, user: &str) -> Builder {
        let mut builder = self.servers.iter().fold(Client::builder(), |builder, server| builder.server(server));
        if let Some(dialer) = &self.dialer {
            builder = builder.dialer(dialer.clone());
        }
        match self.token(user) {
            Some(token) => builder.token(token),
            None => builder.user(user),
        }
    }

    /// The URL of a page of a room's stored messages, on each server.
    pub(crate) fn history(&self, room: &str, after: u64, limit: usize) -> Vec<Result<Uri, InvalidUri>> {
        let path = format!("/rooms/{room}/messages?after={after}&limit={limit}&user={}", self.user(0));
        let base = |server: &String| {
            let base = server.trim_end_matches('/').trim_end_matches("/ws");
            // ws:// and wss:// become http:// and https://.
            base.strip_prefix("ws").map_or_else(|| base.to_owned(), |rest| format!("http{rest}"))
        };
        self.servers.iter().map(|server| format!("{}{path}", base(server)).parse()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_read_from_every_server_by_the_matching_scheme() {
        let servers = ["ws://a:1/chat", "wss://b/ws", "http://c/chat/", "https://d"].map(str::to_owned);
        let plan = Plan::new(servers.to_vec());
        let urls: Vec<_> = plan.history("r", 5, 10).into_iter().map(|url| url.unwrap().to_string()).collect();
        let path = format!("/rooms/r/messages?after=5&limit=10&user={}", plan.user(0));
        assert_eq!(
            urls,
            ["http://a:1/chat", "https://b", "http://c/chat", "https://d"].map(|base| format!("{base}{path}"))
        );
    }

    #[test]
    fn a_user_id_names_its_client() {
        let plan = Plan::new(Vec::new());
        assert_eq!(plan.client_of(&plan.user(17)), Some(17));
        assert_eq!(plan.client_of("soak-other-17"), None);
        assert_eq!(plan.client_of("alice"), None);
    }
}
