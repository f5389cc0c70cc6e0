//! The TLS of the commands that connect to a service.

use super::Failure;
use crate::error::chain;
use chatbox_client::{Dialer, Tls};
use std::path::Path;

/// The dialer for these URLs: TLS that trusts the file's certificate authorities, or the system's; plain TCP where no URL
/// asks for TLS.
pub(super) fn dialer<U: AsRef<str>>(ca: Option<&Path>, urls: impl IntoIterator<Item = U>) -> Result<Dialer, Failure> {
    if let Some(path) = ca {
        let tls = Tls::with_ca_file(path).map_err(|error| Failure::bad_usage(format!("--ca: {}", chain(&error))))?;
        return Ok(Dialer::tls(tls));
    }
    let is_tls = |url: U| ["wss://", "https://"].iter().any(|scheme| url.as_ref().starts_with(scheme));
    if !urls.into_iter().any(is_tls) {
        return Ok(Dialer::tcp());
    }
    let tls = Tls::with_system_roots().map_err(|error| Failure::at_run_time(format!("{}; use --ca", chain(&error))))?;
    Ok(Dialer::tls(tls))
}
