//! The configuration of a client, with every default in one place.

use crate::backoff::Backoff;
use crate::credentials::{BoxError, Credentials, Provider, Token};
use crate::dial::{Dialer, Target};
use crate::driver::{Driver, Timing};
use crate::reconnect::Reconnect;
use crate::server::{Rotation, Server};
use crate::session::{Limits, Session};
use crate::shared::{Handle, Shared};
use crate::{BuildError, Client, Events};
use http::HeaderMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};

/// Configures and starts a [`Client`].
#[derive(Clone)]
#[must_use = "nothing happens before `connect`"]
pub struct Builder {
    servers: Vec<String>,
    user: Option<String>,
    credentials: Credentials,
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
            credentials: Credentials::default(),
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
                refresh_before: None,
            },
            event_queue: 64,
        }
    }
}

impl Builder {
    /// Adds a server: `ws://HOST[:PORT][PATH]` or `wss://…`, where the path is the service's `path_prefix` (`/ws` is appended
    /// unless it is there). `http://` and `https://` mean the same. Of several servers each client begins with a random one,
    /// and every further attempt takes the next. At least one is required.
    pub fn server(mut self, address: impl Into<String>) -> Self {
        self.servers.push(address.into());
        self
    }

    /// The user id, sent as `?user=`: accepted by services without tokens only.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The token (JWT) of every connection, sent as `Authorization: Bearer`. When it expires the client ends; with a
    /// [`token_provider`](Self::token_provider) it goes on. The later call of the two replaces the earlier one.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.credentials.token = Token::Fixed(token.into());
        self
    }

    /// A function that is called for a token before each attempt to connect. With it the client reconnects after 1008
    /// (`token expired`), 401 and 403, too. If it fails, or takes longer than [`connect_timeout`](Self::connect_timeout), the
    /// client tries again with backoff.
    pub fn token_provider<F, Fut, E>(mut self, provider: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.credentials.token = Token::Provided(Provider::new(provider));
        self
    }

    /// A function that is called for headers before each attempt to connect, for example a session cookie or what a gateway
    /// requires. With it the client reconnects as with a [`token_provider`](Self::token_provider), whose `Authorization`
    /// replaces one of these. Headers of the opening handshake (`Host`, `Connection`, `Upgrade`, `Sec-WebSocket-*`) are
    /// refused.
    pub fn header_provider<F, Fut, E>(mut self, provider: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HeaderMap, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.credentials.headers = Some(Provider::new(provider));
        self
    }

    /// Replaces each connection that long before its token expires (the `exp` of the JWT), or at half the token's life if
    /// that is later: the client opens a new connection with a new token, joins its rooms there, and then closes the old one.
    /// [`Event::Connected`](crate::Event::Connected) is reported without a `Disconnected` before it. If the new connection
    /// fails, the client tries again with backoff while the old one lasts. Needs a
    /// [`token_provider`](Self::token_provider) or [`header_provider`](Self::header_provider); tokens that are no JWT are
    /// not refreshed. Default: the server closes the connection when the token expires, and the client reconnects.
    pub fn refresh_before(mut self, expiry: Duration) -> Self {
        self.timing.refresh_before = Some(expiry);
        self
    }

    /// A function that makes the byte stream of each connection: [`dialer`](Self::dialer) with [`Dialer::new`].
    pub fn dial<F, Fut, S>(self, dial: F) -> Self
    where
        F: Fn(Target) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.dialer(Dialer::new(dial))
    }

    /// Makes the byte stream of each connection. Default: TCP, and for `wss://`, with the feature `tls`, TLS that trusts the
    /// certificate authorities of the system.
    pub fn dialer(mut self, dialer: Dialer) -> Self {
        self.dialer = Some(dialer);
        self
    }

    /// The time between attempts: random, up to `base` after the first failure, up to twice as long after each further one,
    /// at most `cap`. It starts afresh when a `message` or an `ack` is received, not when a connection is merely open.
    /// Default: 1 s, 20 s.
    pub fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.limits.backoff = Backoff { base, cap };
        self
    }

    /// Bounds of the silence after which the client gives up a connection and reconnects: 2.5 × the heartbeat that the
    /// server announced, at least `min`, at most `max`. Default: 1 s, 2 min.
    pub fn silence(mut self, min: Duration, max: Duration) -> Self {
        self.timing.silence = (min, max.max(min));
        self
    }

    /// The time for one attempt to connect, from the token to the `welcome`. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.timing.connect = timeout;
        self
    }

    /// The time that a server has for the close handshake. Default: 5 s.
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

    /// The longest message in bytes, encoded, that the server accepts (its `limits.max_message_bytes`): a longer one would
    /// make it close the connection for good, so it is not sent. Default: 64 KiB.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_message_bytes = bytes;
        self
    }

    /// How many events are queued before the client stops reading. At least 1. Default: 64.
    pub fn event_queue(mut self, events: usize) -> Self {
        self.event_queue = events.max(1);
        self
    }

    /// Starts the client. It connects in the background and keeps trying: an unreachable server is reported as an event.
    ///
    /// # Errors
    ///
    /// When the configuration is invalid.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time and I/O enabled.
    pub fn connect(self) -> Result<(Client, Events), BuildError> {
        let user = self.user.as_deref();
        let servers = self.servers.iter().map(|address| Server::parse(address, user)).collect::<Result<Vec<_>, _>>()?;
        if !self.credentials.is_valid() {
            return Err(BuildError::Token);
        }
        if self.timing.refresh_before.is_some() && !self.credentials.are_renewed() {
            return Err(BuildError::NothingToRefresh);
        }
        let dialer = self.dialer.map_or_else(|| default_dialer(&servers), Ok)?;
        let servers = Rotation::new(servers, rand::random_range(0..usize::MAX))?;
        let reconnect = Reconnect::new(self.limits.backoff, self.credentials.are_renewed());
        let shared = Arc::new(Shared::new(Session::new(self.limits, rand::random())));
        let (events, queue) = mpsc::channel(self.event_queue);
        let (done, is_done) = watch::channel(false);
        let (credentials, timing, moving) = (self.credentials, self.timing, reconnect.clone());
        let driver = Driver { shared: Arc::clone(&shared), servers, credentials, dialer, timing, reconnect, moving };
        tokio::spawn(driver.run(events, done));
        let handle = Arc::new(Handle::new(shared, is_done));
        Ok((Client::new(Arc::clone(&handle)), Events::new(queue, handle)))
    }
}

/// TCP, or TLS with the system's certificate authorities where a server needs it.
fn default_dialer(servers: &[Server]) -> Result<Dialer, BuildError> {
    let Some(server) = servers.iter().find(|server| server.target.tls) else { return Ok(Dialer::tcp()) };
    #[cfg(feature = "tls")]
    let dialer = crate::Tls::with_system_roots()
        .map(Dialer::tls)
        .map_err(|source| BuildError::Tls { address: server.uri.to_string(), source });
    #[cfg(not(feature = "tls"))]
    let dialer = Err(BuildError::Server {
        address: server.uri.to_string(),
        problem: "wss:// needs the feature `tls` of chatbox-client, or `Builder::dialer`",
    });
    dialer
}

impl Client {
    /// A builder with the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl std::fmt::Debug for Builder {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("servers", &self.servers).field("user", &self.user).finish_non_exhaustive()
    }
}
