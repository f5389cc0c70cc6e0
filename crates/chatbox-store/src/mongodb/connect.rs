//! Connecting to the servers that a connection string names.

use std::sync::Arc;
use std::time::Duration;

use mongodb::error::{Error, ErrorKind};
use mongodb::options::{Acknowledgment, ClientOptions, ReadConcern, ReadPreference, SelectionCriteria, WriteConcern};
use mongodb::{Client, Database};
use tokio::time::{Instant, sleep, timeout};

use crate::StoreError;

use super::schema::{self, VERSION};
use super::{TIMEOUT, timed_out};

/// The database of a connection string that names none.
pub(super) const DATABASE: &str = "chatbox";

/// How long the servers may take to be there.
const OPEN: Duration = Duration::from_secs(10);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// A client, and the database that the connection string names (`chatbox` if it names none).
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) database: Database,
    /// The names and ports of the servers.
    servers: String,
}

/// Parses the connection string. Connects in the background.
pub(super) async fn connect(uri: &str) -> Result<Connection, StoreError> {
    let options = timeout(OPEN, options(uri)).await.unwrap_or(Err(INVALID))?;
    let servers: Vec<_> = options.hosts.iter().map(ToString::to_string).collect();
    let client = Client::with_options(options).map_err(|_| INVALID)?;
    let database = client.default_database().unwrap_or_else(|| client.database(DATABASE));
    Ok(Connection { client, database, servers: servers.join(", ") })
}

impl Connection {
    /// Runs a request until it succeeds or is refused, as long as the servers may take to be there.
    pub(super) async fn insist<T>(
        &self,
        request: impl AsyncFn(&Database) -> Result<T, schema::Error>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + OPEN;
        loop {
            let error = match timeout(TIMEOUT, request(&self.database)).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(schema::Error::Newer { found })) => {
                    let database = self.database.name().to_owned();
                    return Err(StoreError::NewerDatabase { database, found, known: VERSION });
                }
                Ok(Err(schema::Error::Duplicate(schema::Duplicate { room, user, id, seqs }))) => {
                    let database = self.database.name().to_owned();
                    return Err(StoreError::Duplicates { database, room, user, id, seqs });
                }
                Ok(Err(schema::Error::Failed(error))) => error,
                Err(_) => timed_out().into(),
            };
            let passing = is_passing(&error);
            if passing && Instant::now() <= deadline {
                sleep(PAUSE).await;
                continue;
            }
            let (servers, source) = (self.servers.clone(), Arc::new(error));
            return Err(if passing {
                StoreError::Unreachable { servers, source }
            } else {
                StoreError::Refused { servers, source }
            });
        }
    }
}

/// The options of the connection string, and those that the log relies on.
async fn options(uri: &str) -> Result<ClientOptions, StoreError> {
    let second = Duration::from_secs(1);
    let mut options = ClientOptions::parse(uri).await.map_err(|_| INVALID)?;
    options.app_name.get_or_insert_with(|| "chatbox".to_owned());
    options.connect_timeout.get_or_insert(second);
    options.server_selection_timeout.get_or_insert(second);
    options.heartbeat_freq.get_or_insert(second);
    options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).build());
    options.read_concern = Some(ReadConcern::majority());
    options.selection_criteria = Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
    Ok(options)
}

/// The driver's own error would quote the connection string.
pub(super) const INVALID: StoreError =
    StoreError::InvalidUrl { problem: "the MongoDB connection string cannot be used" };

/// Whether a later attempt may succeed: a server has yet to start or to become primary, or another process was first to write
/// what both found missing.
pub(super) fn is_passing(error: &Error) -> bool {
    const PASSING: [i32; 7] = [91, 189, 10107, 11000, 11600, 11602, 13435];
    match &*error.kind {
        ErrorKind::Io(_) | ErrorKind::ServerSelection { .. } | ErrorKind::ConnectionPoolCleared { .. } => true,
        ErrorKind::Command(command) => PASSING.contains(&command.code),
        _ => false,
    }
}
