//! The collections and indexes that the log relies on, and its epoch.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::try_join4;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::{IndexOptions, ReturnDocument};
use mongodb::{Collection, Database, IndexModel};

use super::documents::{MESSAGES, META, Position, TICKS};
use crate::epoch;

/// The version of the schema that this code reads and writes. Fields that older code does not read, like the epoch, come
/// without a new version: replicas of two versions share the database during a rollout.
pub(super) const VERSION: i64 = 1;

/// How long the tick of a process that has ended stays.
const TICKS_KEPT: Duration = Duration::from_secs(60);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Failed(#[from] mongodb::error::Error),
    #[error("the database has schema version {found}, this program knows versions up to {VERSION}")]
    Newer { found: i64 },
    #[error(transparent)]
    Duplicate(#[from] Duplicate),
}

/// A message that is stored more than once, which keeps the unique index from being created.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "message `{id}` of user `{user}` in room `{room}` is stored more than once (seq {seqs}): remove all but the first, \
     and likewise for other messages"
)]
pub(super) struct Duplicate {
    pub(super) room: String,
    pub(super) user: String,
    pub(super) id: String,
    pub(super) seqs: String,
}

/// A database in which everything is there.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) epoch: Arc<str>,
    /// The server's clock, in milliseconds since the Unix epoch.
    pub(super) server_ms: i64,
}

/// The keys of the index that makes room, user and id unique.
fn id_keys() -> Document {
    doc! { "_id.room": 1, "user": 1, "id": 1 }
}

fn position_keys() -> Document {
    doc! { "_id.room": 1, "_id.seq": 1 }
}

/// Looks at everything that the log relies on, and creates what is missing. Several processes may do so at once, any number of
/// times. If all is there, it only reads.
pub(super) async fn prepare(database: &Database) -> Result<Prepared, Error> {
    let (schema, messages) = (meta(database), database.collection(MESSAGES));
    let (hello, schema, mut collection, indexes) = try_join4(
        database.run_command(doc! { "hello": 1 }).into_future(),
        schema.find_one(doc! { "_id": "schema" }).into_future(),
        collection_id(database),
        indexes(&messages),
    )
    .await?;
    check_server(&hello)?;
    schema.as_ref().map_or(Ok(()), check_version)?;
    if !has(&indexes, &id_keys(), true) || !has(&indexes, &position_keys(), false) {
        create_indexes(database).await?;
        collection = collection_id(database).await?;
    }
    let known = schema.filter(|schema| is_same(schema, &collection)).and_then(|schema| epoch_of(&schema));
    let epoch = match known {
        Some(epoch) => epoch,
        None => ensure_epoch(database, &collection).await?,
    };
    let server_ms = hello.get_datetime("localTime").map(|time| time.timestamp_millis());
    Ok(Prepared { epoch, server_ms: server_ms.map_err(|_| custom("the server does not say what time it is"))? })
}

/// Whether the collection has the index that makes ids unique.
pub(super) async fn has_unique_ids(messages: &Collection<Document>) -> mongodb::error::Result<bool> {
    Ok(has(&indexes(messages).await?, &id_keys(), true))
}

fn has(indexes: &[(Document, bool)], keys: &Document, unique: bool) -> bool {
    indexes.iter().any(|(found, is_unique)| found == keys && (*is_unique || !unique))
}

/// The log's epoch, if there is a log; `Some(None)` if it was made by a version without epochs. Writes nothing.
pub(super) async fn inspect(database: &Database) -> Result<Option<Option<Arc<str>>>, Error> {
    check_server(&database.run_command(doc! { "hello": 1 }).await?)?;
    let Some(schema) = meta(database).find_one(doc! { "_id": "schema" }).await? else { return Ok(None) };
    check_version(&schema)?;
    Ok(Some(epoch_of(&schema)))
}

/// Gives the log a new epoch and returns it; `None` if there is no log.
pub(super) async fn renew_epoch(database: &Database) -> Result<Option<Arc<str>>, Error> {
    if inspect(database).await?.is_none() {
        return Ok(None);
    }
    let epoch = epoch::generate();
    // Recorded together: else a running process would find another collection, and renew the epoch once more.
    let set = doc! { "epoch": &*epoch, "messages": collection_id(database).await? };
    meta(database).update_one(doc! { "_id": "schema" }, doc! { "$set": set }).await?;
    Ok(Some(epoch))
}

/// Refuses a server without change streams.
fn check_server(hello: &Document) -> Result<(), Error> {
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

/// Whether the epoch was given to this very collection, as far as the server distinguishes collections.
fn is_same(schema: &Document, collection: &Bson) -> bool {
    schema.get("messages").is_some_and(|recorded| recorded == collection) || *collection == Bson::Null
}

/// The log's epoch. A new one if there is none, or if the collection is not the one to which it was given: that was dropped
/// since, or renamed, or restored from a backup. Among several processes the first one decides.
async fn ensure_epoch(database: &Database, collection: &Bson) -> Result<Arc<str>, Error> {
    const TRIES: usize = 5;
    let meta = meta(database);
    for _ in 0..TRIES {
        let first = doc! { "version": VERSION, "epoch": &*epoch::generate(), "messages": collection };
        let schema = meta
            .find_one_and_update(doc! { "_id": "schema" }, doc! { "$setOnInsert": first })
            .upsert(true)
            .return_document(ReturnDocument::After)
            .await?
            .ok_or_else(|| custom("an upserted document is missing"))?;
        check_version(&schema)?;
        let known = epoch_of(&schema);
        if let Some(epoch) = known.clone().filter(|_| is_same(&schema, collection)) {
            return Ok(epoch);
        }
        let field = |name| schema.get(name).cloned().unwrap_or(Bson::Null);
        let unchanged = doc! { "_id": "schema", "epoch": field("epoch"), "messages": field("messages") };
        // A version that records no collection may have made the epoch.
        let keep = known.filter(|_| field("messages") == Bson::Null);
        let set = doc! { "epoch": &*keep.unwrap_or_else(epoch::generate), "messages": collection };
        meta.update_one(unchanged, doc! { "$set": set }).await?;
    }
    Err(custom("the epoch is being changed again and again"))
}

/// What the server calls the collection of messages, whatever its name: another one after it was dropped and made again.
/// `Null` if there is none, or if the server does not say.
async fn collection_id(database: &Database) -> mongodb::error::Result<Bson> {
    let found: Vec<_> = database.list_collections().filter(doc! { "name": MESSAGES }).await?.try_collect().await?;
    let id = found.into_iter().next().and_then(|collection| collection.info.uuid);
    Ok(id.map_or(Bson::Null, Bson::Binary))
}

/// The indexes of the collection of messages: their keys, and whether they are unique.
async fn indexes(messages: &Collection<Document>) -> mongodb::error::Result<Vec<(Document, bool)>> {
    const NAMESPACE_NOT_FOUND: i32 = 26;
    let found = match messages.list_indexes().await {
        Ok(found) => found.try_collect::<Vec<_>>().await?,
        Err(error) if matches!(&*error.kind, ErrorKind::Command(error) if error.code == NAMESPACE_NOT_FOUND) => vec![],
        Err(error) => return Err(error),
    };
    let is_unique = |options: Option<IndexOptions>| {
        options.is_some_and(|options| options.unique == Some(true) && options.partial_filter_expression.is_none())
    };
    Ok(found.into_iter().map(|index| (index.keys, is_unique(index.options))).collect())
}

async fn create_indexes(database: &Database) -> Result<(), Error> {
    let unique = IndexOptions::builder().unique(true).build();
    let created = database
        .collection::<Document>(MESSAGES)
        .create_indexes([
            // The index of `_id` serves whole documents only, not a range within one room.
            IndexModel::builder().keys(position_keys()).build(),
            IndexModel::builder().keys(id_keys()).options(unique).build(),
        ])
        .await;
    if let Err(error) = created {
        return Err(match find_duplicate(database).await? {
            Some(duplicate) => duplicate.into(),
            None => error.into(),
        });
    }
    let expiring = IndexOptions::builder().expire_after(TICKS_KEPT).build();
    database
        .collection::<Document>(TICKS)
        .create_index(IndexModel::builder().keys(doc! { "at": 1 }).options(expiring).build())
        .await?;
    Ok(())
}

/// A message that is stored more than once, if there is one.
async fn find_duplicate(database: &Database) -> mongodb::error::Result<Option<Duplicate>> {
    let by_id = doc! { "room": "$_id.room", "user": "$user", "id": "$id" };
    let stages = [
        doc! { "$group": { "_id": by_id, "positions": { "$push": "$_id" }, "count": { "$sum": 1 } } },
        doc! { "$match": { "count": { "$gt": 1 } } },
        doc! { "$limit": 1 },
    ];
    let found = database.collection::<Document>(MESSAGES).aggregate(stages).await?.try_next().await?;
    let Some(found) = found else { return Ok(None) };
    let text = |name| {
        let value = found.get_document("_id").ok().and_then(|group| group.get_str(name).ok());
        value.unwrap_or_default().to_owned()
    };
    let mut seqs: Vec<i64> = found
        .get_array("positions")
        .into_iter()
        .flatten()
        .filter_map(|position| mongodb::bson::deserialize_from_bson::<Position>(position.clone()).ok())
        .map(|position| position.seq)
        .collect();
    seqs.sort_unstable();
    let seqs = seqs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Ok(Some(Duplicate { room: text("room"), user: text("user"), id: text("id"), seqs }))
}

fn meta(database: &Database) -> Collection<Document> {
    database.collection(META)
}

fn custom(problem: &'static str) -> Error {
    Error::Failed(mongodb::error::Error::custom(problem))
}
