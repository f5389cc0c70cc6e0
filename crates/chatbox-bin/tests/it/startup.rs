//! Signals that come while the program is starting.

use crate::harness::{INTERRUPT, Server, Setup, TERMINATE, until};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

/// A process that is told to stop before it has taken over its signals is ended by them, having touched nothing. From then
/// on it ends by itself: with 0, and with nothing half-open.
#[tokio::test]
async fn a_signal_at_any_moment_of_the_start_ends_it_cleanly() {
    for millisecond in 0..60 {
        let setup = Setup::over("sqlite:chat.db");
        let signal = if millisecond % 2 == 0 { TERMINATE } else { INTERRUPT };
        let server = setup.launch();
        // Not a wait for anything: it spreads the signals over the start.
        tokio::time::sleep(Duration::from_millis(millisecond)).await;
        let finished = server.stop(signal).await;
        assert_eq!(finished.stderr, "");
        match finished.status.signal() {
            Some(number) => {
                assert_eq!(number, signal.as_raw());
                assert!(finished.lines.is_empty(), "{:?}", finished.lines);
                assert!(!setup.path().join("chat.db").exists());
            }
            None => {
                assert_eq!(finished.code(), 0);
                assert_eq!(finished.report()["outcome"], "clean");
                let files = ["chat.db-wal", "chat.db-shm"].map(|file| setup.path().join(file).exists());
                assert_eq!(files, [false, false], "the store was left open");
                // What there is of the store can be opened.
                let finished = setup.start().await.stop(TERMINATE).await;
                assert_eq!(finished.code(), 0);
            }
        }
    }
}

/// Two services that differ in nothing but the number of their workers differ by as many threads.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn as_many_workers_serve_as_are_set() {
    let start = async |workers: usize| Setup::new().set(&format!("server.workers={workers}")).start().await;
    let (one, five) = (start(1).await, start(5).await);
    let threads = |server: &Server| std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count();
    until("five workers are four more than one", async || threads(&five) == threads(&one) + 4).await;
}
