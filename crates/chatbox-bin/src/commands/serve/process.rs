//! The process around the service: its resource limits and its termination log.

use crate::report::ServiceReport;
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// Handles SIGXFSZ, which ends a process that writes beyond `ulimit -f`: with a handler the write fails, and the store reports a full disk.
pub(super) fn survive_size_limit() {
    let xfsz = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // The handler stays for the life of the process, although the stream is dropped.
    if let Err(error) = signal(xfsz) {
        tracing::warn!(%error, "Cannot listen for SIGXFSZ");
    }
}

/// Raises the limit on file descriptors as far as the system allows. Warns when it is lower than the limit on connections.
pub(super) fn raise_file_limit(max_connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A refusal leaves the limit as it was, and the warning follows.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    if let Some(files) = getrlimit(Resource::Nofile).current
        && files < max_connections as u64
    {
        tracing::warn!(files, max_connections, "The file limit (ulimit -n) is lower than limits.max_connections");
    }
}

/// Writes the report to the termination log, if it exists: Kubernetes shows its content as the reason why the container ended.
pub(super) fn write_termination_log(report: &ServiceReport, path: &Path) {
    if path.exists()
        && let Err(error) = std::fs::write(path, report.to_json())
    {
        tracing::warn!(%error, path = %path.display(), "Cannot write the termination log");
    }
}
