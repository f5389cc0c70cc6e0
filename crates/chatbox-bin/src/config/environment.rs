//! Environment variables as configuration: `CHATBOX_SHUTDOWN__DRAIN` sets `shutdown.drain`.

use super::error::{ConfigError, ConfigErrorKind, ConfigSource};
use super::secret;
use std::ffi::{OsStr, OsString};

/// Sets `log.level`, with the lowest priority.
pub(super) const RUST_LOG: &str = "RUST_LOG";

const PREFIX: &str = "CHATBOX_";

/// The key and value that a variable sets. `None` for a variable of another program, and for an empty one.
///
/// # Errors
/// When the value is not UTF-8.
pub(super) fn setting<'a>(name: &OsStr, value: &'a OsStr) -> Result<Option<(String, &'a str)>, ConfigError> {
    let Some(name) = name.to_str() else { return Ok(None) };
    let key = match name.strip_prefix(PREFIX) {
        Some(rest) if rest.starts_with("TEST_") || is_service_link(rest, &value.to_string_lossy()) => return Ok(None),
        Some(rest) => rest.to_ascii_lowercase().replace("__", "."),
        None => return Ok(None),
    };
    if value.is_empty() {
        return Ok(None);
    }
    if let Some(value) = value.to_str() {
        return Ok(Some((key, value)));
    }
    let shown = (!secret::may_hold_secret(&key)).then(|| format!("{value:?}"));
    let kind = ConfigErrorKind::InvalidValue { value: shown, problem: "is not UTF-8".to_owned() };
    Err(ConfigError::new([key], kind).with_source(Some(ConfigSource::Environment(name.to_owned()))))
}

/// The directives in `RUST_LOG`, if there are any.
pub(super) fn rust_log(environment: &[(OsString, OsString)]) -> Option<&str> {
    let (_, directives) = environment.iter().find(|(name, _)| name == RUST_LOG)?;
    directives.to_str().filter(|directives| !directives.is_empty())
}

/// The variable that sets a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// Whether Kubernetes sets this variable for a Service: `chatbox` itself, or one whose name begins with `chatbox-`.
///
/// For a Service `NAME` there are `NAME_SERVICE_HOST`, `NAME_SERVICE_PORT[_PORTNAME]`, `NAME_PORT`, `NAME_PORT_80_TCP` and
/// `NAME_PORT_80_TCP_{PROTO,PORT,ADDR}`, with hyphens as underscores. `rest` follows `CHATBOX_`.
fn is_service_link(rest: &str, value: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    (0..words.len()).any(|at| is_link_suffix(&words[at..], value))
}

/// Whether these words follow the Service's name.
fn is_link_suffix(words: &[&str], value: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match words {
        ["SERVICE", "HOST"] => true,
        ["SERVICE", "PORT", ..] => is_number(value),
        // Of these variables, only this one could be meant as a setting.
        ["PORT"] => ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme)),
        ["PORT", port, "TCP" | "UDP" | "SCTP"] | ["PORT", port, "TCP" | "UDP" | "SCTP", "PROTO" | "PORT" | "ADDR"] => {
            is_number(port)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables of a Service with a named port, as kubelet makes them.
    fn links(service: &str) -> Vec<(String, String)> {
        let name = service.to_ascii_uppercase().replace('-', "_");
        [
            ("SERVICE_HOST", "10.96.3.4"),
            ("SERVICE_PORT", "80"),
            ("SERVICE_PORT_HTTP", "80"),
            ("SERVICE_PORT_HTTP_OPS", "80"),
            ("PORT", "tcp://10.96.3.4:80"),
            ("PORT_80_TCP", "tcp://10.96.3.4:80"),
            ("PORT_80_TCP_PROTO", "tcp"),
            ("PORT_80_TCP_PORT", "80"),
            ("PORT_80_TCP_ADDR", "10.96.3.4"),
            ("PORT_53_UDP", "udp://[fd00::1]:53"),
            ("PORT_53_UDP_ADDR", "fd00::1"),
            ("PORT_9_SCTP_PROTO", "sctp"),
        ]
        .map(|(suffix, value)| (format!("{name}_{suffix}"), value.to_owned()))
        .into()
    }

    #[test]
    fn service_links_of_any_service_are_ignored() {
        let services = [
            "chatbox",
            "chatbox-canary",
            "chatbox-port",
            "chatbox-service",
            "chatbox-a-b-c",
            "chatbox-service-port",
            "chatbox-1",
        ];
        for service in services {
            for (name, value) in links(service) {
                assert!(setting(name.as_ref(), value.as_ref()).unwrap().is_none(), "{name}={value}");
            }
        }
    }

    #[test]
    fn variables_that_only_resemble_service_links_are_settings() {
        for (name, value) in [
            ("CHATBOX_PORT", "8080"),
            ("CHATBOX_OPS_PORT", "9090"),
            ("CHATBOX_PORT_80", "x"),
            ("CHATBOX_PORT_80_TCP_X", "x"),
            ("CHATBOX_PORTS", "1"),
            ("CHATBOX_SERVICE_PORT", "http"),
            ("CHATBOX_SERVICE_HOSTNAME", "x"),
            ("CHATBOX_REPORT", "tcp://10.0.0.1:80"),
        ] {
            assert!(setting(name.as_ref(), value.as_ref()).unwrap().is_some(), "{name}={value}");
        }
    }
}
