//! Section `auth`: token keys, required claims, anonymous users, browser origins.

use super::error::{ConfigError, ConfigErrorKind};
use super::{Config, Origin, Secret, values};
use crate::auth::{AnonymousPolicy, ClaimRules, KeyRing, KeySources};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// A larger difference between two clocks is a fault to be mended there.
const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// Section `auth`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AuthConfig {
    /// HS256 key of at least 32 bytes.
    pub jwt_secret: Option<Secret>,
    /// File with the HS256 key.
    pub jwt_secret_file: Option<PathBuf>,
    /// PEM file with public keys for RS256, ES256 or EdDSA.
    pub jwt_public_key_file: Option<PathBuf>,
    /// Directory of keys that tokens name in `kid`: `KID.pem` holds public keys, `KID.secret` an HS256 key.
    pub jwt_keys_dir: Option<PathBuf>,
    /// Required `iss` of a token.
    pub issuer: Option<String>,
    /// Value that a token's `aud` must contain.
    pub audience: Option<String>,
    /// How far the issuer's clock may be ahead, for `nbf` and `iat`. Default 30 s, at most 5 minutes.
    #[serde(with = "values::duration")]
    pub leeway: Duration,
    /// When `?user=NAME` is accepted without a token.
    pub anonymous: Anonymous,
    /// Whether a token in the address, `?token=JWT`, is accepted. Default `true`. Addresses are logged by proxies; headers and the
    /// subprotocol `bearer.JWT` are not.
    pub query_token: bool,
    /// Browser origins that may connect. Empty: the service's own host; `*`: any.
    #[serde(deserialize_with = "values::list")]
    pub allowed_origins: Vec<Origin>,
}

/// `auth.anonymous`: when a user name without a token is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Anonymous {
    /// Only while no key is set, every listener is a loopback address, and the peer's own address is one, too. Default.
    #[default]
    Loopback,
    /// Never.
    Never,
    /// Always.
    Always,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            jwt_secret: None,
            jwt_secret_file: None,
            jwt_public_key_file: None,
            jwt_keys_dir: None,
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(30),
            anonymous: Anonymous::Loopback,
            query_token: true,
            allowed_origins: Vec::new(),
        }
    }
}

impl AuthConfig {
    pub(super) fn claim_rules(&self) -> Result<ClaimRules, ConfigError> {
        if self.leeway > MAX_LEEWAY {
            let (value, max) = (format!("{:?}", self.leeway), format!("{MAX_LEEWAY:?}"));
            return Err(ConfigError::new(["auth.leeway"], ConfigErrorKind::TooLarge { value, max }));
        }
        Ok(ClaimRules { issuer: self.issuer.clone(), audience: self.audience.clone(), leeway: self.leeway })
    }

    /// Reads the keys. `None` while no key is configured.
    pub(super) fn key_ring(&self, rules: ClaimRules) -> Result<Option<KeyRing>, ConfigError> {
        let sources = KeySources {
            secret: self.jwt_secret.clone(),
            secret_file: self.jwt_secret_file.clone(),
            public_key_file: self.jwt_public_key_file.clone(),
            dir: self.jwt_keys_dir.clone(),
        };
        let keys = KeyRing::load(sources, rules)
            .map_err(|error| ConfigError::new([error.setting()], ConfigErrorKind::TokenKey(error)))?;
        let required = [("auth.issuer", &self.issuer), ("auth.audience", &self.audience)];
        match required.into_iter().find(|(_, claim)| claim.is_some()) {
            Some((key, _)) if keys.is_none() => Err(ConfigError::new([key], ConfigErrorKind::ClaimWithoutKey)),
            _ => Ok(keys),
        }
    }
}

impl Config {
    /// When names are accepted without a token. Refuses settings that would admit every client by accident, or none at all.
    pub(super) fn anonymous_policy(&self, has_key: bool) -> Result<AnonymousPolicy, ConfigError> {
        match (self.auth.anonymous, has_key) {
            (Anonymous::Always, _) => return Ok(AnonymousPolicy::Always),
            (Anonymous::Never | Anonymous::Loopback, true) => return Ok(AnonymousPolicy::Never),
            (Anonymous::Never, false) => return Err(ConfigError::new(["auth.anonymous"], ConfigErrorKind::NoIdentity)),
            (Anonymous::Loopback, false) => {}
        }
        let listeners = [("listen", Some(self.listen)), ("ops_listen", self.ops_listen)];
        for (key, address) in listeners {
            if let Some(address) = address.filter(|address| !address.ip().to_canonical().is_loopback()) {
                return Err(ConfigError::new([key], ConfigErrorKind::OpenWithoutKey(address)));
            }
        }
        Ok(AnonymousPolicy::LoopbackPeers)
    }
}
