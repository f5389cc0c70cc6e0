//! A database for each test, on the server that the environment names.

use std::io::Write;

use mongodb::Client;
use mongodb::bson::oid::ObjectId;

/// An empty database, removed when this is dropped.
pub(crate) struct Database {
    uri: String,
}

impl Database {
    /// `None`, and a word of it, where no server is named.
    pub(crate) fn fresh() -> Option<Self> {
        const VARIABLE: &str = "CHATBOX_TEST_MONGODB_URI";
        let Ok(server) = std::env::var(VARIABLE) else {
            // Past the test harness, which hides what a passing test prints with a macro.
            let _ = writeln!(std::io::stderr(), "not run: {VARIABLE} is unset");
            return None;
        };
        Some(Self { uri: with_database(&server, &format!("chatbox-test-{}", ObjectId::new())) })
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// The server's host and port.
    pub(super) fn server(&self) -> &str {
        let (_, rest) = self.uri.split_once("://").unwrap();
        let (authority, _) = rest.split_once('/').unwrap();
        authority.rsplit('@').next().unwrap().split(',').next().unwrap()
    }

    /// The same database by way of another address.
    pub(super) fn through(&self, address: &str) -> String {
        let uri = self.uri.replacen(self.server(), address, 1);
        // Else the driver would connect to the address that the server announces.
        let separator = if uri.contains('?') { '&' } else { '?' };
        format!("{uri}{separator}directConnection=true")
    }

    /// The database itself, past the store.
    pub(crate) async fn raw(&self) -> mongodb::Database {
        Client::with_uri_str(&self.uri).await.unwrap().default_database().unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let uri = self.uri.clone();
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = Client::with_uri_str(&uri).await.unwrap();
                let _ = client.default_database().unwrap().drop().await;
            });
        });
        let _ = dropping.join();
    }
}

/// A connection string with another database. Credentials are still checked where the string said.
fn with_database(uri: &str, name: &str) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let mut options: Vec<String> = query.split('&').filter(|option| !option.is_empty()).map(String::from).collect();
    if authority.contains('@') && !options.iter().any(|option| option.starts_with("authSource=")) {
        options.push(format!("authSource={}", if database.is_empty() { "admin" } else { database }));
    }
    let query = if options.is_empty() { String::new() } else { format!("?{}", options.join("&")) };
    format!("{scheme}://{authority}/{name}{query}")
}

#[test]
fn a_connection_string_keeps_all_but_its_database() {
    for (given, expected) in [
        ("mongodb://db:1/", "mongodb://db:1/t"),
        ("mongodb://db:1/x?replicaSet=r", "mongodb://db:1/t?replicaSet=r"),
        ("mongodb://ann:pw@db,db2/x", "mongodb://ann:pw@db,db2/t?authSource=x"),
        ("mongodb://ann:pw@db/?tls=true", "mongodb://ann:pw@db/t?tls=true&authSource=admin"),
    ] {
        assert_eq!(with_database(given, "t"), expected);
    }
}
