//! From a URL to a store.

use std::sync::Arc;

use crate::{MemoryStore, SqliteStore, Store, StoreError};

/// Opens the store that a URL names: `sqlite:PATH`, `memory:` or, with the feature `mongodb`, a
/// MongoDB connection string (`mongodb+srv:` needs the feature `mongodb-srv`).
///
/// `sqlite://PATH` is the same as `sqlite:PATH`, so an absolute path has three slashes there.
/// To be called within a tokio runtime.
///
/// # Errors
///
/// When the URL is none of these, and for every reason for which the backend does not open. No
/// error repeats the URL, which may hold a password; paths are told.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    let invalid = |problem| Err(StoreError::InvalidUrl { problem });
    let Some((scheme, rest)) = url.split_once(':') else {
        return invalid("it has no scheme, like sqlite: in sqlite:PATH");
    };
    match scheme {
        "sqlite" => match rest.strip_prefix("//").unwrap_or(rest) {
            "" => invalid("a path follows sqlite:"),
            path => Ok(Arc::new(SqliteStore::open(path).await?)),
        },
        "memory" if rest.is_empty() => Ok(Arc::new(MemoryStore::new())),
        "memory" => invalid("nothing follows memory:"),
        #[cfg(feature = "mongodb")]
        "mongodb" | "mongodb+srv" if scheme == "mongodb" || cfg!(feature = "mongodb-srv") => {
            Ok(Arc::new(crate::MongoStore::open(url).await?))
        }
        "mongodb+srv" if cfg!(feature = "mongodb") => Err(StoreError::NotBuiltIn { backend: "mongodb+srv" }),
        "mongodb" | "mongodb+srv" => Err(StoreError::NotBuiltIn { backend: "mongodb" }),
        _ if is_scheme(scheme) => Err(StoreError::UnknownScheme { scheme: scheme.to_owned() }),
        _ => invalid("it does not begin with a scheme, like sqlite: in sqlite:PATH"),
    }
}

/// As RFC 3986 section 3.1 has it. What is none may be anything, a password too.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}
