//! What the program does not start with: one line on stderr that names the key, the value and the source, and nothing left behind.

use crate::harness::Setup;
use std::process::Output;

/// A secret that must not appear anywhere.
const SECRET: &str = "hunter2-hunter2";

const KEY: &str = "a-key-of-at-least-thirty-two-bytes-for-tests";

#[tokio::test]
async fn a_bad_flag_is_named_with_its_value_and_source() {
    for (setting, said) in [
        ("nonsense=1", "unknown key `nonsense`; known here are listen, "),
        (
            "shutdown.drian=5s",
            "unknown key `shutdown.drian`; did you mean shutdown.drain? Known here are grace, lame_duck, drain, ",
        ),
        ("shutdown.drain=soon", r#"shutdown.drain: invalid value "soon": expected a duration such as 20s"#),
        ("shutdown.drain=5", r#"shutdown.drain: invalid value "5": expected a duration such as 20s"#),
        ("limits.burst=many", r#"limits.burst: invalid value "many": expected a whole number"#),
        ("limits.burst=-1", "limits.burst: invalid value -1: expected a whole number"),
        ("limits.burst=5000000000", "limits.burst: invalid value 5000000000: expected a whole number"),
        ("limits.write_timeout=0s", "limits.write_timeout: must be more than 0"),
        ("limits.burst=0", "limits.burst: invalid value 0: expected a whole number from 1 to 4294967295"),
        ("limits.max_connections=0", "limits.max_connections: invalid value 0: expected a whole number, at least 1"),
        ("listen=localhost", r#"listen: invalid value "localhost": "#),
        ("ops_listen=9000", r#"ops_listen: invalid value "9000": "#),
        ("path_prefix=chat", r#"path_prefix: invalid value "chat": must be empty, or a path such as /chat"#),
        ("auth.anonymous=maybe", r#"auth.anonymous: invalid value "maybe": expected one of loopback, never, always"#),
        ("auth.anonymous=never", "auth.anonymous is `never` and no key is set"),
        ("log.format=xml", r#"log.format: invalid value "xml": expected one of auto, pretty, json"#),
        ("log.level=a=b=c", r#"log.level: invalid value "a=b=c": "#),
        (
            "store.retention=never",
            r#"store.retention: invalid value "never": expected forever, or a duration such as 30d"#,
        ),
        ("heartbeat.interval=2m", "heartbeat.interval (120s) must be shorter than heartbeat.timeout (60s)"),
        ("shutdown.lame_duck=20s", "shutdown: lame_duck 20s + drain 15s + flush 5s must be shorter than grace 30s"),
        ("listen=0.0.0.0:0", "listen: `0.0.0.0:0` is not a loopback address and no key is set: set auth.jwt_secret"),
        ("ops_listen=0.0.0.0:0", "ops_listen: `0.0.0.0:0` is not a loopback address and no key is set"),
        ("auth.jwt_secret=hunter2-hunter2", "auth.jwt_secret: has 15 bytes, at least 32 are needed"),
        ("auth.jwt_secret_file=none", "auth.jwt_secret_file: cannot read none: No such file or directory"),
        ("auth.jwt_public_key_file=none", "auth.jwt_public_key_file: cannot read none: No such file or directory"),
        (
            "auth.jwt_public_key_file=key",
            "auth.jwt_public_key_file: key: no public key in PEM for RS256 (2048 bits or more), ES256 or EdDSA",
        ),
        ("auth.jwt_public_key_file=private", "auth.jwt_public_key_file: private: holds a private key"),
        ("auth.jwt_keys_dir=none", "auth.jwt_keys_dir: cannot read none: No such file or directory"),
        ("auth.jwt_keys_dir=.", "auth.jwt_keys_dir: ./key is named neither KID.pem nor KID.secret"),
        ("auth.jwt_secret_file=key", "auth.jwt_secret_file: key has 6 bytes, at least 32 are needed"),
        ("auth.issuer=me", "auth.issuer is set and no key is, so that no token could be checked: set auth.jwt_secret"),
        ("auth.audience=us", "auth.audience is set and no key is"),
        ("auth.leeway=10m", "auth.leeway: 600s is more than 300s"),
        ("server.trusted_proxies=all", r#"server.trusted_proxies: invalid value "all": "#),
        ("server.workers=0", r#"server.workers: invalid value "0": expected a whole number, at least 1"#),
        ("server.workers=2000", "server.workers: 2000 is more than 1024"),
        ("limits.rooms_per_minute=0", "limits.rooms_per_minute: invalid value 0: expected a whole number, at least 1"),
        ("store.retention=0s", "store.retention: must be more than 0"),
        (
            "auth.allowed_origins=https://a.example, chat.example",
            r#"auth.allowed_origins: invalid value "https://a.example, chat.example": "chat.example" has no scheme: write https://chat.example"#,
        ),
        (
            "server.trusted_proxies=10.0.0.1:80",
            r#"server.trusted_proxies: invalid value "10.0.0.1:80": "10.0.0.1:80" has a port"#,
        ),
        ("store.url_file=none", "store.url_file: cannot read none: No such file or directory"),
        (
            "store.url=postgres://hunter2-hunter2@db",
            "store.url: unknown store `postgres:`; known are sqlite:PATH, memory:, ",
        ),
        ("store.url=hunter2-hunter2", "store.url: invalid store URL: it has no scheme"),
        ("store.url=memory:hunter2-hunter2", "store.url: invalid store URL: nothing follows memory:"),
    ] {
        let setup = Setup::bare()
            .args(["--listen", "127.0.0.1:0"])
            .set(setting)
            .file("key", "no key")
            .file("private", "-----BEGIN PRIVATE KEY-----");
        let output = setup.run(&[]).await;
        let line = refused(&setup, &output, 2, &["key", "private"]);
        assert!(line.starts_with(said), "{setting}: {line}");
        let key = setting.split_once('=').unwrap().0;
        assert!(line.ends_with(&format!("(command line: {key})")), "{setting}: {line}");
    }
}

#[tokio::test]
async fn a_bad_variable_is_named_with_its_value_and_source() {
    for (name, value, said) in [
        ("CHATBOX_NONSENSE", "1", "unknown key `nonsense`; "),
        ("CHATBOX_SHUTDOWN__DRIAN", "5s", "unknown key `shutdown.drian`; "),
        ("CHATBOX_SHUTDOWN__DRAIN", "soon", r#"shutdown.drain: invalid value "soon": "#),
        ("CHATBOX_LIMITS__MAX_CONNECTIONS", "1.5", "limits.max_connections: invalid value 1.5: "),
        ("CHATBOX_LISTEN", "true", r#"listen: invalid value "true": "#),
        ("CHATBOX_AUTH__JWT_SECRET", SECRET, "auth.jwt_secret: has 15 bytes, at least 32 are needed"),
        ("CHATBOX_STORE__URL", SECRET, "store.url: invalid store URL: "),
        ("CHATBOX_STORE", SECRET, "store: invalid value: expected a section of keys"),
        ("CHATBOX_AUTH", SECRET, "auth: invalid value: expected a section of keys"),
    ] {
        let setup = Setup::bare().env("CHATBOX_LISTEN", "127.0.0.1:0").env(name, value);
        let output = setup.run(&[]).await;
        let line = refused(&setup, &output, 2, &[]);
        assert!(line.starts_with(said) && line.ends_with(&format!("(environment: {name})")), "{name}: {line}");
    }
}

#[tokio::test]
async fn a_bad_file_is_named_with_its_value() {
    for (content, said) in [
        ("nonsense = 1", "unknown key `nonsense`; "),
        ("[limits]\nmax = 1", "unknown key `limits.max`; "),
        ("listen = 5", "listen: invalid value 5: "),
        ("auth = 5", "auth: invalid value: expected a section of keys"),
        ("[auth]\njwt_secret = 17", "auth.jwt_secret: invalid value: expected a string"),
        ("[auth]\njwt_secret = \"hunter2-hunter2", "TOML parse error at line 2, column "),
        ("[auth]\njwt_secret = \"hunter2-hunter2\"", "auth.jwt_secret: has 15 bytes"),
        ("[log]\nlevel = \"info\"\nlevel = \"warn\"", "TOML parse error at line 3, column 1: duplicate key `level`"),
    ] {
        for (file, arguments) in [("chatbox.toml", &[][..]), ("other.toml", &["--config", "other.toml"])] {
            let setup = Setup::bare().file(file, content);
            let output = setup.run(arguments).await;
            let line = refused(&setup, &output, 2, &[file]);
            assert!(line.starts_with(said) && line.ends_with(&format!("(file {file})")), "{content}: {line}");
        }
    }
    let setup = Setup::bare();
    let line = refused(&setup, &setup.run(&["--config", "none.toml"]).await, 2, &[]);
    assert_eq!(line, "cannot read none.toml: No such file or directory (os error 2)");
}

#[tokio::test]
async fn settings_that_contradict_each_other_are_named_with_both_sources() {
    let setup = Setup::bare().env("CHATBOX_AUTH__JWT_SECRET", KEY).set("auth.jwt_secret_file=key").file("key", KEY);
    let line = refused(&setup, &setup.run(&[]).await, 2, &["key"]);
    assert_eq!(
        line,
        "auth.jwt_secret and auth.jwt_secret_file are both set: set one of them \
         (environment: CHATBOX_AUTH__JWT_SECRET, command line: auth.jwt_secret_file)"
    );
    let setup = Setup::bare().env("CHATBOX_LISTEN", "127.0.0.1:8080").set("ops_listen=127.0.0.1:8080");
    let line = refused(&setup, &setup.run(&[]).await, 2, &[]);
    assert_eq!(
        line,
        "listen and ops_listen: 127.0.0.1:8080 is the address of both: the ops listener needs its own, or leave ops_listen \
         unset (environment: CHATBOX_LISTEN, command line: ops_listen)"
    );
    let setup = Setup::bare().args(["--store", "memory:"]).set("store.url_file=url").file("url", "memory:");
    let line = refused(&setup, &setup.run(&[]).await, 2, &["url"]);
    assert!(line.starts_with("store.url and store.url_file are both set"), "{line}");
}

#[tokio::test]
async fn what_the_machine_refuses_ends_it_with_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    for key in ["listen", "ops_listen"] {
        let setup = Setup::bare().set("listen=127.0.0.1:0").set(&format!("{key}={at}"));
        let line = refused(&setup, &setup.run(&[]).await, 1, &[]);
        assert_eq!(line, format!("{key}: cannot listen on {at}: Address already in use (os error 98)"));
    }

    let setup = Setup::bare().args(["--listen", "127.0.0.1:0", "--store", "sqlite:none/chat.db"]);
    let line = refused(&setup, &setup.run(&[]).await, 1, &[]);
    assert!(line.starts_with("store.url: cannot open none/chat.db: "), "{line}");

    let setup =
        Setup::bare().args(["--listen", "127.0.0.1:0", "--store", "sqlite:chat.db"]).file("chat.db", "x".repeat(5000));
    let line = refused(&setup, &setup.run(&[]).await, 1, &["chat.db"]);
    assert_eq!(line, "store.url: chat.db is not a chatbox database (command line: store.url)");
}

#[tokio::test]
async fn bad_usage_ends_it_with_exit_code_2() {
    for arguments in
        [&["frobnicate"][..], &["--frobnicate"], &["--set", "novalue"], &["--set", "=x"], &["token"], &["probe"]]
    {
        let setup = Setup::bare();
        let output = setup.run(arguments).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}

/// Asserts that the program ended with this code and one line on stderr that gives no secret away, and left nothing behind but
/// the files that were there. Returns the line without the program's name.
fn refused(setup: &Setup, output: &Output, code: i32, files: &[&str]) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    let line =
        stderr.strip_prefix("chatbox: ").and_then(|rest| rest.strip_suffix('\n')).unwrap_or_else(|| panic!("{stderr}"));
    assert!(!line.contains('\n') && !stderr.contains(SECRET), "{stderr}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains(SECRET));
    let mut left: Vec<_> = std::fs::read_dir(setup.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, files);
    line.to_owned()
}
