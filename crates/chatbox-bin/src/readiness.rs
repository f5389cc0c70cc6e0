//! The readiness check of the store.

use chatbox_store::{Store, StoreError};
use std::time::Duration;

/// How far this replica may lag behind what others append, and still be ready.
const MAX_LAG: Duration = Duration::from_secs(5);

/// Why the store makes the service not ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unready {
    /// The store does not answer, or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's feed has not moved for longer than [`MAX_LAG`].
    #[error("no news of what other replicas append for {:.1} s", .0.as_secs_f64())]
    FeedStalled(Duration),
}

/// Checks that the store can be written to, and that the appends of other replicas arrive.
///
/// # Errors
/// [`Unready`].
pub(crate) async fn check(store: &dyn Store) -> Result<(), Unready> {
    store.ping().await?;
    match store.lag() {
        Some(lag) if lag > MAX_LAG => Err(Unready::FeedStalled(lag)),
        _ => Ok(()),
    }
}
