//! Who a client is: a JWT, or a name that is believed (contract section 3).

mod keys;
#[cfg(test)]
mod tests;

pub(crate) use keys::{ClaimRules, KeyRing, Sources};

use crate::config::Secret;
use chatbox_rooms::Permission;
use globset::{Glob, GlobSetBuilder};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::{EncodingKey, Header};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

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
    #[error("give one token, in one Authorization header or in ?token=")]
    Ambiguous,
    #[error("the token is not valid")]
    Invalid,
    #[error("the token has expired")]
    Expired,
    #[error("the user name must have 1 to 128 bytes, all of them visible")]
    BadUser,
}

/// Checks who comes.
#[derive(Clone, Debug)]
pub(crate) struct Authenticator {
    pub(crate) keys: Option<Arc<KeyRing>>,
    pub(crate) anonymous: bool,
}

/// Signs tokens for development: HS256.
#[derive(Clone, Debug)]
pub(crate) struct TokenSigner {
    pub(crate) secret: Secret,
    pub(crate) rules: ClaimRules,
}

/// What is read of a token once its signature, `iss`, `aud` and `nbf` are known to be good.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since the epoch; fractions are allowed (RFC 7519 section 2).
    exp: f64,
    iat: Option<f64>,
    rooms: Option<Vec<String>>,
}

impl Authenticator {
    /// Who comes with these headers and parameters.
    pub(crate) fn identify(&self, headers: &HeaderMap, query: Credentials) -> Result<Identity, AuthError> {
        let mut authorizations = headers.get_all(AUTHORIZATION).iter();
        let bearer = authorizations.next().and_then(|value| {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        // Two of them could be read as two people, by us and by a proxy before us (RFC 6750 section 2).
        if authorizations.next().is_some() || (bearer.is_some() && query.token.is_some()) {
            return Err(AuthError::Ambiguous);
        }
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

impl KeyRing {
    fn identity(&self, token: &str) -> Result<Identity, AuthError> {
        let claims = Some(token).filter(|token| token.len() <= MAX_TOKEN).and_then(|token| self.claims(token));
        let Claims { sub, exp, iat, rooms } = claims.ok_or(AuthError::Invalid)?;
        let now = unix_now();
        // Neither negative nor beyond all time.
        let moment = |seconds| Duration::try_from_secs_f64(seconds).map_err(|_| AuthError::Invalid);
        if iat.map(moment).transpose()?.is_some_and(|issued| issued > now + self.leeway()) {
            return Err(AuthError::Invalid);
        }
        // Without leeway: a connection is closed at `exp`, so it cannot be opened after it.
        let valid_for = moment(exp)?.checked_sub(now).filter(|left| !left.is_zero()).ok_or(AuthError::Expired)?;
        let rooms = rooms.map(|patterns| permission(&patterns)).transpose()?;
        Ok(Identity { user: checked(sub)?, valid_for: Some(valid_for), rooms })
    }
}

impl TokenSigner {
    /// A token with `sub`, `exp`, the optional `rooms`, and what the rules ask for.
    ///
    /// # Errors
    /// When the user is no user id, or a room no pattern.
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

/// Whether people see every character. Those that are not seen, or turn the direction of others, let one name pass for another;
/// the standard library knows them as what it escapes.
fn is_visible(text: &str) -> bool {
    let quoted = |c: char| matches!(c, '"' | '\'' | '\\');
    let escapes = text.chars().filter(|&c| quoted(c)).count();
    text.escape_debug().count() == text.chars().count() + escapes
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
