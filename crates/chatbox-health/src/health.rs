//! The health of a service: its gate and its checks as one answer.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header;
use axum::routing::get;

use crate::gate::Position;
use crate::probe::Probe;
use crate::{BoxError, Check, Gate, Hysteresis, Readiness, State, Status, with_state};

/// The health of a service: whether it is alive, and whether it is ready for traffic.
///
/// Clones share the gate, the checks and their cached results.
#[derive(Clone)]
pub struct Health {
    gate: Gate,
    probes: Arc<BTreeMap<Cow<'static, str>, Arc<Probe>>>,
}

impl Health {
    /// Starts with no checks and a gate that is open, in phase `running`.
    pub fn builder() -> Builder {
        let gate = Gate::new("starting");
        gate.open("running");
        Builder { gate, checks: BTreeMap::new(), timeout: Duration::from_secs(2), cache: Duration::from_millis(500) }
    }

    /// The status of the gate and of every check.
    ///
    /// Checks whose results are still cached are not run. The others run at the same time, each once
    /// for all concurrent callers, and at most for their timeout. While the gate is closed, no check is
    /// run or waited for, and the last known results are shown; that includes calls that are waiting
    /// when the gate closes.
    ///
    /// Cancel-safe: a run does not end with its caller, and its result is cached.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    pub async fn readiness(&self) -> Readiness {
        let refreshed = async {
            let pending: Vec<_> = self.probes.values().map(Probe::refresh).collect();
            for completion in pending {
                completion.await;
            }
        };
        let position = tokio::select! {
            biased; // With the gate closed, `refreshed` must not begin.
            closed = self.gate.closed() => closed,
            () = refreshed => self.gate.position(),
        };
        self.last_known(position)
    }

    /// The routes `/healthz` and `/readyz` for GET and HEAD, to be merged into or nested in the
    /// service's own router. Neither response may be cached.
    ///
    /// `/healthz` answers 200 `{"status":"healthy"}` whenever the process can answer at all.
    /// `/readyz` answers [`readiness`](Self::readiness).
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let health = self.clone();
        Router::new().route("/healthz", get(healthz)).route("/readyz", get(async move || health.readiness().await))
    }

    fn last_known(&self, position: Position) -> Readiness {
        let checks: BTreeMap<_, _> =
            self.probes.iter().map(|(name, probe)| (name.clone(), probe.last_known())).collect();
        let passing = checks.values().all(|check| check.status == Status::Ready);
        Readiness { status: Status::ready_if(position.open && passing), phase: position.phase, checks }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("gate", &self.gate).field("checks", &self.probes.keys()).finish()
    }
}

/// Builds a [`Health`].
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    gate: Gate,
    checks: BTreeMap<Cow<'static, str>, (Hysteresis, Box<dyn Check>)>,
    timeout: Duration,
    cache: Duration,
}

impl Builder {
    /// The gate that can make the service not ready. Default: one that stays open, in phase
    /// `running`.
    pub fn gate(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// Adds a check that must pass for the service to be ready, with the default [`Hysteresis`].
    ///
    /// # Panics
    ///
    /// When a check of that name was added already.
    pub fn check(self, name: impl Into<Cow<'static, str>>, check: impl Check + 'static) -> Self {
        self.check_with(name, Hysteresis::default(), check)
    }

    /// Adds a check with its own number of failures in a row that make it not ready.
    ///
    /// # Panics
    ///
    /// When a check of that name was added already.
    pub fn check_with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        hysteresis: Hysteresis,
        check: impl Check + 'static,
    ) -> Self {
        let name = name.into();
        assert!(!self.checks.contains_key(&name), "there is a check named {name:?} already");
        self.checks.insert(name, (hysteresis, Box::new(check)));
        self
    }

    /// Adds a check that keeps state from one run to the next: see [`with_state`].
    ///
    /// # Panics
    ///
    /// When a check of that name was added already.
    pub fn check_with_state<S, F, Fut, E>(self, name: impl Into<Cow<'static, str>>, state: S, check: F) -> Self
    where
        S: Send + 'static,
        F: FnOnce(State<S>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        self.check(name, with_state(state, check))
    }

    /// How long each run of a check may take. Default: 2 s.
    ///
    /// It bounds how long a readiness probe takes, so it should be shorter than the prober's own
    /// timeout (`timeoutSeconds` in Kubernetes).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a result, good or bad, is reused, counted from the end of its run. Default: 500 ms.
    ///
    /// It bounds how many runs frequent probes cause, and delays the report of an outage by as much.
    /// With zero, only concurrent callers share a run.
    pub fn cache(mut self, cache: Duration) -> Self {
        self.cache = cache;
        self
    }

    /// The finished [`Health`]. No check runs before the first probe.
    pub fn build(self) -> Health {
        let probe =
            |(hysteresis, check)| Arc::new(Probe::new(check, hysteresis, self.timeout, self.cache, self.gate.clone()));
        let probes = self.checks.into_iter().map(|(name, check)| (name, probe(check)));
        let probes = Arc::new(probes.collect());
        Health { gate: self.gate, probes }
    }
}

async fn healthz() -> impl axum::response::IntoResponse {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, r#"{"status":"healthy"}"#)
}
