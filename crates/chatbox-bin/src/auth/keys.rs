//! The key ring: keys that tokens are verified with, from settings and files, reloaded when the files change.

mod load;

pub use load::KeyError;

use super::Claims;
use crate::config::Secret;
use jsonwebtoken::{DecodingKey, Validation};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

/// How often the key files are read. Contents are compared instead of modification times, because Kubernetes replaces the files of a
/// Secret through symbolic links.
const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// What is required of the claims of every token.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClaimRules {
    /// The `iss` that a token must have.
    pub(crate) issuer: Option<String>,
    /// What a token's `aud` must name.
    pub(crate) audience: Option<String>,
    /// How far the clocks of the issuer and this machine may differ where `nbf` and `iat` are concerned.
    pub(crate) leeway: Duration,
}

/// Where keys come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySources {
    pub(crate) secret: Option<Secret>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) public_key_file: Option<PathBuf>,
    pub(crate) dir: Option<PathBuf>,
}

/// The current keys, and the sources to reload them from.
pub(crate) struct KeyRing {
    sources: KeySources,
    rules: ClaimRules,
    keys: RwLock<Arc<Keys>>,
    reload: Arc<Notify>,
}

struct Keys {
    keys: Vec<Key>,
    /// Hash of everything that was read. Equal hashes mean that nothing has changed.
    fingerprint: u64,
}

struct Key {
    /// The `kid` of tokens that are signed with it.
    id: Option<Box<str>>,
    decoding: DecodingKey,
    validation: Validation,
}

impl KeyRing {
    /// Reads the keys that are configured; `None` when there is none.
    ///
    /// # Errors
    /// The first key that cannot be used.
    pub(crate) fn load(sources: KeySources, rules: ClaimRules) -> Result<Option<Self>, KeyError> {
        super::install_jwt_crypto();
        let keys = sources.read(&rules)?;
        let configured = !keys.keys.is_empty();
        Ok(configured.then(|| Self { sources, rules, keys: RwLock::new(Arc::new(keys)), reload: Arc::default() }))
    }

    pub(super) fn leeway(&self) -> Duration {
        self.rules.leeway
    }

    /// The claims of a token that is signed with one of the keys and satisfies the rules.
    ///
    /// The algorithm belongs to the key: the `alg` of a token must match it, and selects nothing. A `kid` that names a key selects that
    /// key; an unknown `kid` selects the keys without a name, since issuers may name keys that this ring does not.
    pub(super) fn claims(&self, token: &str) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        // RFC 7515 section 4.1.11: no extension is supported, so that a critical one is an error.
        if header.crit.is_some() {
            return None;
        }
        let ring = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let named = header.kid.as_deref().filter(|kid| ring.keys.iter().any(|key| key.id.as_deref() == Some(*kid)));
        let fits = |key: &&Key| header.kid.is_none() || key.id.as_deref() == named;
        ring.keys.iter().filter(fits).find_map(|key| {
            jsonwebtoken::decode::<Claims>(token, &key.decoding, &key.validation).ok().map(|token| token.claims)
        })
    }

    /// Whether any key comes from a file and can be reloaded.
    pub(crate) fn has_files(&self) -> bool {
        let KeySources { secret: _, secret_file, public_key_file, dir } = &self.sources;
        secret_file.is_some() || public_key_file.is_some() || dir.is_some()
    }

    /// Makes [`reload_on_change`](Self::reload_on_change) read the files now, and log the result.
    pub(crate) fn request_reload(&self) {
        self.reload.notify_one();
    }

    /// Reloads the files every few seconds and on request, until the ring is dropped elsewhere. On an error the current keys stay in use; the
    /// same error is logged once.
    pub(crate) async fn reload_on_change(self: Arc<Self>) {
        let (ring, requests) = (Arc::downgrade(&self), Arc::clone(&self.reload));
        drop(self);
        let mut interval = tokio::time::interval(RELOAD_INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_error = None;
        loop {
            let requested = tokio::select! {
                _ = interval.tick() => false,
                () = requests.notified() => true,
            };
            let Some(ring) = ring.upgrade() else { return };
            // The task fails only if it panics.
            let Ok(read) = tokio::task::spawn_blocking(move || ring.reload()).await else { return };
            match read {
                Ok(changed) => {
                    last_error = None;
                    if changed {
                        tracing::info!("Token keys were read anew");
                    } else if requested {
                        tracing::info!("Token keys were read anew: nothing has changed");
                    }
                }
                Err(error) => {
                    let error = format!("{}: {error}", error.setting());
                    if requested || last_error.as_ref() != Some(&error) {
                        tracing::error!(error, "Cannot use the new token keys; those of before stay in use");
                    }
                    last_error = Some(error);
                }
            }
        }
    }

    /// Reads the files. Returns whether anything has changed.
    fn reload(&self) -> Result<bool, KeyError> {
        let keys = self.sources.read(&self.rules)?;
        let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current.fingerprint != keys.fingerprint;
        if changed {
            *current = Arc::new(keys);
        }
        Ok(changed)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).keys.len();
        f.debug_struct("KeyRing").field("sources", &self.sources).field("keys", &keys).finish_non_exhaustive()
    }
}
