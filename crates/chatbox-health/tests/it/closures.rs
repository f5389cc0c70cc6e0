//! Checks made of closures: async closures that use what they have captured, and checks with state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chatbox_health::{BoxError, Health, Hysteresis, with_state};

use crate::support::error_of;

/// A client as libraries offer them: cheap to clone, its methods borrow it.
#[derive(Clone)]
struct Client(Arc<AtomicBool>);

impl Client {
    async fn ping(&self) -> Result<(), std::io::Error> {
        if self.0.load(Ordering::SeqCst) { Ok(()) } else { Err(std::io::Error::other("no answer")) }
    }
}

#[tokio::test]
async fn an_async_closure_may_borrow_what_it_has_captured() {
    let up = Arc::new(AtomicBool::new(true));
    let client = Client(Arc::clone(&up));
    let health = Health::builder()
        .cache(Duration::ZERO)
        .check_with("client", Hysteresis::NONE, async move || client.ping().await)
        .build();
    assert!(health.readiness().await.is_ready());
    up.store(false, Ordering::SeqCst);
    assert_eq!(error_of(&health.readiness().await, "client").unwrap(), "no answer");
}

#[tokio::test]
async fn a_check_keeps_its_state_from_run_to_run() {
    let health = Health::builder()
        .cache(Duration::ZERO)
        .check_with_state("third", 0, async |mut runs| {
            *runs += 1;
            if *runs < 3 { Err(format!("run {}", *runs)) } else { Ok(()) }
        })
        .build();
    assert_eq!(error_of(&health.readiness().await, "third").unwrap(), "run 1");
    assert_eq!(error_of(&health.readiness().await, "third").unwrap(), "run 2");
    assert!(health.readiness().await.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_ended_by_its_timeout_or_a_panic_leaves_the_state_to_the_next() {
    let check = with_state(Vec::new(), async |mut runs| {
        let run = runs.len();
        runs.push(run);
        match run {
            0 => std::future::pending().await,
            1 => panic!("in the middle"),
            _ => Err::<(), BoxError>(format!("{:?}", *runs).into()),
        }
    });
    let health = Health::builder().cache(Duration::ZERO).check_with("stateful", Hysteresis::NONE, check).build();
    for expected in ["timed out after 2s", "panicked", "[0, 1, 2]"] {
        assert_eq!(error_of(&health.readiness().await, "stateful").unwrap(), expected);
    }
}
