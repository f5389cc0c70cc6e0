//! The whole service as a value: the program runs it, and other programs embed it.

use crate::auth::{AuthDeadline, Identity};
use crate::chat::{ChatHandler, expiry};
use crate::config::{Checked, Config};
use crate::error::StartError;
use crate::hook::{AuthenticationError, Hook};
use crate::routes;
use crate::state::ServiceState;
use axum::Router;
use chatbox_core::Refused;
use chatbox_health::Readiness;
use http::request::Parts;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;
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
        Self::start_checked(config.check()?, None).await
    }

    pub(crate) async fn start_checked(checked: Checked, hook: Option<Hook>) -> Result<Self, StartError> {
        let store = chatbox_store::open(&checked.store_url).await?;
        Ok(Self { state: Arc::new(ServiceState::from_parts(checked, store, hook)) })
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

    /// Authenticates a request as the routes do, for a program that does the opening handshake itself: see
    /// [`serve_stream`](Self::serve_stream). Its `Origin` is not checked.
    ///
    /// # Errors
    /// [`AuthenticationError`].
    pub async fn authenticate(&self, request: &Parts) -> Result<Identity, AuthenticationError> {
        self.state.authenticate(request).await
    }

    /// Serves a connection after an opening handshake that was done elsewhere, for transports other than axum. The identity is trusted; a name
    /// is an identity that may enter every room. The future is meant to be spawned as a task; it ends with the connection, and dropping it cuts
    /// the connection.
    ///
    /// # Errors
    /// [`Refused`]: the service shuts down, or a limit is reached.
    pub fn serve_stream<S, I>(
        &self,
        stream: S,
        identity: I,
    ) -> Result<impl Future<Output = ()> + Send + Unpin + use<S, I>, Refused>
    where
        I: Into<Identity>,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let identity = identity.into();
        let lease = self.state.registry.admit(&identity.user)?;
        let (expiry, deadline) = (expiry(&identity), AuthDeadline::new(identity.expires));
        let handler =
            ChatHandler::new(&self.state.rooms, lease.connection(), identity.rooms, deadline, SystemTime::now);
        Ok(self.state.transport.serve(stream, Default::default(), lease, handler, expiry))
    }

    /// Whether the service is ready for traffic, as `readyz` answers it. Cancel safe.
    pub async fn readiness(&self) -> Readiness {
        self.state.health.readiness().await
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("registry", &self.state.registry).finish_non_exhaustive()
    }
}
