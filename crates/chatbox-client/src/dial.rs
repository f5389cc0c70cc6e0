//! The byte stream under the WebSocket: TCP, or whatever the application brings.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Where a connection is to go: what [`Builder::dial`](crate::Builder::dial) is given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// The port; 80 or 443 where the address named none.
    pub port: u16,
    /// The address began with `wss://` or `https://`: the stream is to be TLS, and the certificate `host`'s.
    pub tls: bool,
}

/// What a WebSocket can run over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

/// Makes byte streams.
#[derive(Clone)]
pub(crate) struct Dialer(Arc<dyn Fn(Target) -> Dialing + Send + Sync>);

type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

impl Dialer {
    pub(crate) fn new<F, Fut, S>(dial: F) -> Self
    where
        F: Fn(Target) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        Self(Arc::new(move |target| {
            let dialing = dial(target);
            Box::pin(async move { Ok(Box::new(dialing.await?) as Box<dyn Io>) })
        }))
    }

    pub(crate) fn tcp() -> Self {
        Self::new(|target| async move {
            let stream = TcpStream::connect((&*target.host, target.port)).await?;
            // Messages are small and written together: nothing is gained by holding them back.
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }

    pub(crate) fn dial(&self, target: Target) -> Dialing {
        (self.0)(target)
    }
}
