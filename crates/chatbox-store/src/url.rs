//! A parsed store URL.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::backend::{BACKENDS, Backend, NOT_BUILT_IN};
use crate::{Store, StoreError};

/// The URL of a store, checked: `sqlite:PATH`, `memory:` or, with the feature `mongodb`, a MongoDB connection string
/// (`mongodb+srv:` needs the feature `mongodb-srv`).
///
/// `sqlite://PATH` is the same as `sqlite:PATH`, so an absolute path has three slashes there. `Display` and `Debug` show
/// neither credentials nor options.
///
/// ```
/// let url: chatbox_store::StoreUrl = "sqlite:chat.db".parse()?;
/// assert_eq!((url.scheme(), url.to_string()), ("sqlite", "sqlite:chat.db".to_owned()));
/// # Ok::<(), chatbox_store::StoreError>(())
/// ```
#[derive(Clone)]
pub struct StoreUrl {
    backend: &'static dyn Backend,
    text: Box<str>,
    redacted: Box<str>,
}

/// Opens the store that a URL names. Must be called within a tokio runtime.
///
/// # Errors
///
/// Every reason for which the backend does not open. No error repeats the URL, which may hold a password; paths and server
/// names are shown.
pub async fn open(url: &StoreUrl) -> Result<Arc<dyn Store>, StoreError> {
    url.backend.open(&url.text).await
}

impl StoreUrl {
    /// What stands before the first colon.
    #[must_use]
    pub fn scheme(&self) -> &str {
        scheme(&self.text)
    }

    /// The URL as it was given, which may hold a password.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    pub(crate) fn backend(&self) -> &'static dyn Backend {
        self.backend
    }
}

impl FromStr for StoreUrl {
    type Err = StoreError;

    /// # Errors
    ///
    /// [`StoreError::InvalidUrl`], [`StoreError::UnknownScheme`] and [`StoreError::NotBuiltIn`]. None repeats the URL.
    fn from_str(text: &str) -> Result<Self, StoreError> {
        let Some((name, _)) = text.split_once(':') else {
            return Err(StoreError::InvalidUrl { problem: "it has no scheme, like sqlite: in sqlite:PATH" });
        };
        let named = |backend: &&&dyn Backend| backend.forms().iter().any(|form| scheme(form) == name);
        if let Some((_, feature)) = NOT_BUILT_IN.iter().find(|(missing, _)| *missing == name) {
            return Err(StoreError::NotBuiltIn { feature });
        }
        match BACKENDS.iter().find(named) {
            Some(backend) => {
                let redacted = backend.check(text)?.into();
                Ok(Self { backend: *backend, text: text.into(), redacted })
            }
            None if is_scheme(name) => {
                let forms: Vec<&str> = BACKENDS.iter().flat_map(|backend| backend.forms()).copied().collect();
                Err(StoreError::UnknownScheme { scheme: name.to_owned(), known: forms.join(", ") })
            }
            None => {
                Err(StoreError::InvalidUrl { problem: "it does not begin with a scheme, like sqlite: in sqlite:PATH" })
            }
        }
    }
}

impl PartialEq for StoreUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for StoreUrl {}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreUrl").field(&self.redacted).finish()
    }
}

fn scheme(url: &str) -> &str {
    url.split_once(':').map_or(url, |(scheme, _)| scheme)
}

/// Whether a text is a scheme by RFC 3986 section 3.1. One that is not may be anything, including a password.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}
