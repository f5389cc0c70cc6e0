//! Checks that block their thread: real threads and real time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chatbox_health::{CheckError, Health, Hysteresis, Readiness};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_millis(500);

/// A check whose first `passing` runs pass; the next blocks its thread until the test releases it, and passes then.
struct Blocking {
    health: Health,
    runs: Arc<AtomicUsize>,
    release: Sender<()>,
}

impl Blocking {
    fn after(passing: usize, hysteresis: Hysteresis) -> Self {
        let (release, released) = mpsc::channel::<()>();
        let (runs, released) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(released)));
        let counted = Arc::clone(&runs);
        let check = async move || {
            if counted.fetch_add(1, Ordering::SeqCst) == passing {
                // An error is the end of the test.
                let _ = released.lock().unwrap().recv();
            }
            std::io::Result::Ok(())
        };
        let builder = Health::builder().timeout(LIMIT).cache(Duration::ZERO);
        Self { health: builder.check_with("blocks", hysteresis, check).build(), runs, release }
    }

    /// The readiness, which must not take as long as the check blocks: that is for as long as the test runs.
    async fn readiness(&self) -> Readiness {
        let health = self.health.clone();
        // From a task, as a server does: the main thread of the test is no worker.
        let asked = tokio::spawn(async move { health.readiness().await });
        timeout(Duration::from_secs(30), asked).await.expect("answered while the check blocks").unwrap()
    }

    async fn until(&self, ready: bool) -> Readiness {
        loop {
            let readiness = self.readiness().await;
            if readiness.is_ready() == ready {
                return readiness;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_check_that_blocks_its_thread_holds_no_probe_and_is_timed_out() {
    let blocking = Blocking::after(0, Hysteresis::default());
    for _ in 0..3 {
        let readiness = blocking.readiness().await;
        assert_eq!(readiness.checks["blocks"].error, Some(CheckError::TimedOut(LIMIT)));
        assert!(!readiness.is_ready());
    }
    assert_eq!(blocking.runs.load(Ordering::SeqCst), 1, "no second run beside the one that blocks");
    blocking.release.send(()).unwrap();
    blocking.until(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_ready_check_that_begins_to_block_becomes_not_ready_although_no_other_run_can_start() {
    let hysteresis =
        Hysteresis::default().with_retry_after(Duration::from_millis(10)).with_retry_timeout(Duration::from_millis(10));
    let blocking = Blocking::after(1, hysteresis);
    assert!(blocking.readiness().await.is_ready());
    let readiness = blocking.until(false).await;
    assert!(matches!(readiness.checks["blocks"].error, Some(CheckError::TimedOut(_))), "{readiness:?}");
    assert_eq!(blocking.runs.load(Ordering::SeqCst), 2);
    blocking.release.send(()).unwrap();
    blocking.until(true).await;
}

/// With a single thread nothing can answer while it is blocked, but the late result is not taken for a success.
#[tokio::test]
async fn a_check_that_blocks_the_only_thread_for_longer_than_its_timeout_is_not_ready() {
    let limit = Duration::from_millis(20);
    let check = async move || {
        std::thread::sleep(3 * limit);
        std::io::Result::Ok(())
    };
    let health = Health::builder().timeout(limit).check("blocks", check).build();
    let readiness = health.readiness().await;
    assert!(!readiness.is_ready());
    assert_eq!(readiness.checks["blocks"].error, Some(CheckError::TimedOut(limit)));
}
