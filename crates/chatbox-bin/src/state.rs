//! The parts of a running service, shared by its handles, its HTTP routes and its shutdown.

use crate::auth::Authenticator;
use crate::background::Background;
use crate::config::{Checked, Config};
use crate::history_limit::HistoryLimit;
use crate::readiness;
use crate::telemetry::{self, ConnectionMetrics};
use chatbox_core::{RateLimits, Registry, Tally};
use chatbox_health::{Gate, Health};
use chatbox_rooms::{Options, Rooms};
use chatbox_shutdown::{Phase, Plan};
use chatbox_store::Store;
use chatbox_ws::{DecodeLimits, OriginPolicy, Settings, Transport};
use std::num::NonZeroUsize;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// The parts of a running service. Dropping it ends the service: connections are cut, background tasks are aborted and the store
/// is closed when the last session has let go of it.
pub(crate) struct ServiceState {
    pub(crate) config: Config,
    pub(crate) plan: Plan,
    pub(crate) registry: Registry,
    pub(crate) rooms: Rooms,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) transport: Transport,
    pub(crate) health: Health,
    /// Closed when the shutdown begins: not ready from then on.
    pub(crate) gate: Gate,
    pub(crate) authenticator: Authenticator,
    pub(crate) origins: OriginPolicy,
    pub(crate) history_limit: Arc<HistoryLimit>,
    /// The outcome of the drain, once it has ended.
    pub(crate) drained: OnceCell<Tally>,
    _background: Background,
}

impl ServiceState {
    /// Starts a service over an open store. Must be called within a tokio runtime.
    pub(crate) fn from_parts(checked: Checked, store: Arc<dyn Store>) -> Self {
        let registry = registry(&checked.config);
        let rooms = rooms(&checked, &store);
        let transport = transport(&checked.config);
        let gate = Gate::new("starting");
        let health = health(&gate, &store);
        let Checked { config, plan, keys, anonymous, .. } = checked;
        let background = Background::start(&rooms, config.store.retention, keys.clone());
        gate.open(Phase::Running.as_str());
        telemetry::on_phase(Phase::Running);
        Self {
            plan,
            registry,
            rooms,
            store,
            transport,
            health,
            gate,
            authenticator: Authenticator { keys, anonymous },
            origins: OriginPolicy::listed(config.auth.allowed_origins.iter().cloned()),
            history_limit: Arc::default(),
            drained: OnceCell::new(),
            config,
            _background: background,
        }
    }
}

impl Drop for ServiceState {
    fn drop(&mut self) {
        // After a shutdown there are none.
        for connection in self.registry.begin_drain() {
            connection.cut();
        }
    }
}

fn registry(config: &Config) -> Registry {
    let limits = chatbox_core::Limits {
        max_connections: config.limits.max_connections,
        max_per_user: config.limits.max_connections_per_user,
        outbox_bytes: config.limits.outbox_bytes,
        outboxes_bytes: config.limits.outboxes_bytes,
    };
    Registry::new(limits, ConnectionMetrics::new())
}

fn rooms(checked: &Checked, store: &Arc<dyn Store>) -> Rooms {
    let limits = &checked.config.limits;
    // The configuration was checked: these limits are greater than 0.
    let non_zero = |limit| NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN);
    let options = Options::default()
        .with_heartbeat(checked.config.heartbeat.interval)
        .with_max_message_bytes(limits.max_message_bytes)
        .with_rooms_per_connection(non_zero(limits.rooms_per_connection))
        .with_rooms_per_minute(non_zero(limits.rooms_per_minute))
        .with_rings_bytes(limits.rings_bytes)
        .with_on_rejected(telemetry::on_rejected);
    let rates = RateLimits::new(checked.messages_per_second, checked.burst);
    Rooms::new(Arc::clone(store), instance_name(), rates, options, chatbox_ws::frame::text)
}

fn transport(config: &Config) -> Transport {
    Transport::new(Settings {
        accept: DecodeLimits { max_message: config.limits.max_message_bytes, binary: false },
        heartbeat_interval: config.heartbeat.interval,
        heartbeat_timeout: config.heartbeat.timeout,
        write_timeout: config.limits.write_timeout,
        close_handshake: config.shutdown.close_handshake,
    })
}

fn health(gate: &Gate, store: &Arc<dyn Store>) -> Health {
    let checked = Arc::clone(store);
    let check = move || {
        let store = Arc::clone(&checked);
        async move { readiness::check(&*store).await }
    };
    Health::builder().gate(gate.clone()).check(store.name(), check).build()
}

/// The name of this instance: in Kubernetes, the pod's.
fn instance_name() -> String {
    let kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = std::env::var("HOSTNAME").ok().or_else(kernel).map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "chatbox".to_owned())
}
