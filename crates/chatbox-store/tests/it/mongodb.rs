//! The MongoDB store: conformance, and what holds with many writers, broken connections and frozen servers.

mod closing;
mod database;
mod epoch;
mod feed;
mod integrity;
mod late;
mod open;
mod proxy;
mod writers;

use std::sync::Arc;

use chatbox_store::{MongoStore, Store};

pub(crate) use self::database::Database;

async fn open() -> Option<(Arc<dyn Store>, Database)> {
    let database = Database::fresh()?;
    let store = MongoStore::open(database.uri()).await.unwrap();
    Some((Arc::new(store), database))
}

chatbox_store::conformance_tests!(open);

#[tokio::test]
async fn a_mongodb_url_opens_the_store() {
    let Some(database) = Database::fresh() else { return };
    let store = chatbox_store::open(&database.uri().parse().unwrap()).await.unwrap();
    assert_eq!(store.name(), "mongodb");
    store.close().await.unwrap();
}
