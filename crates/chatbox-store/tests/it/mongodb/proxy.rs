//! A way to the server on which connections are cut, and what is sent is held up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections until it is dropped.
pub(super) struct Proxy {
    address: String,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    /// Whether what clients send is held up, and what servers answer.
    held: watch::Sender<Held>,
    /// Counted up when all connections are to be cut.
    cuts: watch::Sender<usize>,
    /// Answers to inserts that were held up.
    late: watch::Sender<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Held {
    requests: bool,
    inserts: bool,
    answers: bool,
}

impl Proxy {
    pub(super) async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            held: watch::Sender::default(),
            cuts: watch::Sender::default(),
            late: watch::Sender::default(),
        });
        let task = tokio::spawn(accept(listener, server.to_owned(), Arc::clone(&state)));
        Self { address, state, task }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Connections stay open, new ones are accepted, and nothing gets through.
    pub(super) fn freeze(&self) {
        self.state.held.send_replace(Held { requests: true, answers: true, ..Held::default() });
    }

    /// Inserts of clients do not arrive; everything else does.
    pub(super) fn hold_inserts(&self) {
        self.state.held.send_replace(Held { inserts: true, ..Held::default() });
    }

    /// What the server answers does not arrive.
    pub(super) fn hold_answers(&self) {
        self.state.held.send_replace(Held { answers: true, ..Held::default() });
    }

    /// Everything goes on; what was held up arrives, even if its client has gone.
    pub(super) fn thaw(&self) {
        self.state.held.send_replace(Held::default());
    }

    /// Cuts the connections that there are.
    pub(super) fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Waits until the server has answered an insert that was held up.
    pub(super) async fn late_insert(&self) {
        self.state.late.subscribe().wait_for(|late| *late > 0).await.unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, server: String, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(&server).await else { continue };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let mut cuts = state.cuts.subscribe();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let late = AtomicBool::new(false);
            tokio::select! {
                _ = cuts.changed() => {}
                () = requests(from_client, to_server, &state, &late) => {}
                () = answers(from_server, to_client, &state, &late) => {}
            }
        });
    }
}

/// Does not end with its client: what that has sent is still answered.
async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State, late: &AtomicBool) {
    let mut held = state.held.subscribe();
    let mut buffer = vec![0; 1 << 20];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let request = &buffer[..read];
        let is_insert = request.windows(6).any(|word| word == b"insert");
        if held.borrow().inserts && is_insert {
            late.store(true, Ordering::Relaxed);
        }
        if held.wait_for(|held| !(held.requests || held.inserts && is_insert)).await.is_err()
            || to.write_all(request).await.is_err()
        {
            return;
        }
    }
    std::future::pending().await
}

/// Ends with its server.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State, late: &AtomicBool) {
    let mut held = state.held.subscribe();
    let mut buffer = vec![0; 1 << 20];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if held.wait_for(|held| !held.answers).await.is_err() {
            return;
        }
        if late.swap(false, Ordering::Relaxed) {
            state.late.send_modify(|late| *late += 1);
        }
        // The client may have gone.
        let _ = to.write_all(&buffer[..read]).await;
    }
}
