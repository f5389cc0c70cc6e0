//! Any sequence of events, compared with a model of readiness.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chatbox_health::{Gate, Health, Hysteresis};
use proptest::prelude::*;
use tokio::time::advance;

const CACHE_MS: u64 = 1000;

#[derive(Clone, Copy, Debug)]
enum Event {
    Open,
    Close,
    DependencyUp(bool),
    Pass(u64),
    Ask,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        1 => Just(Event::Open),
        1 => Just(Event::Close),
        2 => any::<bool>().prop_map(Event::DependencyUp),
        2 => (0..=2 * CACHE_MS).prop_map(Event::Pass),
        4 => Just(Event::Ask),
    ];
    prop::collection::vec(event, 0..60)
}

#[derive(Default)]
struct Model {
    now: u64,
    open: bool,
    up: bool,
    runs: usize,
    /// What the last run found, and when it ended.
    found: Option<(bool, u64)>,
}

impl Model {
    fn ask(&mut self) -> bool {
        let fresh = |ended| self.now < ended + CACHE_MS;
        if self.open && !self.found.is_some_and(|(_, ended)| fresh(ended)) {
            self.found = Some((self.up, self.now));
            self.runs += 1;
        }
        self.open && self.found.is_some_and(|(passed, _)| passed)
    }
}

async fn compare_with_model(events: Vec<Event>) {
    let (up, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let gate = Gate::new("closed");
    let health = Health::builder()
        .gate(gate.clone())
        .cache(Duration::from_millis(CACHE_MS))
        .check_with("dependency", Hysteresis::NONE, {
            let (up, runs) = (Arc::clone(&up), Arc::clone(&runs));
            move || {
                runs.fetch_add(1, Ordering::SeqCst);
                let outcome = if up.load(Ordering::SeqCst) { Ok(()) } else { Err("down") };
                async move { outcome }
            }
        })
        .build();
    let mut model = Model::default();
    for event in events {
        match event {
            Event::Open => {
                model.open = true;
                gate.open("open");
            }
            Event::Close => {
                model.open = false;
                gate.close("closed");
            }
            Event::DependencyUp(is_up) => {
                model.up = is_up;
                up.store(is_up, Ordering::SeqCst);
            }
            Event::Pass(ms) => {
                model.now += ms;
                advance(Duration::from_millis(ms)).await;
            }
            Event::Ask => {
                let readiness = health.readiness().await;
                assert_eq!(readiness.is_ready(), model.ask());
                assert_eq!(readiness.phase, if model.open { "open" } else { "closed" });
            }
        }
        assert_eq!(runs.load(Ordering::SeqCst), model.runs);
    }
}

proptest! {
    #[test]
    fn readiness_follows_the_gate_and_the_cached_result(events in events()) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(compare_with_model(events));
    }
}
