//! `memory:` as a kind of store.

use std::future::ready;
use std::sync::Arc;

use super::MemoryStore;
use crate::{BoxFuture, Inspection, Store, StoreError, backend};

/// Makes a new log each time, so there is nothing to look at.
pub(crate) struct Backend;

impl backend::Backend for Backend {
    fn forms(&self) -> &'static [&'static str] {
        &["memory:"]
    }

    fn check(&self, url: &str) -> Result<String, StoreError> {
        match url {
            "memory:" => Ok(url.to_owned()),
            _ => Err(StoreError::InvalidUrl { problem: "nothing follows memory:" }),
        }
    }

    fn open<'a>(&'a self, _url: &'a str) -> BoxFuture<'a, Result<Arc<dyn Store>, StoreError>> {
        Box::pin(ready(Ok(Arc::new(MemoryStore::new()) as Arc<dyn Store>)))
    }

    fn inspect<'a>(&'a self, _url: &'a str) -> BoxFuture<'a, Result<Inspection, StoreError>> {
        Box::pin(ready(Ok(Inspection::Absent)))
    }

    fn renew_epoch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Arc<str>, StoreError>> {
        Box::pin(ready(Err(StoreError::Absent { store: url.to_owned() })))
    }
}
