//! The parts of a running service, shared by its handles, its HTTP routes and its shutdown.

use crate::auth::Authenticator;
use crate::background::Background;
use crate::config::{Checked, Config};
use crate::history_limit::HistoryLimit;
use crate::hook::Hook;
use crate::readiness;
use crate::telemetry::{self, ConnectionMetrics};
use chatbox_core::{Registry, Tally};
use chatbox_health::{Gate, Health};
use chatbox_rooms::Rooms;
use chatbox_shutdown::{Phase, Plan};
use chatbox_store::Store;
use chatbox_ws::{OriginPolicy, Transport};
use std::sync::Arc;
use tokio::sync::{OnceCell, watch};

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
    /// Authenticates instead, where an embedding program has set one.
    pub(crate) hook: Option<Hook>,
    pub(crate) origins: OriginPolicy,
    pub(crate) history_limit: Arc<HistoryLimit>,
    /// True once the end of a drain was forced.
    pub(crate) forced: watch::Sender<bool>,
    /// The outcome of the drain, once it has ended.
    pub(crate) drained: OnceCell<Tally>,
    _background: Background,
}

impl ServiceState {
    /// Starts a service over an open store. Must be called within a tokio runtime.
    pub(crate) fn from_parts(checked: Checked, store: Arc<dyn Store>, hook: Option<Hook>) -> Self {
        let config = &checked.config;
        let registry = Registry::new(config.registry_limits(), ConnectionMetrics::new());
        let options = config.room_options().with_on_rejected(telemetry::on_rejected);
        let rates = config.limits.rates();
        let rooms = Rooms::new(Arc::clone(&store), instance_name(), rates, options, chatbox_ws::frame::text);
        let transport = Transport::new(config.session_settings());
        let gate = Gate::new("starting");
        let health = health(&gate, &store);
        let Checked { config, plan, keys, anonymous, origins, .. } = checked;
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
            authenticator: Authenticator { keys, anonymous, query_token: config.auth.query_token },
            hook,
            origins,
            history_limit: Arc::default(),
            forced: watch::Sender::new(false),
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
