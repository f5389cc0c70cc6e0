//! The upgrade of an axum request to a session.

use crate::handler::Handler;
use crate::handshake::{self, Rejection};
use crate::settings::Expiry;
use crate::transport::Transport;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use chatbox_core::{Connection, Lease};
use fastwebsockets::upgrade::UpgradeFut;
use http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::net::TcpStream;

/// Bytes that the kernel queues for a peer beside those in flight. Without a bound it accepts megabytes for a peer that reads slowly, and
/// reports no progress before a third of that is read.
const UNSENT: u32 = 128 * 1024;

/// A request that passed every check of the opening handshake (RFC 6455 section 4.2.1), not yet answered.
///
/// As an axum extractor it rejects a request that is not a valid upgrade with 400 or 426. The application decides between extraction and
/// [`serve`](Self::serve) whether to admit the client.
pub struct Upgrade {
    response: Response,
    upgraded: UpgradeFut,
    offered: Vec<Box<str>>,
    expiry: Option<Expiry>,
}

impl Upgrade {
    /// Checks the head of a request, and takes the connection out of its extensions.
    ///
    /// # Errors
    /// The first [`Rejection`] that applies.
    pub fn from_parts(parts: &mut Parts) -> Result<Self, Rejection> {
        handshake::check(parts)?;
        let on_upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>().ok_or(Rejection::NotUpgradable)?;
        // Header values are slices of the connection's read buffer: keeping one would keep all of it.
        let offered = handshake::offered(&parts.headers).map(Box::from).collect();
        let mut request = http::Request::new(());
        for name in [http::header::SEC_WEBSOCKET_KEY, http::header::SEC_WEBSOCKET_VERSION] {
            if let Some(value) = parts.headers.remove(&name) {
                request.headers_mut().insert(name, value);
            }
        }
        request.extensions_mut().insert(on_upgrade);
        let (response, upgraded) =
            fastwebsockets::upgrade::upgrade(&mut request).map_err(|_| Rejection::NotUpgradable)?;
        Ok(Self { response: response.map(Body::new), upgraded, offered, expiry: None })
    }

    /// The subprotocols that the client offers, in its order of preference.
    pub fn offered(&self) -> impl Iterator<Item = &str> {
        self.offered.iter().map(AsRef::as_ref)
    }

    /// Selects a subprotocol if the client offers it (section 4.2.2, item 5.5); otherwise none is selected.
    #[must_use]
    pub fn with_protocol(mut self, protocol: &'static str) -> Self {
        if self.offered().any(|offered| offered == protocol) {
            self.response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        self
    }

    /// Sets the time after which the connection is closed in any case; `None` for no such time.
    #[must_use]
    pub fn expiring(mut self, expiry: Option<Expiry>) -> Self {
        self.expiry = expiry;
        self
    }

    /// Answers 101 and serves the connection in a task of its own. The `lease` is taken before, so that a drain includes the
    /// connection from before its 101; `handler` is called when the connection is established.
    pub fn serve<H: Handler>(
        self,
        transport: &Transport,
        mut lease: Lease,
        handler: impl FnOnce(&Arc<Connection>) -> H + Send + 'static,
    ) -> Response {
        let transport = transport.clone();
        tokio::spawn(async move {
            let Some(upgraded) = until_cut(&mut lease, self.upgraded).await else { return };
            let handler = handler(lease.connection());
            // This task ends here; the session's task holds nothing of the HTTP connection but the socket.
            match upgraded.downcast::<TokioIo<TcpStream>>() {
                Ok(parts) => {
                    let io = parts.io.into_inner();
                    bound_unsent(&io);
                    tokio::spawn(transport.serve(io, parts.read_buf, lease, handler, self.expiry));
                }
                Err(upgraded) => {
                    let io = TokioIo::new(upgraded);
                    tokio::spawn(transport.serve(io, bytes::Bytes::new(), lease, handler, self.expiry));
                }
            }
        });
        self.response
    }
}

fn bound_unsent(stream: &TcpStream) {
    // Without this option the kernel's own limit applies.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}

/// Waits for the 101 to be written; gives up when that fails or the connection is cut.
async fn until_cut(lease: &mut Lease, upgraded: UpgradeFut) -> Option<Upgraded> {
    let mut upgraded = pin!(upgraded);
    poll_fn(|cx| {
        lease.register(cx.waker());
        if lease.command() == chatbox_core::Command::Cut {
            return Poll::Ready(None);
        }
        upgraded.as_mut().poll(cx).map(|upgraded| upgraded.ok().map(|socket| socket.into_inner().into_inner()))
    })
    .await
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        Self::from_parts(parts).map_err(IntoResponse::into_response)
    }
}

impl std::fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upgrade").field("offered", &self.offered).field("expiry", &self.expiry).finish_non_exhaustive()
    }
}
