//! The collections and indexes that the log relies on, and its epoch.

use std::sync::Arc;
use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::{IndexOptions, ReturnDocument};
use mongodb::{Collection, Database, IndexModel};

use super::documents::{MESSAGES, META, TICKS};
use crate::epoch;

/// The version of the schema that this code reads and writes. Fields that older code does not read, like the epoch, come
/// without a new version: replicas of two versions share the database during a rollout.
pub(super) const VERSION: i64 = 1;

/// How long the tick of a process that has ended stays.
const TICKS_KEPT: Duration = Duration::from_secs(60);

/// Why a database cannot be used.
pub(super) enum Error {
    Failed(mongodb::error::Error),
    /// The version of the schema in it.
    Newer {
        found: i64,
    },
}

impl From<mongodb::error::Error> for Error {
    fn from(error: mongodb::error::Error) -> Self {
        Self::Failed(error)
    }
}

/// Creates what is missing, and returns the log's epoch. Several processes may do so at once, any number of times.
pub(super) async fn prepare(database: &Database) -> Result<Arc<str>, Error> {
    check_server(database).await?;
    let epoch = ensure_epoch(database).await?;
    ensure_indexes(database).await?;
    Ok(epoch)
}

/// The log's epoch, if there is a log; `Some(None)` if it was made by a version without epochs. Writes nothing.
pub(super) async fn inspect(database: &Database) -> Result<Option<Option<Arc<str>>>, Error> {
    check_server(database).await?;
    let Some(schema) = meta(database).find_one(doc! { "_id": "schema" }).await? else { return Ok(None) };
    check_version(&schema)?;
    Ok(Some(epoch_of(&schema)))
}

/// Gives the log a new epoch and returns it; `None` if there is no log.
pub(super) async fn renew_epoch(database: &Database) -> Result<Option<Arc<str>>, Error> {
    if inspect(database).await?.is_none() {
        return Ok(None);
    }
    let epoch = epoch::new();
    meta(database).update_one(doc! { "_id": "schema" }, doc! { "$set": { "epoch": &*epoch } }).await?;
    Ok(Some(epoch))
}

/// Refuses a server without change streams.
async fn check_server(database: &Database) -> Result<(), Error> {
    let hello = database.run_command(doc! { "hello": 1 }).await?;
    let shares = hello.contains_key("setName") || hello.get_str("msg").is_ok_and(|router| router == "isdbgrid");
    if shares { Ok(()) } else { Err(custom("the server is not a member of a replica set")) }
}

fn check_version(schema: &Document) -> Result<(), Error> {
    let found = schema.get_i64("version").unwrap_or(VERSION);
    if found > VERSION { Err(Error::Newer { found }) } else { Ok(()) }
}

fn epoch_of(schema: &Document) -> Option<Arc<str>> {
    schema.get_str("epoch").ok().filter(|epoch| epoch::is_valid(epoch)).map(Into::into)
}

async fn ensure_epoch(database: &Database) -> Result<Arc<str>, Error> {
    let meta = meta(database);
    let schema = meta
        .find_one_and_update(
            doc! { "_id": "schema" },
            doc! { "$setOnInsert": { "version": VERSION, "epoch": &*epoch::new() } },
        )
        .upsert(true)
        .return_document(ReturnDocument::After)
        .await?
        .ok_or_else(|| custom("an upserted document is missing"))?;
    check_version(&schema)?;
    if let Some(epoch) = epoch_of(&schema) {
        return Ok(epoch);
    }
    // Made by a version without epochs. Another process may be doing the same: the first one decides.
    let before = schema.get("epoch").cloned().unwrap_or(mongodb::bson::Bson::Null);
    let filter = doc! { "_id": "schema", "epoch": before };
    meta.update_one(filter, doc! { "$set": { "epoch": &*epoch::new() } }).await?;
    let schema = meta.find_one(doc! { "_id": "schema" }).await?;
    schema.as_ref().and_then(epoch_of).ok_or_else(|| custom("the epoch that was just stored is missing"))
}

async fn ensure_indexes(database: &Database) -> Result<(), Error> {
    let unique = IndexOptions::builder().unique(true).build();
    let positions = doc! { "_id.room": 1, "_id.seq": 1 };
    let ids = doc! { "_id.room": 1, "user": 1, "id": 1 };
    database
        .collection::<Document>(MESSAGES)
        .create_indexes([
            // The index of `_id` serves whole documents only, not a range within one room.
            IndexModel::builder().keys(positions).build(),
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

fn meta(database: &Database) -> Collection<Document> {
    database.collection(META)
}

fn custom(problem: &'static str) -> Error {
    Error::Failed(mongodb::error::Error::custom(problem))
}
