//! The backends that a URL can name.
//!
//! To add one: a module that implements [`Store`] and [`Backend`], and a line in [`BACKENDS`].

use std::sync::Arc;

use crate::{BoxFuture, Inspection, Store, StoreError};

/// Every backend of this build.
pub(crate) static BACKENDS: &[&dyn Backend] = &[
    &crate::sqlite::Backend,
    &crate::memory::Backend,
    #[cfg(feature = "mongodb")]
    &crate::mongodb::Backend,
];

/// The schemes of backends that this build lacks, each with the feature that brings it.
pub(crate) static NOT_BUILT_IN: &[(&str, &str)] = &[
    #[cfg(not(feature = "mongodb"))]
    ("mongodb", "mongodb"),
    #[cfg(not(feature = "mongodb"))]
    ("mongodb+srv", "mongodb-srv"),
    #[cfg(all(feature = "mongodb", not(feature = "mongodb-srv")))]
    ("mongodb+srv", "mongodb-srv"),
];

/// A kind of store: what its URLs look like, and how one is opened. Every method is given a URL that [`check`](Self::check)
/// accepted.
pub(crate) trait Backend: Send + Sync {
    /// The forms of its URLs, for error messages, such as `sqlite:PATH`. The scheme stands before the colon.
    fn forms(&self) -> &'static [&'static str];

    /// Checks a URL with one of the schemes, and returns it without credentials and options.
    fn check(&self, url: &str) -> Result<String, StoreError>;

    /// See [`open`](crate::open).
    fn open<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Arc<dyn Store>, StoreError>>;

    /// See [`inspect`](crate::inspect).
    fn inspect<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Inspection, StoreError>>;

    /// See [`renew_epoch`](crate::renew_epoch).
    fn renew_epoch<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Arc<str>, StoreError>>;
}
