//! A check that pings MongoDB.

use std::pin::Pin;
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::doc;
use mongodb::error::{Error, ErrorKind};
use mongodb::options::ClientOptions;

use crate::{BoxError, Check};

/// A check that passes while the primary of a MongoDB deployment answers `{ping: 1}`.
///
/// The ping has no time limit of its own. The timeout of [`Health`](crate::Health) ends it: on a
/// pooled connection the driver waits long for a server that is frozen. The error names only the kind
/// of failure, because the driver's texts contain the addresses of the deployment and can quote a
/// malformed connection string.
#[derive(Clone, Debug)]
pub struct MongoPing {
    client: Client,
}

impl MongoPing {
    /// Pings through the service's own client.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Pings through a separate client that detects failures fast.
    ///
    /// Unless the connection string sets other values, connecting and server selection take at most
    /// 1 s, and the servers are monitored every second, so that the check can name the failure within
    /// its default timeout. Returns without waiting for a server; `mongodb+srv` needs a DNS lookup
    /// first, and the driver's feature `dns-resolver`.
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

/// Why a connection string cannot be used. Neither it nor its sources quote the string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// It is malformed or contradictory, or needs a feature that the driver was built without.
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
