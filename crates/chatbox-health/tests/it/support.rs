//! A check that the test controls, and helpers for reading answers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use chatbox_health::{BoxError, Check, Readiness};
use tokio::sync::Semaphore;

/// A check whose runs wait for the test.
#[derive(Clone)]
pub(crate) struct Held {
    runs: Arc<AtomicUsize>,
    permits: Arc<Semaphore>,
}

impl Held {
    pub(crate) fn new() -> Self {
        Self { runs: Arc::default(), permits: Arc::new(Semaphore::new(0)) }
    }

    /// How many runs have begun.
    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }

    /// Lets one run pass.
    pub(crate) fn release(&self) {
        self.permits.add_permits(1);
    }
}

impl Check for Held {
    fn check(&self) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + '_>> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            self.permits.acquire().await?.forget();
            Ok(())
        })
    }
}

/// Polls once, like a task that is not scheduled again for a while.
pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Lets every spawned task run until it can go no further.
pub(crate) async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

pub(crate) fn json(readiness: &Readiness) -> String {
    serde_json::to_string(readiness).unwrap()
}

/// The text of a check's error.
pub(crate) fn error_of(readiness: &Readiness, check: &str) -> Option<String> {
    readiness.checks[check].error.as_ref().map(ToString::to_string)
}
