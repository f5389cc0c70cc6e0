//! Lines on stderr while something takes long.

use anyhow::Result;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often it is said that work goes on.
const INTERVAL: Duration = Duration::from_secs(10);

/// Does some work, saying what it is, every ten seconds that it goes on, and how long it took.
pub(crate) fn during<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {what}");
    let started = Instant::now();
    let (working, over) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while over.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                eprintln!("    {what}: {} s", started.elapsed().as_secs());
            }
        });
        // Dropped before the scope waits for the thread, also by a panic.
        let _working = working;
        work()
    })
    .inspect(|_| eprintln!("<== {what}: {:.1} s", started.elapsed().as_secs_f64()))
}
