//! The checked configuration: valid as a whole, with everything that was parsed from it.

use super::error::{ConfigError, ConfigErrorKind};
use super::store::one_of;
use super::{Config, Loaded};
use crate::auth::{AnonymousPolicy, KeyRing, TokenSigner};
use chatbox_shutdown::Plan;
use chatbox_store::StoreUrl;
use chatbox_ws::OriginPolicy;
use std::sync::Arc;
use tracing_subscriber::EnvFilter;

/// A configuration that is valid as a whole, with what was parsed and read for it.
#[derive(Debug)]
pub struct Checked {
    /// The values.
    pub config: Config,
    /// The store's URL, wherever it came from.
    pub(crate) store_url: StoreUrl,
    /// Signs tokens for development, where an HS256 key is configured.
    pub(crate) token_signer: Option<TokenSigner>,
    /// Keys that tokens are verified with. `None` while no key is configured.
    pub(crate) keys: Option<Arc<KeyRing>>,
    /// When `?user=NAME` is accepted.
    pub(crate) anonymous: AnonymousPolicy,
    /// Browser origins that may connect.
    pub(crate) origins: OriginPolicy,
    /// The shutdown phases.
    pub(crate) plan: Plan,
    /// What is logged.
    pub(crate) log_filter: EnvFilter,
}

impl Checked {
    /// A warning for a public listener that accepts any name.
    pub(crate) fn anonymity_warning(&self) -> Option<String> {
        let address = self.config.listen;
        let open = self.anonymous == AnonymousPolicy::Always && !address.ip().to_canonical().is_loopback();
        open.then(|| {
            format!("auth.anonymous is `always`: every client that reaches {address} is accepted under any name")
        })
    }
}

impl Loaded {
    /// [`Config::check`], with the sources of the keys in the error.
    ///
    /// # Errors
    /// The first invalid value or contradiction.
    pub fn check(&self) -> Result<Checked, ConfigError> {
        self.config.check().map_err(|error| error.located(|key| self.source(key)))
    }
}

impl Config {
    /// Checks that the values are valid together, and reads the files that hold keys and secrets.
    ///
    /// # Errors
    /// The first invalid value or contradiction, or a file that cannot be read. The error names the key and the value, except a secret.
    pub fn check(&self) -> Result<Checked, ConfigError> {
        if self.ops_listen == Some(self.listen) && self.listen.port() != 0 {
            return Err(ConfigError::new(["listen", "ops_listen"], ConfigErrorKind::SameAddress(self.listen)));
        }
        self.store.check()?;
        self.limits.check()?;
        self.heartbeat.check()?;
        self.server.check()?;
        let plan = self.shutdown.plan()?;
        let auth = &self.auth;
        let jwt_secret = one_of(
            ("auth.jwt_secret", auth.jwt_secret.as_ref()),
            ("auth.jwt_secret_file", auth.jwt_secret_file.as_deref()),
        )?;
        let store_url = self.store.parse_url()?;
        let rules = auth.claim_rules()?;
        let keys = auth.key_ring(rules.clone())?;
        Ok(Checked {
            store_url,
            token_signer: jwt_secret.map(|secret| TokenSigner { secret, rules }),
            anonymous: self.anonymous_policy(keys.is_some())?,
            keys: keys.map(Arc::new),
            origins: OriginPolicy::listed(auth.allowed_origins.iter().map(ToString::to_string)),
            plan,
            log_filter: self.log.filter()?,
            config: self.clone(),
        })
    }
}
