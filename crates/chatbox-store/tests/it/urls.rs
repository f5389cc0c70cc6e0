//! Which URLs are accepted, what the others' errors say, and what is shown of a URL.

#[cfg(not(feature = "mongodb"))]
use chatbox_store::StoreError;
use chatbox_store::{StoreUrl, open};

#[tokio::test]
async fn memory_opens() {
    assert_eq!(open(&"memory:".parse().unwrap()).await.unwrap().name(), "memory");
}

#[test]
fn an_unknown_scheme_is_named_with_those_that_are_known() {
    let error = "postgres://alice:hunter2@db/chat".parse::<StoreUrl>().unwrap_err().to_string();
    assert!(error.contains("`postgres:`") && error.contains("sqlite:PATH, memory:"), "{error}");
}

#[cfg(not(feature = "mongodb"))]
#[test]
fn mongodb_is_known_but_not_built_in() {
    for (url, named) in [("mongodb://alice:hunter2@db", "mongodb"), ("mongodb+srv://alice:hunter2@db", "mongodb-srv")] {
        let parsed = url.parse::<StoreUrl>();
        assert!(matches!(parsed, Err(StoreError::NotBuiltIn { feature }) if feature == named));
    }
}

#[test]
fn no_error_shows_a_password() {
    for url in [
        "",
        "hunter2",
        "memory:hunter2",
        "postgres://alice:hunter2@db",
        "mongodb://alice:hunter2@db:port",
        "mongodb://",
        "mongodb://alice:hunter2/9@db",
        "hunter2@db:5432",
        "HUNTER2 with spaces:",
    ] {
        let error = url.parse::<StoreUrl>().unwrap_err();
        let shown = format!("{error} {error:?}").to_lowercase();
        assert!(!shown.contains("hunter2"), "{url}: {shown}");
    }
}

#[test]
fn a_url_shows_itself_without_credentials_and_options() {
    let mut urls = vec![("sqlite:chat.db", "sqlite:chat.db"), ("sqlite:///x/chat.db", "sqlite:///x/chat.db")];
    if cfg!(feature = "mongodb") {
        urls.extend([
            ("mongodb://ann:pw@db1,db2:27018/chat?authSource=x", "mongodb://db1:27017,db2:27018/chat"),
            ("mongodb://db", "mongodb://db:27017/chatbox"),
            ("mongodb://db/chat?appName=x@pw", "mongodb://***/chat"),
        ]);
    }
    for (url, shown) in urls {
        let parsed: StoreUrl = url.parse().unwrap();
        assert_eq!((parsed.to_string(), parsed.reveal()), (shown.to_owned(), url));
        assert!(!format!("{parsed:?}").contains("pw"), "{parsed:?}");
    }
}
