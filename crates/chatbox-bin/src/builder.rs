//! A service that is being configured.

use crate::auth::Identity;
use crate::config::Config;
use crate::error::StartError;
use crate::hook::{AuthenticationError, Hook};
use crate::service::Service;
use http::request::Parts;

/// A service that is not started yet: its configuration, and what cannot be written into one.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing unless it is started"]
pub struct ServiceBuilder {
    config: Config,
    hook: Option<Hook>,
}

impl Service {
    /// A service with this configuration.
    pub fn builder(config: Config) -> ServiceBuilder {
        ServiceBuilder { config, hook: None }
    }
}

impl ServiceBuilder {
    /// Authenticates every request to the WebSocket and to the history by `hook`, instead of tokens and names: by a session cookie, a client
    /// certificate, the headers of a gateway.
    ///
    /// The hook is called with the head of the request after its opening handshake and its `Origin` are checked, and may take 10 s. What its
    /// future needs of the head is copied out of it. The `auth` section of the configuration then governs only
    /// `allowed_origins`: it should name the origins of the site, because browsers send cookies with the requests of other sites, too.
    ///
    /// ```no_run
    /// use chatbox::{AuthenticationError, Config, Identity, Service};
    /// use http::request::Parts;
    /// # async fn user_of(session: Option<String>) -> Option<String> { session }
    ///
    /// # async fn example() -> Result<(), chatbox::StartError> {
    /// let service = Service::builder(Config::default())
    ///     .authenticate(|parts: &Parts| {
    ///         let session = parts.headers.get("cookie").and_then(|it| it.to_str().ok()).map(str::to_owned);
    ///         async move {
    ///             let user = user_of(session).await;
    ///             let user = user.ok_or(AuthenticationError::Unauthenticated("log in first".into()))?;
    ///             Ok(Identity { user, rooms: None, expires: None })
    ///         }
    ///     })
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn authenticate<F, W>(mut self, hook: F) -> Self
    where
        F: Fn(&Parts) -> W + Send + Sync + 'static,
        W: Future<Output = Result<Identity, AuthenticationError>> + Send + 'static,
    {
        self.hook = Some(Hook::new(hook));
        self
    }

    /// Checks the configuration, opens the store and starts the service, as [`Service::start`] does.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left half-started.
    pub async fn start(self) -> Result<Service, StartError> {
        Service::start_checked(self.config.check()?, self.hook).await
    }
}
