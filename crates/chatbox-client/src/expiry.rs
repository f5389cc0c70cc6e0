//! The expiry of a token.

use data_encoding::BASE64URL_NOPAD;
use http::HeaderValue;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// The `exp` of the JWT in an `Authorization` header (RFC 7519 section 4.1.4); `None` for tokens of other kinds. The
/// signature is the server's business.
pub(crate) fn expires_at(authorization: &HeaderValue) -> Option<SystemTime> {
    let (scheme, token) = authorization.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let claims = BASE64URL_NOPAD.decode(token.trim().split('.').nth(1)?.as_bytes()).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let since_epoch = Duration::try_from_secs_f64(claims.get("exp")?.as_f64()?).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(claims: &str) -> Option<u64> {
        let header = format!("Bearer e30.{}.c2ln", BASE64URL_NOPAD.encode(claims.as_bytes()));
        let at = expires_at(&header.parse().unwrap())?;
        Some(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn the_expiry_of_a_jwt_is_read() {
        assert_eq!(seconds(r#"{"sub":"alice","exp":1767323045}"#), Some(1_767_323_045));
        assert_eq!(seconds(r#"{"exp":1767323045.75}"#), Some(1_767_323_045));
    }

    #[test]
    fn other_tokens_have_no_expiry() {
        for claims in ["", "5", "{}", r#"{"exp":"soon"}"#, r#"{"exp":-1}"#, r#"{"exp":1e300}"#] {
            assert_eq!(seconds(claims), None, "{claims}");
        }
        for header in ["Bearer opaque", "Basic YTpi", "Bearer", "Bearer a.!.c"] {
            assert_eq!(expires_at(&header.parse().unwrap()), None, "{header}");
        }
    }
}
