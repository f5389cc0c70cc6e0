//! How a client is put together, with every default in one place.

use crate::backoff::Backoff;
use crate::dial::{Dialer, Target};
use crate::driver::{Driver, Timing};
use crate::reconnect::Reconnect;
use crate::server::{Rotation, Server};
use crate::session::{Limits, Session};
use crate::token::{BoxError, Token};
use crate::{BuildError, Client, Events};
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Puts a [`Client`] together.
#[derive(Clone)]
#[must_use = "nothing happens before `connect`"]
pub struct Builder {
    servers: Vec<String>,
    user: Option<String>,
    token: Token,
    dialer: Option<Dialer>,
    limits: Limits,
    timing: Timing,
    event_queue: usize,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            user: None,
            token: Token::None,
            dialer: None,
            limits: Limits {
                max_unacked: 1000,
                max_unacked_bytes: 1 << 20,
                max_message_bytes: 64 << 10,
                backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(20) },
            },
            timing: Timing {
                connect: Duration::from_secs(10),
                close: Duration::from_secs(5),
                silence: (Duration::from_secs(1), Duration::from_secs(120)),
            },
            event_queue: 64,
        }
    }
}

impl Builder {
    /// Adds a server: `ws://HOST[:PORT][PATH]`, the path being the service's `path_prefix` (`/ws` is appended unless it is
    /// there). `http://` means the same. Of several servers each client begins with one at random, and every further try
    /// goes to the next. At least one is needed.
    pub fn server(mut self, address: impl Into<String>) -> Self {
        self.servers.push(address.into());
        self
    }

    /// Says who the client is, as `?user=`: believed by services without tokens only.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The token (JWT) for every connect, as `Authorization: Bearer`. When it expires the client ends:
    /// [`token_provider`](Self::token_provider) is for those that go on. Of the two the one set last counts.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Token::Fixed(token.into());
        self
    }

    /// Asked for a token before each connect. With it the client comes back from 1008 (`token expired`), 401 and 403, too.
    /// While it fails, or takes longer than [`connect_timeout`](Self::connect_timeout), the client tries again with backoff.
    pub fn token_provider<F, Fut, E>(mut self, provider: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.token = Token::provided(provider);
        self
    }

    /// Makes the byte stream of each connection, instead of plain TCP: for TLS (`wss://` needs this), Unix sockets, proxies,
    /// tests.
    pub fn dial<F, Fut, S>(mut self, dial: F) -> Self
    where
        F: Fn(Target) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.dialer = Some(Dialer::new(dial));
        self
    }

    /// How long to wait between tries: a random time up to `base` after the first failure, up to twice as long after each
    /// further one, at most `cap`. It starts afresh once a `message` or an `ack` has come, not when a connection is merely
    /// open. Default: 1 s, 20 s.
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.limits.backoff = Backoff { base, cap };
        self
    }

    /// A server that was silent for 2.5 × the heartbeat that it announced is given up, but neither before `min` nor after
    /// `max` of silence. Default: 1 s, 2 min.
    pub fn silence(mut self, min: Duration, max: Duration) -> Self {
        self.timing.silence = (min, max.max(min));
        self
    }

    /// How long a connect may take, from the token to the `welcome`. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timing.connect = timeout;
        self
    }

    /// How long a server may take for the close handshake. Default: 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.timing.close = timeout;
        self
    }

    /// How many messages may wait for their ack, and how many bytes they may have when encoded; beyond either,
    /// [`Client::send`] fails with [`Full`](crate::SendError::Full). Default: 1,000 and 1 MiB.
    pub fn max_unacked(mut self, messages: usize, bytes: usize) -> Self {
        (self.limits.max_unacked, self.limits.max_unacked_bytes) = (messages, bytes);
        self
    }

    /// The longest message, encoded, that the server takes (`limits.max_message_bytes` there): a longer one would make it
    /// close the connection for good, so it is not sent. Default: 64 KiB.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_message_bytes = bytes;
        self
    }

    /// How many events may wait to be taken before the client stops reading. At least 1. Default: 64.
    pub fn event_queue(mut self, events: usize) -> Self {
        self.event_queue = events.max(1);
        self
    }

    /// Starts the client. It connects on its own, and keeps trying: that a server is down is told by an event.
    ///
    /// # Errors
    ///
    /// When what was configured cannot work.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time and I/O enabled.
    pub fn connect(self) -> Result<(Client, Events), BuildError> {
        let user = self.user.as_deref();
        let servers = self.servers.iter().map(|address| Server::parse(address, user)).collect::<Result<Vec<_>, _>>()?;
        if self.dialer.is_none()
            && let Some(server) = servers.iter().find(|server| server.target.tls)
        {
            let problem = "wss:// needs `Builder::dial` with a TLS stream";
            return Err(BuildError::Server { address: server.uri.to_string(), problem });
        }
        if !self.token.is_valid() {
            return Err(BuildError::Token);
        }
        let servers = Rotation::new(servers, rand::random_range(0..usize::MAX))?;
        let reconnect = Reconnect::new(self.limits.backoff, self.token.is_renewed());
        let (token, timing) = (self.token, self.timing);
        let dialer = self.dialer.unwrap_or_else(Dialer::tcp);
        let session = Session::new(self.limits, rand::random());
        Ok(Client::start(session, self.event_queue, |shared| Driver {
            shared,
            servers,
            token,
            dialer,
            timing,
            reconnect,
        }))
    }
}

impl std::fmt::Debug for Builder {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("servers", &self.servers).field("user", &self.user).finish_non_exhaustive()
    }
}
