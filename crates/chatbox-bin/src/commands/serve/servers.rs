//! The HTTP servers of the program: the public one, and the one for operations.

use crate::commands::Failure;
use crate::config::Config;
use crate::logging::DroppedLines;
use crate::routes;
use crate::server::{HttpSettings, Listener, Server};
use crate::service::Service;
use crate::state::ServiceState;
use crate::telemetry;
use axum::Router;
use axum::routing::get;
use chatbox_shutdown::Phases;
use http::header::CONTENT_TYPE;
use metrics_exporter_prometheus::PrometheusHandle;
use std::time::Duration;
use tokio::task::JoinSet;

/// The servers of the public listener and of the operations listener.
pub(super) struct Servers(Vec<Server>);

impl Servers {
    /// No server, for a start that was given up.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// Starts to serve; the log then has the addresses.
    ///
    /// # Errors
    /// When a bound address cannot be read.
    pub(super) fn start(
        service: &Service,
        config: &Config,
        metrics: Router,
        phases: Phases,
        listener: Listener,
        ops: Option<Listener>,
    ) -> Result<Self, Failure> {
        let start = |listener, router| {
            let settings = HttpSettings { router, keep_alive: config.server.keep_alive, phases: phases.clone() };
            Server::start(listener, settings, config.limits.max_handshakes.get())
        };
        let address = |listener: &Listener| listener.address().map_err(|error| Failure::at_run_time(error.to_string()));
        let prefix = &config.path_prefix;
        let at = address(&listener)?;
        let public = routes::with_security_headers(
            nest(prefix, service.router()).merge(metrics.clone()).fallback(routes::not_found),
        );
        let mut servers = vec![start(listener, public)];
        if let Some(ops) = ops {
            let at = address(&ops)?;
            let probes = service.state.health.router();
            let routes = nest(prefix, probes).merge(metrics).fallback(routes::not_found);
            servers.push(start(ops, routes));
            tracing::info!(metrics = %format_args!("http://{at}/metrics"), "Operations listener");
        }
        tracing::info!(page = %format_args!("http://{at}{prefix}/"), "Chatbox service listening");
        Ok(Self(servers))
    }

    /// Stops both, each within this time.
    pub(super) async fn stop(self, at_most: Duration) {
        let stopping: JoinSet<()> = self.0.into_iter().map(|server| server.stop(at_most)).collect();
        stopping.join_all().await;
    }
}

/// As a service, because the routes of a nested router would be without the prefix itself with a slash behind it.
fn nest(prefix: &str, router: Router) -> Router {
    if prefix.is_empty() { router } else { Router::new().nest_service(prefix, router) }
}

/// `GET /metrics`.
pub(super) fn metrics_route(service: Service, metrics: PrometheusHandle, dropped: DroppedLines) -> Router {
    let answer = async move || {
        let ServiceState { health, registry, rooms, .. } = &*service.state;
        telemetry::on_readiness(health.readiness().await.is_ready());
        telemetry::on_log_lines_dropped(dropped.count());
        telemetry::on_memory(registry.outbox_bytes(), rooms.ring_bytes());
        ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry::render(&metrics))
    };
    Router::new().route("/metrics", get(answer))
}
