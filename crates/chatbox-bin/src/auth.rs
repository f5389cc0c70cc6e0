//! Authentication: a JWT, or a user name without one where that is allowed.

mod crypto;
mod deadline;
mod keys;
#[cfg(test)]
mod tests;

pub use crypto::install_jwt_crypto;
pub(crate) use deadline::AuthDeadline;
pub use keys::KeyError;
pub(crate) use keys::{ClaimRules, KeyRing, KeySources};

use crate::config::Secret;
use chatbox_rooms::Permission;
use globset::{Glob, GlobSetBuilder};
use http::HeaderMap;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use jsonwebtoken::{EncodingKey, Header};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Bytes of the longest user id. Every message and many log lines contain one.
const MAX_USER: usize = 128;

/// Bytes of the longest token. A longer one is refused unread.
const MAX_TOKEN: usize = 8 * 1024;

/// The query parameters that identify a user.
#[derive(Default, Deserialize)]
pub(crate) struct Credentials {
    /// A JWT, where [`Authenticator::query_token`] accepts it.
    token: Option<String>,
    /// A user name, accepted where [`AnonymousPolicy`] allows it.
    user: Option<String>,
}

/// An authenticated user.
#[derive(Clone)]
pub struct Identity {
    /// The user id: 1 to 128 bytes, all of them visible.
    pub user: String,
    /// Whether the user may enter a room of this name. `None`: every room.
    pub rooms: Option<Permission>,
    /// When the authentication expires, and the connection is closed with 1008. `None`: never.
    pub expires: Option<SystemTime>,
}

/// Why a request is not authenticated. The texts repeat nothing of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    #[error("a token is needed: Authorization: Bearer JWT, or ?token=JWT")]
    Missing,
    #[error("a token is needed: Authorization: Bearer JWT, or the subprotocol bearer.JWT")]
    MissingHeader,
    #[error("a token in the address is not accepted: send Authorization: Bearer JWT, or the subprotocol bearer.JWT")]
    InAddress,
    #[error("give one token, in one Authorization header or in ?token=")]
    Ambiguous,
    #[error("the token is not valid")]
    Invalid,
    #[error("the token has expired")]
    Expired,
    #[error("the user name must have 1 to 128 bytes, all of them visible")]
    BadUser,
}

/// When a user name without a token is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnonymousPolicy {
    /// Never.
    Never,
    /// From peers whose own address is a loopback address. A request without a known peer address is refused.
    LoopbackPeers,
    /// Always.
    Always,
}

impl AnonymousPolicy {
    fn allows(self, peer: Option<IpAddr>) -> bool {
        match self {
            Self::Never => false,
            Self::LoopbackPeers => peer.is_some_and(|peer| peer.to_canonical().is_loopback()),
            Self::Always => true,
        }
    }
}

/// Authenticates requests.
#[derive(Clone, Debug)]
pub(crate) struct Authenticator {
    pub(crate) keys: Option<Arc<KeyRing>>,
    pub(crate) anonymous: AnonymousPolicy,
    /// Whether `?token=JWT` is accepted.
    pub(crate) query_token: bool,
}

/// Signs tokens for development: HS256.
#[derive(Clone, Debug)]
pub(crate) struct TokenSigner {
    pub(crate) secret: Secret,
    pub(crate) rules: ClaimRules,
}

/// The claims of a token whose signature, `iss`, `aud` and `nbf` are verified.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since the epoch; fractions are allowed (RFC 7519 section 2).
    exp: f64,
    iat: Option<f64>,
    rooms: Option<Vec<String>>,
}

impl Identity {
    /// A user who may enter every room, and whose authentication does not expire.
    pub fn new(user: impl Into<String>) -> Self {
        Self { user: user.into(), rooms: None, expires: None }
    }

    /// The same identity, if its user id is valid.
    ///
    /// # Errors
    /// [`AuthError::BadUser`].
    pub(crate) fn checked(self) -> Result<Self, AuthError> {
        Ok(Self { user: checked(self.user)?, ..self })
    }
}

impl From<&str> for Identity {
    fn from(user: &str) -> Self {
        Self::new(user)
    }
}

impl From<String> for Identity {
    fn from(user: String) -> Self {
        Self::new(user)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("user", &self.user).field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// The user of a request. `peer` is the address that the connection comes from, where it is known.
    ///
    /// # Errors
    /// Why the request is not authenticated.
    pub(crate) fn identify(
        &self,
        peer: Option<IpAddr>,
        headers: &HeaderMap,
        query: Credentials,
    ) -> Result<Identity, AuthError> {
        if query.token.is_some() && !self.query_token {
            return Err(AuthError::InAddress);
        }
        let mut authorizations = headers.get_all(AUTHORIZATION).iter();
        let bearer = authorizations.next().and_then(|value| {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        let mut tokens = bearer.into_iter().chain(subprotocol_tokens(headers).map(str::to_owned)).chain(query.token);
        let token = tokens.next();
        // A proxy might read another one of two tokens than this service does (RFC 6750 section 2).
        if authorizations.next().is_some() || tokens.next().is_some() {
            return Err(AuthError::Ambiguous);
        }
        match (token, &self.keys) {
            (Some(token), Some(keys)) => keys.identity(&token),
            (_, _) if self.anonymous.allows(peer) => {
                let user = query.user.unwrap_or_else(|| "anonymous".to_owned());
                Ok(Identity { user: checked(user)?, rooms: None, expires: None })
            }
            (Some(_), None) => Err(AuthError::Invalid),
            (None, _) if self.query_token => Err(AuthError::Missing),
            (None, _) => Err(AuthError::MissingHeader),
        }
    }
}

/// The tokens of offered subprotocols `bearer.JWT`, by which browsers send a token without writing it into the address.
fn subprotocol_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offers.flat_map(|offers| offers.split(',')).filter_map(|offer| offer.trim().strip_prefix("bearer."))
}

impl KeyRing {
    fn identity(&self, token: &str) -> Result<Identity, AuthError> {
        let claims = Some(token).filter(|token| token.len() <= MAX_TOKEN).and_then(|token| self.claims(token));
        let Claims { sub, exp, iat, rooms } = claims.ok_or(AuthError::Invalid)?;
        let now = unix_now();
        // Refuses negative and unrepresentable moments.
        let moment = |seconds| Duration::try_from_secs_f64(seconds).map_err(|_| AuthError::Invalid);
        if iat.map(moment).transpose()?.is_some_and(|issued| issued > now + self.leeway()) {
            return Err(AuthError::Invalid);
        }
        let exp = moment(exp)?;
        // No leeway here: connections are closed at `exp`.
        if exp <= now {
            return Err(AuthError::Expired);
        }
        let rooms = rooms.map(|patterns| permission(&patterns)).transpose()?;
        // A moment that cannot be represented is never reached.
        Ok(Identity { user: checked(sub)?, rooms, expires: SystemTime::UNIX_EPOCH.checked_add(exp) })
    }
}

impl TokenSigner {
    /// A token with `sub`, `exp`, the optional `rooms`, and the required claims.
    ///
    /// # Errors
    /// When `user` is not a valid user id, or a room is not a glob pattern.
    pub(crate) fn token(&self, user: &str, ttl: Duration, rooms: Option<Vec<String>>) -> Result<String, String> {
        #[derive(Serialize)]
        struct Claims<'a> {
            sub: String,
            exp: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            iss: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            aud: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            rooms: Option<Vec<String>>,
        }
        let sub = checked(user.to_owned()).map_err(|error| error.to_string())?;
        if let Some(rooms) = &rooms {
            permission(rooms).map_err(|_| "rooms: not a glob pattern".to_owned())?;
        }
        let exp = (unix_now() + ttl).as_secs();
        let (iss, aud) = (self.rules.issuer.as_deref(), self.rules.audience.as_deref());
        let key = EncodingKey::from_secret(self.secret.reveal().as_bytes());
        install_jwt_crypto();
        jsonwebtoken::encode(&Header::default(), &Claims { sub, exp, iss, aud, rooms }, &key)
            .map_err(|error| error.to_string())
    }
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
    let fits = (1..=MAX_USER).contains(&user.len()) && user.trim() == user;
    if fits && is_visible(&user) { Ok(user) } else { Err(AuthError::BadUser) }
}

/// Whether every character is visible. Invisible characters and those that change the writing direction make two names look alike;
/// the standard library escapes them in debug output.
fn is_visible(text: &str) -> bool {
    let quoted = |c: char| matches!(c, '"' | '\'' | '\\');
    let escapes = text.chars().filter(|&c| quoted(c)).count();
    text.escape_debug().count() == text.chars().count() + escapes
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
