//! The whole service as a value: the program runs it, and other programs embed it.

use crate::chat::ChatHandler;
use crate::config::{Checked, Config};
use crate::error::StartError;
use crate::report::ServiceReport;
use crate::state::ServiceState;
use crate::{routes, telemetry};
use axum::Router;
use chatbox_core::Refused;
use chatbox_shutdown::{Phase, Report, Shutdown, Stage};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// A running chat service without a listener of its own. Cheap to clone.
///
/// The service ends with its [shutdown](Self::shutdown), or in disorder when the last handle and the last [`router`](Self::router) are
/// dropped: connections are then cut, and no task of the service is left.
///
/// ```no_run
/// use axum::Router;
/// use chatbox::{Config, Service};
/// use std::time::Duration;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let service = Service::start(Config::default()).await?;
/// let app: Router = Router::new().nest_service("/support/chat", service.router::<()>());
/// // … serve `app`; later, when the program is asked to stop:
/// let report = service.shutdown(Duration::from_secs(25)).await;
/// assert_eq!(report.exit_code(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Service {
    pub(crate) state: Arc<ServiceState>,
}

impl Service {
    /// Checks the configuration, opens the store and starts the service: connections that come through [`router`](Self::router) are
    /// served from now on.
    ///
    /// While no token key is configured, user names are accepted only from peers with a loopback address, which the routes find in
    /// axum's `ConnectInfo<SocketAddr>`. Must be called within a tokio runtime. Metrics are recorded if a recorder was installed before
    /// ([`install_metrics`](crate::install_metrics), or one of the embedding program).
    ///
    /// # Errors
    /// [`StartError`]; nothing is left half-started.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_checked(config.check()?).await
    }

    pub(crate) async fn start_checked(checked: Checked) -> Result<Self, StartError> {
        let store = chatbox_store::open(&checked.store_url.reveal().parse()?).await?;
        Ok(Self { state: Arc::new(ServiceState::from_parts(checked, store)) })
    }

    /// The routes of the service, to be nested under a prefix of the embedding program: the page, the WebSocket, the probes, history.
    ///
    /// Best with `nest_service`: with `nest`, the page is found at `/support/chat` but not at `/support/chat/`.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        routes::router(&self.state)
    }

    /// Reads the files that hold token keys again, at once rather than within some seconds. Keys that cannot be used leave the old ones
    /// in use; the result is logged. Open connections stay open.
    pub fn reload_keys(&self) {
        if let Some(keys) = &self.state.authenticator.keys {
            keys.request_reload();
        }
    }

    /// Serves a connection after an opening handshake that was done elsewhere, for transports other than axum. `user` is trusted, and
    /// may enter every room. The future is meant to be spawned as a task; it ends with the connection, and dropping it cuts the connection.
    ///
    /// # Errors
    /// [`Refused`]: the service shuts down, or a limit is reached.
    pub fn serve_stream<S>(
        &self,
        stream: S,
        user: &str,
    ) -> Result<impl Future<Output = ()> + Send + Unpin + use<S>, Refused>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let lease = self.state.registry.admit(user)?;
        let handler = ChatHandler::new(&self.state.rooms, lease.connection(), None);
        Ok(self.state.transport.serve(stream, Default::default(), lease, handler, None))
    }

    /// Registers the service in the shutdown of the embedding program: its lame duck, its drain of the connections, and the flush of its
    /// store.
    ///
    /// The plan of that shutdown governs; `config.shutdown` gives only `close_rate` and `close_handshake`. Serve the
    /// [`router`](Self::router) until the last phase, so that probes and newcomers are answered. [`report`](Self::report) adds what the
    /// service counted to the shutdown's report. Must be called within a tokio runtime.
    pub fn register(&self, shutdown: &mut Shutdown) {
        tokio::spawn(Arc::clone(&self.state).follow(shutdown.phases()));
        let state = Arc::clone(&self.state);
        shutdown.during(Stage::LameDuck, "admission", move |_| async move {
            state.leave_running(Phase::LameDuck);
            Ok(())
        });
        let state = Arc::clone(&self.state);
        shutdown.during(Stage::Draining, "websockets", move |budget| state.drain(budget));
        let state = Arc::clone(&self.state);
        shutdown.during(Stage::Flushing, "store", move |_| async move { state.flush().await });
        let registry = self.state.registry.clone();
        shutdown.expect_none("connections", move || registry.len());
    }

    /// The report of a shutdown in which the service was [registered](Self::register), with the connections and messages that the
    /// service counted.
    #[must_use]
    pub fn report(&self, shutdown: Report) -> ServiceReport {
        let report = ServiceReport::new(shutdown, self.state.registry.tally(), self.state.rooms.totals());
        telemetry::on_shutdown(Duration::from_millis(report.shutdown.duration_ms));
        report
    }

    /// Shuts the service down within `deadline`, for programs that have no shutdown to [`register`](Self::register) it in: refuses
    /// newcomers, serves on while load balancers take notice, closes every connection in its paced turn, stores what was accepted.
    ///
    /// The configured budgets are shortened as needed: the lame duck first, and the flush only to a quarter of `deadline`. Serve the
    /// router meanwhile, so that probes and newcomers are answered. Not cancel safe: dropping the future leaves the shutdown where it is.
    pub async fn shutdown(&self, deadline: Duration) -> ServiceReport {
        let report = match Shutdown::without_signals(self.state.plan) {
            Ok(mut shutdown) => {
                self.register(&mut shutdown);
                shutdown.trigger().begin_within(deadline);
                shutdown.run().await
            }
            Err(error) => unreachable!("the plan was checked with the configuration: {error}"),
        };
        self.report(report)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("registry", &self.state.registry).finish_non_exhaustive()
    }
}
