//! Notifications to systemd, for a unit with `Type=notify` (`sd_notify(3)`). Without `NOTIFY_SOCKET` in the environment they do nothing.

use chatbox_shutdown::{Phase, Phases};
use sd_notify::NotifyState;
use std::time::Duration;

/// The service listens: units that are ordered after this one may start.
pub(crate) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Announces the shutdown when it begins, and asks for all of its grace period: systemd kills the service at the unit's `TimeoutStopSec`
/// otherwise, whatever `shutdown.grace` says.
pub(crate) fn announce_stop(phases: &Phases, grace: Duration) {
    let begun = phases.reached(Phase::LameDuck);
    // systemd measures it from now on, in microseconds.
    let extension = u32::try_from(grace.as_micros()).unwrap_or(u32::MAX);
    tokio::spawn(async move {
        begun.await;
        notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(extension)]);
    });
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "Cannot notify systemd");
    }
}
