//! What a Service and the probes of a kubelet do for pods: newcomers go, in turn, to those that are ready.

use anyhow::Result;
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

/// The interval of the probe: shorter than a kubelet's, so that the time of a change is known to a tenth of a second.
const PERIOD: Duration = Duration::from_millis(50);

/// A port of this machine, and the pods behind it.
pub(super) struct Service {
    shared: Arc<Shared>,
    port: u16,
    accepting: AbortHandle,
}

struct Shared {
    /// What readiness is asked for.
    path: String,
    port: u16,
    pods: Mutex<Pods>,
}

#[derive(Default)]
struct Pods {
    by_name: BTreeMap<String, Pod>,
    turn: usize,
}

struct Pod {
    at: SocketAddr,
    ready: bool,
    /// Since when it is not ready; meaningless while it is.
    since: Timestamp,
    probing: AbortHandle,
    /// The connections that go to it.
    connections: Vec<AbortHandle>,
}

impl Service {
    /// Listens; the path and the port are those of the readiness probe, and clients go to that port, too.
    pub(super) async fn open(path: String, port: u16) -> Result<Self> {
        // Pods are not on the loopback network. A token of this run is needed to connect.
        let listener = TcpListener::bind(("0.0.0.0", 0)).await?;
        let own_port = listener.local_addr()?.port();
        let shared = Arc::new(Shared { path, port, pods: Mutex::default() });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self { shared, port: own_port, accepting })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Begins to probe a pod.
    pub(super) fn add(&self, name: &str, address: IpAddr) {
        let at = SocketAddr::new(address, self.shared.port);
        let probing = tokio::spawn(probe(Arc::clone(&self.shared), name.to_owned(), at)).abort_handle();
        let pod = Pod { at, ready: false, since: Timestamp::now(), probing, connections: Vec::new() };
        self.shared.pods().by_name.insert(name.to_owned(), pod);
    }

    /// Waits until a pod is ready.
    pub(super) async fn ready(&self, name: &str) {
        while !self.shared.pods().by_name.get(name).is_some_and(|pod| pod.ready) {
            sleep(PERIOD).await;
        }
    }

    /// When a pod was first not ready after the request to stop; `None` if it never was.
    pub(super) fn unready_since(&self, name: &str, since: Timestamp) -> Option<Timestamp> {
        let pods = self.shared.pods();
        let pod = pods.by_name.get(name)?;
        (!pod.ready && pod.since >= since).then_some(pod.since)
    }

    /// Ends some of the connections to a pod without a Close, for once.
    pub(super) fn abort(&self, name: &str, count: usize) {
        if let Some(pod) = self.shared.pods().by_name.get(name) {
            pod.connections
                .iter()
                .filter(|connection| !connection.is_finished())
                .take(count)
                .for_each(AbortHandle::abort);
        }
    }

    /// Forgets a pod.
    pub(super) fn remove(&self, name: &str) {
        if let Some(pod) = self.shared.pods().by_name.remove(name) {
            pod.probing.abort();
        }
    }

    pub(super) fn close(&self) {
        self.accepting.abort();
        let pods = std::mem::take(&mut self.shared.pods().by_name);
        for pod in pods.into_values() {
            pod.probing.abort();
            pod.connections.iter().for_each(AbortHandle::abort);
        }
    }
}

impl Shared {
    fn pods(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let mut pods = shared.pods();
        pods.turn += 1;
        let turn = pods.turn;
        let ready: Vec<&mut Pod> = pods.by_name.values_mut().filter(|pod| pod.ready).collect();
        let count = ready.len();
        // While no pod is ready, a new connection is closed.
        if let Some(pod) = ready.into_iter().nth(turn % count.max(1)) {
            pod.connections.retain(|connection| !connection.is_finished());
            pod.connections.push(tokio::spawn(forward(client, pod.at)).abort_handle());
        }
    }
}

/// Everything in both directions, ends included, until both have ended.
async fn forward(mut client: TcpStream, at: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(at).await {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        // How a connection ends is for its ends to say.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

async fn probe(shared: Arc<Shared>, name: String, at: SocketAddr) {
    loop {
        let ready = matches!(timeout(Duration::from_secs(3), ask(at, &shared.path)).await, Ok(Ok(true)));
        if let Some(pod) = shared.pods().by_name.get_mut(&name) {
            if pod.ready && !ready {
                pod.since = Timestamp::now();
            }
            pod.ready = ready;
        }
        sleep(PERIOD).await;
    }
}

/// Whether a GET is answered with 200.
async fn ask(at: SocketAddr, path: &str) -> Result<bool> {
    let stream = TcpStream::connect(at).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header("host", at.to_string()).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await;
    connection.abort();
    Ok(answer?.status() == 200)
}
