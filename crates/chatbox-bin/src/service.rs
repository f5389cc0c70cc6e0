//! The whole service, composed: what the program runs, and what another program can embed.

use crate::auth::Authenticator;
use crate::chat::ChatHandler;
use crate::config::{Checked, Config, ConfigError, Retention};
use crate::disconnect::close_reason;
use crate::history::Readers;
use crate::report::ServiceReport;
use crate::routes;
use crate::telemetry::{self, Connections};
use axum::Router;
use chatbox_core::{Drain, RateLimits, Refused, Registry, Tally};
use chatbox_health::{Gate, Health};
use chatbox_protocol::Disconnect;
use chatbox_rooms::{Options, Rooms};
use chatbox_shutdown::{Armed, BoxError, Budget, Ending, Phase, Phases, Plan, Shutdown};
use chatbox_store::{Store, StoreError};
use chatbox_ws::{DecodeLimits, OriginPolicy, Settings, Transport};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;
use tokio::time::MissedTickBehavior;

/// Between two sweeps for messages past their retention.
const EXPIRY_SWEEP: Duration = Duration::from_secs(60);

/// Between two looks for what is remembered of users and not needed any more.
const UPKEEP: Duration = Duration::from_secs(10);

/// A running chat service without a listener of its own. Cheap to clone.
///
/// ```no_run
/// use axum::Router;
/// use chatbox::{Config, Service};
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let service = Service::start(Config::default()).await?;
/// let app: Router = Router::new().nest_service("/support/chat", service.router::<()>());
/// // … serve `app`; later, when the program is told to stop:
/// let report = service.shutdown(Duration::from_secs(25)).await;
/// assert_eq!(report.exit_code(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Service {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    pub(crate) rooms: Rooms,
    pub(crate) transport: Transport,
    pub(crate) health: Health,
    pub(crate) doorman: Authenticator,
    pub(crate) origins: OriginPolicy,
    pub(crate) readers: Arc<Readers>,
    gate: Gate,
    /// What became of the connections, once all of them are closed.
    closed: OnceCell<Tally>,
    store: Arc<dyn Store>,
    plan: Plan,
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store cannot be opened.
    #[error("store: {}", chain(.0))]
    Store(#[from] StoreError),
}

impl Service {
    /// Checks the configuration, opens the store and starts to serve: from now on, connections that come through
    /// [`router`](Self::router) are served. `config.listen` should say where that is: whether names are believed without a token
    /// depends on it. Must be called within a tokio runtime; metrics are recorded if a recorder was
    /// installed before ([`install_metrics`](crate::install_metrics), or your own).
    ///
    /// # Errors
    /// [`StartError`]; nothing is left half-started.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_checked(config.check()?).await
    }

    pub(crate) async fn start_checked(checked: Checked) -> Result<Self, StartError> {
        let store = chatbox_store::open(checked.store_url.reveal()).await?;
        Ok(Self::over(checked, store))
    }

    fn over(checked: Checked, store: Arc<dyn Store>) -> Self {
        let config = checked.config;
        let limits = &config.limits;
        let registry = Registry::new(
            chatbox_core::Limits {
                max_connections: limits.max_connections,
                max_per_user: limits.max_connections_per_user,
                outbox_bytes: limits.outbox_bytes,
                outboxes_bytes: limits.outboxes_bytes,
            },
            Connections::new(),
        );
        let options = Options {
            heartbeat: config.heartbeat.interval,
            max_message_bytes: limits.max_message_bytes,
            rooms_per_connection: limits.rooms_per_connection,
            rooms_per_minute: limits.rooms_per_minute,
            rings_bytes: limits.rings_bytes,
            on_rejected: telemetry::on_rejected,
            ..Options::default()
        };
        let rates = RateLimits::new(checked.messages_per_second, checked.burst);
        let rooms = Rooms::new(Arc::clone(&store), instance_name(), rates, options, chatbox_ws::frame::text);
        let transport = Transport::new(Settings {
            accept: DecodeLimits { max_message: limits.max_message_bytes, binary: false },
            heartbeat_interval: config.heartbeat.interval,
            heartbeat_timeout: config.heartbeat.timeout,
            write_timeout: limits.write_timeout,
            close_handshake: config.shutdown.close_handshake,
        });
        let gate = Gate::new("starting");
        let probed = Arc::clone(&store);
        let health = Health::builder()
            .gate(gate.clone())
            .check(store.name(), move || {
                let store = Arc::clone(&probed);
                async move { check(&*store).await }
            })
            .build();
        gate.open(Phase::Running.as_str());
        telemetry::on_phase(Phase::Running);
        let service = Self {
            inner: Arc::new(Inner {
                registry,
                rooms,
                transport,
                health,
                doorman: Authenticator { keys: checked.keys, anonymous: checked.anonymous },
                readers: Arc::default(),
                origins: OriginPolicy::listed(config.auth.allowed_origins.iter().cloned()),
                gate,
                closed: OnceCell::new(),
                store,
                plan: checked.plan,
                config,
            }),
        };
        service.expire_old_messages();
        service.forget_idle_users();
        if let Some(keys) = service.inner.doorman.keys.clone().filter(|keys| keys.has_files()) {
            tokio::spawn(keys.follow());
        }
        service
    }

    /// The service's routes, to be nested under a prefix of the embedding program: the page, the WebSocket, the probes, history.
    ///
    /// Best with `nest_service`: with `nest`, the page is found at `/support/chat` but not at `/support/chat/`.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        routes::router(self)
    }

    /// Reads the files that hold token keys anew, now rather than within some seconds, as the program does on SIGHUP. What cannot be
    /// used leaves the keys as they are; what came of it is logged. Connections that are open stay.
    pub fn reload_keys(&self) {
        if let Some(keys) = &self.inner.doorman.keys {
            keys.ask_for_reload();
        }
    }

    /// Serves a connection whose opening handshake was done elsewhere, for transports other than axum: `user` is believed, and
    /// may enter every room. The future wants to be a task of its own and ends with the connection; dropping it cuts the
    /// connection.
    ///
    /// # Errors
    /// The [`Refused`] says why nobody is let in now.
    pub fn serve_stream<S>(
        &self,
        stream: S,
        user: &str,
    ) -> Result<impl Future<Output = ()> + Send + Unpin + use<S>, Refused>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let lease = self.inner.registry.admit(user)?;
        let handler = ChatHandler::new(&self.inner, lease.connection(), None);
        Ok(self.inner.transport.serve(stream, Default::default(), lease, handler, None))
    }

    /// Shuts down within `deadline`: turns newcomers away, serves on while load balancers notice, closes every connection in its paced
    /// turn, stores what was accepted. The configured budgets are shortened as needed: the lame duck first, and the flush only to a
    /// quarter of `deadline`.
    ///
    /// Go on serving the router meanwhile, so that probes and newcomers get their answers. Not cancel safe: a future that is
    /// dropped leaves the shutdown where it is.
    pub async fn shutdown(&self, deadline: Duration) -> ServiceReport {
        // No plan fits into no time at all.
        let deadline = deadline.max(Duration::from_millis(1));
        let report = match Shutdown::plan(self.inner.plan.within(deadline)) {
            Ok(shutdown) => {
                let mut armed = shutdown.without_signals();
                self.register(&mut armed);
                armed.trigger().begin();
                armed.run(std::future::pending()).await
            }
            Err(error) => unreachable!("a plan made to fit does not fit: {error}"),
        };
        self.report(report, 0)
    }

    /// Registers what this service does in each phase.
    pub(crate) fn register(&self, shutdown: &mut Armed) {
        let registry = self.inner.registry.clone();
        shutdown.lame_duck_until(move || async move { registry.empty().await });
        tokio::spawn(self.clone().follow(shutdown.phases()));
        let service = self.clone();
        shutdown.during(Phase::LameDuck, "admission", move |_| async move {
            service.leave_running(Phase::LameDuck);
            Ok(())
        });
        let service = self.clone();
        shutdown.during(Phase::Draining, "websockets", move |budget| async move { service.drain(budget).await });
        let service = self.clone();
        shutdown.during(Phase::Flushing, "store", move |_| async move { service.flush().await });
    }

    /// The report of a shutdown that has run, with what this service counted.
    pub(crate) fn report(&self, shutdown: chatbox_shutdown::Report, log_events_dropped: u64) -> ServiceReport {
        let report =
            ServiceReport::new(shutdown, self.inner.registry.tally(), self.inner.rooms.totals(), log_events_dropped);
        telemetry::on_shutdown(Duration::from_millis(report.shutdown.duration_ms));
        report
    }

    /// Shows each phase to the probes and the metrics.
    async fn follow(self, mut phases: Phases) {
        let (mut entered, mut before) = (Instant::now(), phases.current());
        let mut begun = None;
        while let Some(phase) = phases.changed().await {
            self.leave_running(phase);
            if before != Phase::Running {
                telemetry::on_phase_ended(before, entered.elapsed());
            }
            telemetry::on_shutdown(begun.get_or_insert_with(Instant::now).elapsed());
            (entered, before) = (Instant::now(), phase);
        }
    }

    /// Not ready from here on, and nobody is let in.
    fn leave_running(&self, phase: Phase) {
        self.inner.gate.close(phase.as_str());
        self.inner.registry.refuse_newcomers();
        telemetry::on_phase(phase);
        telemetry::on_readiness(false);
    }

    async fn drain(&self, budget: Budget) -> Result<Ending, BoxError> {
        let service = self.clone();
        // A task of its own: dropped after a second signal, this participant leaves the rest of it to the flush.
        let closing = tokio::spawn(async move { service.close_all(budget.remaining(), budget.expired()).await });
        let tally = closing.await?;
        Ok(if tally.timed_out + tally.aborted > 0 { Ending::CutShort } else { Ending::Complete })
    }

    /// Closes every connection, and cuts those that are left when `expired` resolves. Done once: whoever comes later waits
    /// for the first to be done with it.
    async fn close_all(&self, budget: Duration, expired: impl Future<Output = ()>) -> Tally {
        *self.inner.closed.get_or_init(|| self.close_all_once(budget, expired)).await
    }

    async fn close_all_once(&self, budget: Duration, expired: impl Future<Output = ()>) -> Tally {
        let shutdown = &self.inner.config.shutdown;
        let drain = Drain {
            reason: close_reason(Disconnect::Shutdown),
            rate: shutdown.close_rate,
            budget,
            close_handshake: shutdown.close_handshake,
        };
        let tally = self.inner.registry.drain(drain, expired).await;
        let Tally { at_signal, closed, peer_gone, timed_out, aborted, refused } = tally;
        tracing::info!(at_signal, closed, peer_gone, timed_out, aborted, refused, "All WebSocket connections closed");
        tally
    }

    /// Stores what was accepted, then lets go of the store.
    async fn flush(&self) -> Result<(), BoxError> {
        // A second signal during the lame duck has left the drain out: cut what is open.
        self.close_all(Duration::ZERO, std::future::ready(())).await;
        self.inner.rooms.close().await;
        self.inner.store.close().await?;
        let totals = self.inner.rooms.totals();
        if totals.accepted != totals.acked + totals.rejected {
            return Err(format!("accepted messages without an end: {totals:?}").into());
        }
        Ok(())
    }

    fn expire_old_messages(&self) {
        let Retention::For(keep) = self.inner.config.store.retention else { return };
        let rooms = self.inner.rooms.clone();
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(EXPIRY_SWEEP.min(keep.max(Duration::from_secs(1))));
            loop {
                interval.tick().await;
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let before = i64::try_from(now.saturating_sub(keep).as_millis()).unwrap_or(i64::MAX);
                match rooms.expire(before).await {
                    Ok(0) => {}
                    Ok(messages) => tracing::info!(messages, "Removed messages past their retention"),
                    Err(StoreError::Closed) => return,
                    Err(error) => tracing::warn!(error = chain(&error), "Cannot remove old messages"),
                }
            }
        });
    }

    /// Gives back, until the service is dropped, what idle users do not need.
    fn forget_idle_users(&self) {
        let service = Arc::downgrade(&self.inner);
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(UPKEEP);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                interval.tick().await;
                let Some(service) = service.upgrade() else { return };
                service.rooms.forget_idle_users();
            }
        });
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").field("registry", &self.inner.registry).finish_non_exhaustive()
    }
}

/// An error with its sources, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// How far behind what other replicas append this one may be and still be sent newcomers.
const MAX_LAG: Duration = Duration::from_secs(5);

/// Why newcomers should not be sent here.
#[derive(Debug, thiserror::Error)]
enum Unready {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("nothing was heard of what other replicas append for {:.1} s", .0.as_secs_f64())]
    FeedStalled(Duration),
}

/// Whether the store can be written to, and what others write to it arrives.
async fn check(store: &dyn Store) -> Result<(), Unready> {
    store.ping().await?;
    match store.lag() {
        Some(lag) if lag > MAX_LAG => Err(Unready::FeedStalled(lag)),
        _ => Ok(()),
    }
}

/// The name of this instance: in Kubernetes, the pod's.
fn instance_name() -> String {
    let kernel = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = std::env::var("HOSTNAME").ok().or_else(kernel).map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "chatbox".to_owned())
}
