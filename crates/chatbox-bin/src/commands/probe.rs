//! `chatbox probe`: the health check of an image that has neither a shell nor curl.

use super::{Failure, tls};
use crate::cli::Probe;
use crate::config::Config;
use crate::error::chain;
use chatbox_client::http_get;
use http::{StatusCode, Uri};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Builder;

/// How long an answer may take: a little longer than a check.
const PATIENCE: Duration = Duration::from_secs(3);

/// Exits with 0 if the probe answers 200.
pub(super) fn run(config: &Config, which: Probe, url: Option<&str>, ca: Option<&Path>) -> Result<ExitCode, Failure> {
    let uri = address(config, which, url)?;
    let dialer = tls::dialer(ca, url)?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::at_run_time(format!("cannot start the runtime: {error}")))?;
    let response = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, http_get(&dialer, &uri, None)).await })
        .map_err(|_| Failure::at_run_time(format!("probe: {uri} did not answer within {PATIENCE:?}")))?
        .map_err(|error| Failure::at_run_time(format!("probe: {uri}: {}", chain(&error))))?;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::at_run_time(format!("probe: {uri} answered {status}")))
}

fn address(config: &Config, which: Probe, url: Option<&str>) -> Result<Uri, Failure> {
    let route = match which {
        Probe::Live => "/healthz",
        Probe::Ready => "/readyz",
    };
    let url = match url {
        Some(url) => {
            let base = url.trim_end_matches('/');
            let bare = base.split_once("://").is_none_or(|(_, rest)| !rest.contains('/'));
            if bare { format!("{base}{}{route}", config.path_prefix) } else { format!("{base}{route}") }
        }
        None => {
            // A listener on every address is asked on the loopback one.
            let mut at = config.listen;
            if at.ip().is_unspecified() {
                at.set_ip(if at.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { Ipv6Addr::LOCALHOST.into() });
            }
            format!("http://{at}{}{route}", config.path_prefix)
        }
    };
    let uri: Uri = url.parse().map_err(|error| Failure::bad_usage(format!("--url: `{url}` is no URL: {error}")))?;
    if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() {
        Ok(uri)
    } else {
        Err(Failure::bad_usage(format!("--url: `{url}` must begin with http:// or https:// and name a host")))
    }
}
