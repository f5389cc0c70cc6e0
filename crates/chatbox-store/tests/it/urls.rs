//! Which URLs open a store, and what is said about the others.

use chatbox_store::open;

#[tokio::test]
async fn memory_opens() {
    assert_eq!(open("memory:").await.unwrap().name(), "memory");
}

#[tokio::test]
async fn an_unknown_scheme_is_named_with_those_that_are_known() {
    let error = open("postgres://alice:hunter2@db/chat").await.err().unwrap().to_string();
    assert!(error.contains("`postgres:`") && error.contains("sqlite:PATH"), "{error}");
}

#[cfg(not(feature = "mongodb"))]
#[tokio::test]
async fn mongodb_is_known_but_not_built_in() {
    for url in ["mongodb://alice:hunter2@db", "mongodb+srv://alice:hunter2@db"] {
        let opened = open(url).await;
        assert!(matches!(opened, Err(chatbox_store::StoreError::NotBuiltIn { backend: "mongodb" })));
    }
}

#[tokio::test]
async fn no_error_tells_a_password() {
    for url in [
        "",
        "hunter2",
        "memory:hunter2",
        "postgres://alice:hunter2@db",
        "mongodb://alice:hunter2@db:port",
        "hunter2@db:5432",
        "HUNTER2 with spaces:",
    ] {
        let error = open(url).await.err().unwrap();
        let told = format!("{error} {error:?}").to_lowercase();
        assert!(!told.contains("hunter2"), "{url}: {told}");
    }
}
