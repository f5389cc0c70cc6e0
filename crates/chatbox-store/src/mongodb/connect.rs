//! From a connection string to a database that is ready for use.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{
    Acknowledgment, ClientOptions, IndexOptions, ReadConcern, ReadPreference, ReturnDocument, SelectionCriteria,
    WriteConcern,
};
use mongodb::{Client, Database, IndexModel};
use tokio::time::{Instant, sleep, timeout};

use crate::StoreError;

use super::documents::{MESSAGES, META, TICKS};
use super::{TIMEOUT, timed_out};

/// How long the servers may take to be there.
const OPEN: Duration = Duration::from_secs(10);

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// The schema that this code reads and writes.
const VERSION: i64 = 1;

/// How long the tick of a process that is gone stays.
const TICKS_KEPT: Duration = Duration::from_secs(60);

/// Connects, and creates what is not there.
pub(super) async fn connect(uri: &str) -> Result<(Client, Database), StoreError> {
    let options = timeout(OPEN, options(uri)).await.unwrap_or(Err(INVALID))?;
    let servers: Vec<_> = options.hosts.iter().map(ToString::to_string).collect();
    let client = Client::with_options(options).map_err(|_| INVALID)?;
    let database = client.default_database().unwrap_or_else(|| client.database("chatbox"));
    let deadline = Instant::now() + OPEN;
    loop {
        let error = match timeout(TIMEOUT, prepare(&database)).await {
            Ok(Ok(())) => return Ok((client, database)),
            Ok(Err(Unprepared::Failed(error))) => error,
            Ok(Err(Unprepared::Newer { found })) => {
                let database = database.name().to_owned();
                return Err(StoreError::NewerDatabase { database, found, known: VERSION });
            }
            Err(_) => timed_out().into(),
        };
        if Instant::now() > deadline || !is_passing(&error) {
            return Err(StoreError::Connect { servers: servers.join(", "), source: Arc::new(error) });
        }
        sleep(PAUSE).await;
    }
}

/// What the connection string says, and what the log relies on.
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

/// The driver's own words would quote it.
const INVALID: StoreError = StoreError::InvalidUrl { problem: "the MongoDB connection string cannot be used" };

enum Unprepared {
    Failed(Error),
    Newer { found: i64 },
}

impl From<Error> for Unprepared {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// May be done by several processes at once, and any number of times.
async fn prepare(database: &Database) -> Result<(), Unprepared> {
    let hello = database.run_command(doc! { "hello": 1 }).await?;
    if !hello.contains_key("setName") && !hello.get_str("msg").is_ok_and(|router| router == "isdbgrid") {
        return Err(Error::custom("the server is not a member of a replica set").into());
    }
    let schema = database
        .collection::<Document>(META)
        .find_one_and_update(doc! { "_id": "schema" }, doc! { "$setOnInsert": { "version": VERSION } })
        .upsert(true)
        .return_document(ReturnDocument::After)
        .await?;
    let found = schema.and_then(|schema| schema.get_i64("version").ok()).unwrap_or(VERSION);
    if found > VERSION {
        return Err(Unprepared::Newer { found });
    }
    let unique = IndexOptions::builder().unique(true).build();
    let places = doc! { "_id.room": 1, "_id.seq": 1 };
    let ids = doc! { "_id.room": 1, "user": 1, "id": 1 };
    database
        .collection::<Document>(MESSAGES)
        .create_indexes([
            // That of `_id` serves whole documents only: a range within one room is not what it is for.
            IndexModel::builder().keys(places).build(),
            IndexModel::builder().keys(ids).options(unique).build(),
        ])
        .await?;
    let expiring = IndexOptions::builder().expire_after(TICKS_KEPT).build();
    database
        .collection::<Document>(TICKS)
        .create_index(IndexModel::builder().keys(doc! { "at": 1 }).options(expiring).build())
        .await?;
    Ok(())
}

/// Whether it is worth while to try again: when a server has yet to come, or one of them to become primary, or another
/// process was first to write what both found missing.
fn is_passing(error: &Error) -> bool {
    const PASSING: [i32; 7] = [91, 189, 10107, 11000, 11600, 11602, 13435];
    match &*error.kind {
        ErrorKind::Io(_) | ErrorKind::ServerSelection { .. } | ErrorKind::ConnectionPoolCleared { .. } => true,
        ErrorKind::Command(command) => PASSING.contains(&command.code),
        _ => false,
    }
}
