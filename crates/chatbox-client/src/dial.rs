//! The byte stream under the WebSocket: TCP, TLS, or whatever the application makes.

use http::Uri;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The address of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// A name or an IP address; an IPv6 address without brackets.
    pub host: String,
    /// The port; 80 or 443 where the URL has none.
    pub port: u16,
    /// Whether the stream is to be TLS (`wss://`, `https://`), with a certificate for `host`.
    pub tls: bool,
}

impl Target {
    /// The target of a URL; `None` unless its scheme is `ws`, `http`, `wss` or `https` and it has a host.
    #[must_use]
    pub fn from_uri(uri: &Uri) -> Option<Self> {
        let tls = match uri.scheme_str() {
            Some("ws" | "http") => false,
            Some("wss" | "https") => true,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?;
        // An IPv6 address has brackets in a URL only.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Some(Self { host, port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }), tls })
    }
}

/// Makes the byte stream of each connection.
///
/// [`Dialer::tcp`] is the default. With the feature `tls` there is [`Dialer::tls`]; [`Dialer::new`] takes a function: for
/// other TLS libraries, Unix sockets, proxies and tests.
#[derive(Clone)]
pub struct Dialer(Arc<dyn Fn(Target) -> Dialing + Send + Sync>);

/// A byte stream made by a [`Dialer`].
pub struct Stream(Box<dyn Io>);

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

type Dialing = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

impl Dialer {
    /// A dialer that calls a function for each connection.
    pub fn new<F, Fut, S>(dial: F) -> Self
    where
        F: Fn(Target) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self::streams(move |target| {
            let dialing = dial(target);
            async move { Ok(Stream::new(dialing.await?)) }
        })
    }

    /// As [`new`](Self::new), for streams of several types.
    pub(crate) fn streams<F, Fut>(dial: F) -> Self
    where
        F: Fn(Target) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<Stream>> + Send + 'static,
    {
        Self(Arc::new(move |target| Box::pin(dial(target))))
    }

    /// Plain TCP. A target that asks for TLS fails.
    #[must_use]
    pub fn tcp() -> Self {
        Self::new(|target| async move {
            if target.tls {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "this dialer has no TLS"));
            }
            connect(&target).await
        })
    }

    /// Connects. Cancel safe: dropping the future closes what was opened.
    ///
    /// # Errors
    ///
    /// When there is no connection, or the TLS handshake fails.
    pub async fn dial(&self, target: Target) -> io::Result<Stream> {
        (self.0)(target).await
    }
}

impl Stream {
    pub(crate) fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Box::new(stream))
    }
}

/// A TCP connection.
pub(crate) async fn connect(target: &Target) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((&*target.host, target.port)).await?;
    // Messages are small and written together: holding them back gains nothing.
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
