//! A check that pings MongoDB.

use std::pin::Pin;
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::doc;
use mongodb::error::{Error, ErrorKind};
use mongodb::options::ClientOptions;

use crate::{BoxError, Check};

/// Passes while the primary of a MongoDB deployment answers `{ping: 1}`.
///
/// The ping has no time limit of its own; the one of [`Health`](crate::Health) ends it, which
/// matters: on a pooled connection the driver would wait for a frozen server for a long time.
/// The errors say what kind of failure it was and nothing else: the driver's own texts name the
/// members of the deployment, and can quote a malformed connection string.
#[derive(Clone, Debug)]
pub struct MongoPing {
    client: Client,
}

impl MongoPing {
    /// Pings through a client that the service has anyway.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Pings through a client of its own that notices failures fast: where the connection string
    /// sets nothing else, connecting and selecting a server take at most 1 s, and the members are
    /// looked at every second. That lets the check name the failure within its default timeout.
    ///
    /// Returns without waiting for a server. `mongodb+srv` is looked up in the DNS first; it needs
    /// the driver's feature `dns-resolver`.
    ///
    /// # Errors
    ///
    /// When the connection string cannot be used.
    pub async fn connect(uri: &str) -> Result<Self, ConnectError> {
        let second = Duration::from_secs(1);
        let mut options = ClientOptions::parse(uri).await?;
        options.connect_timeout.get_or_insert(second);
        options.server_selection_timeout.get_or_insert(second);
        options.heartbeat_freq.get_or_insert(second);
        Ok(Self::new(Client::with_options(options)?))
    }
}

impl Check for MongoPing {
    fn check(&self) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + '_>> {
        Box::pin(async {
            let admin = self.client.database("admin");
            match admin.run_command(doc! { "ping": 1 }).await {
                Ok(_) => Ok(()),
                Err(error) => Err(failure(&error).into()),
            }
        })
    }
}

/// Why a connection string cannot be used. Quotes no part of it, and has no source that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// It is malformed, or contradicts itself, or asks for what the driver was built without.
    #[error("the MongoDB connection string is not valid")]
    InvalidUri,
    /// The name in a `mongodb+srv` string was not found in the DNS.
    #[error("the MongoDB host name could not be looked up")]
    Lookup,
}

impl From<Error> for ConnectError {
    fn from(error: Error) -> Self {
        match *error.kind {
            ErrorKind::DnsResolve { .. } => Self::Lookup,
            _ => Self::InvalidUri,
        }
    }
}

fn failure(error: &Error) -> &'static str {
    match *error.kind {
        ErrorKind::ServerSelection { .. } => "no reachable server",
        ErrorKind::Authentication { .. } => "authentication failed",
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. } => "connection failed",
        ErrorKind::Command(_) => "ping refused",
        ErrorKind::Shutdown => "client has been shut down",
        _ => "ping failed",
    }
}
