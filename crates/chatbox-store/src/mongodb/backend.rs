//! `mongodb:` and `mongodb+srv:` as a kind of store.

use std::sync::Arc;

use mongodb::options::{ConnectionString, HostInfo};

use super::{MongoStore, connect, schema};
use crate::{BoxFuture, Inspection, Store, StoreError, backend};

/// Databases on servers.
pub(crate) struct Backend;

impl backend::Backend for Backend {
    fn forms(&self) -> &'static [&'static str] {
        if cfg!(feature = "mongodb-srv") {
            &["mongodb://SERVERS", "mongodb+srv://NAME"]
        } else {
            &["mongodb://SERVERS"]
        }
    }

    fn check(&self, url: &str) -> Result<String, StoreError> {
        let parsed = ConnectionString::parse(url).map_err(|_| connect::INVALID)?;
        let (scheme, servers) = match parsed.host_info {
            HostInfo::HostIdentifiers(servers) => {
                ("mongodb", servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
            }
            HostInfo::DnsRecord(name) => ("mongodb+srv", name),
            _ => return Err(connect::INVALID),
        };
        let database = parsed.default_database.unwrap_or_else(|| connect::DATABASE.to_owned());
        // An `@` behind the `?` may be that of credentials, whose password has a `?` that is not escaped.
        let servers = if url.split_once('?').is_some_and(|(_, rest)| rest.contains('@')) { "***" } else { &servers };
        Ok(format!("{scheme}://{servers}/{database}"))
    }

    fn open<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Arc<dyn Store>, StoreError>> {
        Box::pin(async move { Ok(Arc::new(MongoStore::open(url).await?) as Arc<dyn Store>) })
    }

    fn inspect<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Inspection, StoreError>> {
        Box::pin(async move {
            let connection = connect::connect(url).await?;
            let found = connection.insist(schema::inspect).await?;
            connection.client.shutdown().immediate(true).await;
            Ok(found.map_or(Inspection::Absent, |epoch| Inspection::Available { epoch }))
        })
    }

    fn renew_epoch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Arc<str>, StoreError>> {
        Box::pin(async move {
            let connection = connect::connect(url).await?;
            let renewed = connection.insist(schema::renew_epoch).await?;
            connection.client.shutdown().immediate(true).await;
            renewed.map_or_else(|| Err(StoreError::Absent { store: self.check(url)? }), Ok)
        })
    }
}
