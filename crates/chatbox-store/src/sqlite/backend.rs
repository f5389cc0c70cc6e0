//! `sqlite:PATH` as a kind of store.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{SqliteStore, file, inspect, unavailable};
use crate::{BoxFuture, Inspection, Store, StoreError, backend};

/// Files on this machine.
pub(crate) struct Backend;

impl backend::Backend for Backend {
    fn forms(&self) -> &'static [&'static str] {
        &["sqlite:PATH"]
    }

    fn check(&self, url: &str) -> Result<String, StoreError> {
        match path(url).as_os_str().is_empty() {
            true => Err(StoreError::InvalidUrl { problem: "a path follows sqlite:" }),
            false => Ok(url.to_owned()),
        }
    }

    fn open<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Arc<dyn Store>, StoreError>> {
        Box::pin(async move { Ok(Arc::new(SqliteStore::open(path(url)).await?) as Arc<dyn Store>) })
    }

    fn inspect<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Inspection, StoreError>> {
        Box::pin(async move {
            let path = path(url);
            spawn_blocking(move || inspect::inspect(&path)).await.map_err(unavailable)?
        })
    }

    fn renew_epoch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Arc<str>, StoreError>> {
        Box::pin(async move {
            let path = path(url);
            spawn_blocking(move || file::renew_epoch(&path)).await.map_err(unavailable)?
        })
    }
}

fn path(url: &str) -> PathBuf {
    let path = url.strip_prefix("sqlite:").unwrap_or(url);
    path.strip_prefix("//").unwrap_or(path).into()
}
