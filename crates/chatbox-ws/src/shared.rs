//! What all sessions of a transport share: settings, clock and heartbeat.

use crate::session::liveness::Heartbeat;
use crate::settings::Settings;
use crate::ticks::Tick;
use crate::wheel::Wheel;
use std::sync::Arc;
use std::time::Duration;

/// The shared part of every session.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) wheel: Arc<Wheel>,
    pub(crate) heartbeat: Heartbeat,
}

impl Shared {
    /// Starts the clock's task. Must be called within a tokio runtime.
    pub(crate) fn start(settings: Settings) -> Self {
        let wheel = Wheel::start(settings.tick());
        let heartbeat = Heartbeat::new(wheel.tick_length(), settings.heartbeat_interval, settings.heartbeat_timeout);
        Self { settings, wheel, heartbeat }
    }

    /// The present tick.
    pub(crate) fn now(&self) -> Tick {
        self.wheel.now()
    }

    /// The first tick at which `duration` has surely passed.
    pub(crate) fn after(&self, duration: Duration) -> Tick {
        self.wheel.tick_length().after(self.now(), duration)
    }
}
