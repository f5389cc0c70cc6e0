//! Who a client is: a JWT, or a name that is believed (contract section 3).

use crate::config::Secret;
use chatbox_rooms::Permission;
use globset::{Glob, GlobSetBuilder};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// An HS256 key shorter than the hash it makes can be guessed (RFC 7518 section 3.2).
const MIN_SECRET: usize = 32;

/// How far the clocks of the issuer and this machine may differ where a token says from when it is valid.
const SKEW: Duration = Duration::from_secs(30);

/// The longest user id, in bytes: ids stand in every message and log line.
const MAX_USER: usize = 128;

/// The longest token that is looked at.
const MAX_TOKEN: usize = 8 * 1024;

/// The query parameters that say who comes.
#[derive(Default, Deserialize)]
pub(crate) struct Credentials {
    /// A JWT, for browsers, which cannot set headers on a WebSocket.
    token: Option<String>,
    /// A name that is believed in anonymous mode.
    user: Option<String>,
}

/// Somebody who was let in.
pub(crate) struct Identity {
    /// The user id.
    pub(crate) user: String,
    /// How long the token is valid from now; `None` without a token.
    pub(crate) valid_for: Option<Duration>,
    /// The rooms that may be entered; `None`: all.
    pub(crate) rooms: Option<Permission>,
}

/// Why somebody was not let in. The texts repeat nothing of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("a token is needed: Authorization: Bearer JWT, or ?token=JWT")]
    Missing,
    #[error("the token is not valid")]
    Invalid,
    #[error("the token has expired")]
    Expired,
    #[error("the user name must have 1 to 128 bytes and no control characters")]
    BadUser,
}

/// What tokens are checked against.
#[derive(Clone)]
pub(crate) struct Keys {
    keys: Arc<[(DecodingKey, Validation)]>,
}

/// Checks who comes.
#[derive(Clone, Debug)]
pub(crate) struct Doorman {
    pub(crate) keys: Option<Keys>,
    pub(crate) anonymous: bool,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rooms: Option<Vec<String>>,
}

impl Keys {
    /// The keys that are configured; `None` when there is none. The error names the key at fault.
    pub(crate) fn load(
        secret: Option<&Secret>,
        public_key_file: Option<&Path>,
    ) -> Result<Option<Self>, (&'static str, String)> {
        let mut keys = Vec::new();
        if let Some(secret) = secret {
            check_secret(secret).map_err(|text| ("auth.jwt_secret", text))?;
            keys.push((DecodingKey::from_secret(secret.reveal().as_bytes()), validation(Algorithm::HS256)));
        }
        if let Some(file) = public_key_file {
            let key = "auth.jwt_public_key_file";
            let pem = std::fs::read(file)
                .map_err(|error| (key, format!("{key}: cannot read {}: {error}", file.display())))?;
            let (decoding, algorithm) = public_key(&pem).ok_or_else(|| {
                let text = "no public key in PEM for RS256, ES256 or EdDSA";
                (key, format!("{key}: {}: {text}", file.display()))
            })?;
            keys.push((decoding, validation(algorithm)));
        }
        Ok((!keys.is_empty()).then(|| Self { keys: keys.into() }))
    }

    /// The algorithm belongs to the key: what the token says of itself has to match it and decides nothing.
    fn claims(&self, token: &str) -> Option<Claims> {
        self.keys.iter().find_map(|(key, validation)| {
            jsonwebtoken::decode::<Claims>(token, key, validation).ok().map(|token| token.claims)
        })
    }
}

impl Doorman {
    /// Who comes with these headers and parameters.
    pub(crate) fn identify(&self, headers: &HeaderMap, query: Credentials) -> Result<Identity, AuthError> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        match (bearer.or(query.token), &self.keys) {
            (Some(token), Some(keys)) => keys.identity(&token),
            (_, _) if self.anonymous => {
                let user = query.user.unwrap_or_else(|| "anonymous".to_owned());
                Ok(Identity { user: checked(user)?, valid_for: None, rooms: None })
            }
            (Some(_), None) => Err(AuthError::Invalid),
            (None, _) => Err(AuthError::Missing),
        }
    }
}

impl Keys {
    fn identity(&self, token: &str) -> Result<Identity, AuthError> {
        let claims = Some(token).filter(|token| token.len() <= MAX_TOKEN).and_then(|token| self.claims(token));
        let claims = claims.ok_or(AuthError::Invalid)?;
        let now = unix_now();
        let expires = Duration::from_secs(claims.exp);
        if expires <= now {
            return Err(AuthError::Expired);
        }
        let rooms = claims.rooms.map(|patterns| permission(&patterns)).transpose()?;
        Ok(Identity { user: checked(claims.sub)?, valid_for: Some(expires - now), rooms })
    }
}

/// Mints a token for development: HS256, with `sub`, `exp` and the optional `rooms`.
///
/// # Errors
/// When the secret is too short, or the user is no user id.
pub(crate) fn mint(secret: &Secret, user: &str, ttl: Duration, rooms: Option<Vec<String>>) -> Result<String, String> {
    check_secret(secret)?;
    let sub = checked(user.to_owned()).map_err(|error| error.to_string())?;
    if let Some(rooms) = &rooms {
        permission(rooms).map_err(|_| "rooms: not a glob pattern".to_owned())?;
    }
    let exp = (unix_now() + ttl).as_secs();
    let key = EncodingKey::from_secret(secret.reveal().as_bytes());
    jsonwebtoken::encode(&Header::default(), &Claims { sub, exp, rooms }, &key).map_err(|error| error.to_string())
}

fn check_secret(secret: &Secret) -> Result<(), String> {
    let bytes = secret.reveal().len();
    if bytes >= MIN_SECRET {
        return Ok(());
    }
    Err(format!("auth.jwt_secret: has {bytes} bytes, at least {MIN_SECRET} are needed"))
}

fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp", "sub"]);
    validation.leeway = SKEW.as_secs();
    // `identity` does that itself, to the second, and says so: a connection is closed at `exp`, too.
    validation.validate_exp = false;
    validation.validate_nbf = true;
    // No audience is configured; a token that names some is not refused for it.
    validation.validate_aud = false;
    validation
}

fn public_key(pem: &[u8]) -> Option<(DecodingKey, Algorithm)> {
    let rsa = DecodingKey::from_rsa_pem(pem).map(|key| (key, Algorithm::RS256));
    let ec = |_| DecodingKey::from_ec_pem(pem).map(|key| (key, Algorithm::ES256));
    let ed = |_| DecodingKey::from_ed_pem(pem).map(|key| (key, Algorithm::EdDSA));
    rsa.or_else(ec).or_else(ed).ok()
}

fn permission(patterns: &[String]) -> Result<Permission, AuthError> {
    let mut globs = GlobSetBuilder::new();
    for pattern in patterns {
        globs.add(Glob::new(pattern).map_err(|_| AuthError::Invalid)?);
    }
    let globs = globs.build().map_err(|_| AuthError::Invalid)?;
    Ok(Arc::new(move |room: &str| globs.is_match(room)))
}

fn checked(user: String) -> Result<String, AuthError> {
    let fits = (1..=MAX_USER).contains(&user.len()) && !user.chars().any(char::is_control);
    if fits { Ok(user) } else { Err(AuthError::BadUser) }
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("count", &self.keys.len()).finish()
    }
}
