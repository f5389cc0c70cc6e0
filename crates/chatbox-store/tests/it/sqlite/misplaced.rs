//! Files that are removed, replaced or moved while the store has them open.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use chatbox_store::conformance::support::{append, draft, everything, seqs, store_all};
use chatbox_store::{SqliteStore, Store, StoreError};
use tempfile::TempDir;

use super::file::chain;

struct Opened {
    store: SqliteStore,
    directory: TempDir,
}

impl Opened {
    /// A store with one message.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(directory.path().join("chatbox.db")).await.unwrap();
        store_all(&store, "r", 0, vec![draft("alice", 1)]).await;
        Self { store, directory }
    }

    fn file(&self, suffix: &str) -> PathBuf {
        self.directory.path().join(format!("chatbox.db{suffix}"))
    }

    /// The error with which an append and a ping fail.
    async fn refusal(&self) -> String {
        let appended = self.store.append(Arc::new([append("r", 1, vec![draft("alice", 2)])])).await;
        let Err(error @ StoreError::Unavailable { .. }) = appended else { panic!("{appended:?}") };
        let pinged = self.store.ping().await.expect_err("a store that refuses appends is not ready");
        assert_eq!(chain(&pinged), chain(&error));
        chain(&error)
    }
}

#[tokio::test]
async fn appends_are_refused_while_one_of_the_files_is_not_at_its_path() {
    for suffix in ["", "-wal", "-shm", "-lock"] {
        let opened = Opened::new().await;
        let away = opened.file("-away");
        fs::rename(opened.file(suffix), &away).unwrap();
        let refusal = opened.refusal().await;
        assert!(refusal.contains(&format!("chatbox.db{suffix} was removed")), "{refusal}");
        assert_eq!(seqs(&everything(&opened.store, "r").await), [1], "reading goes on");

        fs::copy(&away, opened.file(suffix)).unwrap();
        let refusal = opened.refusal().await;
        assert!(refusal.contains(&format!("chatbox.db{suffix} was replaced")), "{refusal}");

        fs::rename(&away, opened.file(suffix)).unwrap();
        opened.store.ping().await.unwrap();
        store_all(&opened.store, "r", 1, vec![draft("alice", 2)]).await;
    }
}

#[tokio::test]
async fn appends_are_refused_when_a_link_leads_to_another_file() {
    let directory = tempfile::tempdir().unwrap();
    let [one, other, link] = ["one.db", "other.db", "link.db"].map(|name| directory.path().join(name));
    SqliteStore::open(&other).await.unwrap().close().await.unwrap();
    SqliteStore::open(&one).await.unwrap().close().await.unwrap();
    std::os::unix::fs::symlink(&one, &link).unwrap();
    let store = SqliteStore::open(&link).await.unwrap();
    store_all(&store, "r", 0, vec![draft("alice", 1)]).await;
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    let refused = store.ping().await.unwrap_err();
    assert!(chain(&refused).contains("link.db was replaced"), "{}", chain(&refused));
}

#[tokio::test]
async fn a_directory_that_is_moved_away_and_made_again_is_noticed() {
    let opened = Opened::new().await;
    let moved = opened.directory.path().with_extension("moved");
    fs::rename(opened.directory.path(), &moved).unwrap();
    fs::create_dir(opened.directory.path()).unwrap();
    let refusal = opened.refusal().await;
    assert!(refusal.contains("chatbox.db was removed"), "{refusal}");
    let left = fs::read_dir(opened.directory.path()).unwrap().count();
    assert_eq!(left, 0, "nothing is made in its place");
    fs::remove_dir_all(&moved).unwrap();
}

#[tokio::test]
async fn closing_leaves_the_files_alone_that_took_the_place() {
    let opened = Opened::new().await;
    for suffix in ["", "-wal", "-shm", "-lock"] {
        fs::remove_file(opened.file(suffix)).unwrap();
    }
    let next = SqliteStore::open(opened.file("")).await.unwrap();
    store_all(&next, "s", 0, vec![draft("bob", 1)]).await;
    opened.refusal().await;
    opened.store.close().await.unwrap();
    next.ping().await.unwrap();
    assert_eq!(seqs(&everything(&next, "s").await), [1]);
}
