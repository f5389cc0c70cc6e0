//! Configuration layers: precedence, sources, and the parsing of values.

use super::*;
use crate::auth::AnonymousPolicy;
use proptest::prelude::*;
use std::path::PathBuf;
use std::time::Duration;

const SECRET: &str = "a-key-of-at-least-thirty-two-bytes-for-tests";

/// Reads a file, variables and flags.
fn load(file: &str, variables: &[(&str, &str)], set: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chatbox.toml");
    std::fs::write(&path, file).unwrap();
    let set = set.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    Loaded::read(&Flags { file: Some(path), set }, variables.iter().copied())
}

fn read(variables: &[(&str, &str)], set: &[(&str, &str)]) -> Result<Loaded, String> {
    load("", variables, set).map_err(|error| error.to_string())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn without_layers_every_value_is_a_default_and_the_defaults_are_valid() {
    let loaded = read(&[], &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    let checked = loaded.check().unwrap();
    assert_eq!((checked.anonymous, checked.keys.is_none()), (AnonymousPolicy::LoopbackPeers, true));
    assert_eq!(checked.store_url.reveal(), "sqlite:chatbox.db");
    assert!(loaded.show().lines().all(|line| line.ends_with("# default")));
}

#[test]
fn text_keys_take_values_that_look_like_numbers_or_booleans() {
    let secret = "00120012001200120012001200120012";
    let variables = [
        ("CHATBOX_AUTH__JWT_SECRET", secret),
        ("CHATBOX_PATH_PREFIX", "/1"),
        ("CHATBOX_LOG__DIRECTORY", "12"),
        ("CHATBOX_AUTH__ISSUER", "true"),
    ];
    let config = read(&variables, &[("log.level", "off")]).unwrap().config;
    assert_eq!(config.auth.jwt_secret.unwrap().reveal(), secret);
    assert_eq!((&*config.path_prefix, &*config.log.level), ("/1", "off"));
    assert_eq!(config.log.directory.unwrap(), PathBuf::from("12"));
    assert_eq!(config.auth.issuer.unwrap(), "true");
}

#[test]
fn lists_durations_and_optional_numbers_are_parsed_in_every_layer() {
    let read = |key: &str, value: &str| read(&[], &[(key, value)]).map(|loaded| loaded.config);
    let origins = |value: &str| {
        let config = read("auth.allowed_origins", value).unwrap();
        config.auth.allowed_origins.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(origins("*"), ["*"]);
    assert_eq!(origins("https://a, https://b,"), ["https://a", "https://b"]);
    assert_eq!(origins(r#"["https://a","https://b"]"#), ["https://a", "https://b"]);
    assert_eq!(origins(""), [""; 0]);
    for (text, wanted) in [("0", 0), ("0s", 0), ("90s", 90), ("1m 30s", 90), ("1h", 3_600)] {
        assert_eq!(read("shutdown.lame_duck", text).unwrap().shutdown.lame_duck, seconds(wanted), "{text}");
    }
    let file = load("[shutdown]\nlame_duck = 0\n[server]\nworkers = 3", &[], &[]).unwrap().config;
    assert_eq!((file.shutdown.lame_duck, file.server.workers.unwrap().get()), (Duration::ZERO, 3));
    assert_eq!(read("server.workers", "3").unwrap().server.workers.unwrap().get(), 3);
    assert_eq!(read("store.retention", "30d").unwrap().store.retention, Retention::For(seconds(30 * 86_400)));
    assert_eq!(read("store.retention", "forever").unwrap().store.retention, Retention::Forever);
}

#[test]
fn an_address_that_cannot_be_listened_on_is_refused_with_what_to_write() {
    for (text, said) in [
        ("localhost", "names are not resolved: write 127.0.0.1:8080, or [::1]:8080 for IPv6"),
        ("localhost:9000", "names are not resolved: write 127.0.0.1:9000, or [::1]:9000 for IPv6"),
        (":9000", "write 127.0.0.1:9000 for this machine only, 0.0.0.0:9000 for IPv4, or [::]:9000 for both"),
        ("*:9000", "write 127.0.0.1:9000 for this machine only"),
        ("9000", "write 127.0.0.1:9000 for this machine only"),
        ("0.0.0.0", "write 0.0.0.0:8080"),
        ("http://0.0.0.0:9000/", "write 0.0.0.0:9000"),
        ("::1:9000", "write [::1]:9000"),
        ("::", "write [::]:8080"),
        ("[::]", "write [::]:8080"),
        ("127.0.0.1:99999", "write 127.0.0.1:8080"),
        ("chat.example:80", "names are not resolved: write an IP address and a port, such as 127.0.0.1:80"),
        ("300.0.0.1:80", "expected an IP address and a port, such as 127.0.0.1:8080"),
    ] {
        for key in ["listen", "ops_listen"] {
            let error = read(&[], &[(key, text)]).unwrap_err();
            assert!(error.starts_with(&format!("{key}: invalid value {text:?}: {said}")), "{error}");
        }
    }
    let config = read(&[("CHATBOX_LISTEN", "[::1]:9000"), ("CHATBOX_OPS_LISTEN", "0.0.0.0:1")], &[]).unwrap().config;
    assert_eq!((&*config.listen.to_string(), &*config.ops_listen.unwrap().to_string()), ("[::1]:9000", "0.0.0.0:1"));
}

#[test]
fn a_path_prefix_is_normalised_or_refused() {
    let prefix = |text| read(&[("CHATBOX_PATH_PREFIX", text)], &[]).map(|loaded| loaded.config.path_prefix);
    for (text, normalised) in [("/", ""), ("/chat", "/chat"), ("/chat/", "/chat"), ("/a/b-c_d.e~f/", "/a/b-c_d.e~f")] {
        assert_eq!(prefix(text).as_deref(), Ok(normalised));
    }
    for text in ["chat", "//", "/a//b", "/a/../b", "/./a", "/a b", "/ä", "/{room}", "/a?b", "http://x/chat"] {
        let error = prefix(text).unwrap_err();
        let said = format!("path_prefix: invalid value {text:?}: must be empty, or a path such as /chat");
        assert!(error.starts_with(&said), "{error}");
    }
}

#[test]
fn variables_of_other_programs_are_ignored() {
    let foreign = [("PATH", "/bin"), ("CHATBOX_PORT", "tcp://10.0.0.1:80"), ("CHATBOX_TEST_X", "1")];
    assert_eq!(read(&foreign, &[]).unwrap().config, Config::default());
}

#[test]
fn an_unknown_key_is_refused_with_the_most_similar_known_one() {
    for (variable, suggested) in [
        ("CHATBOX_SHUTDOWN_DRAIN", "CHATBOX_SHUTDOWN__DRAIN"),
        ("CHATBOX_SHUTDOWN__DRIAN", "CHATBOX_SHUTDOWN__DRAIN"),
        ("CHATBOX_DRAIN", "CHATBOX_SHUTDOWN__DRAIN"),
        ("CHATBOX_STORE_URL", "CHATBOX_STORE__URL"),
        ("CHATBOX_LISTEN_ADDR", "CHATBOX_LISTEN"),
    ] {
        let error = load("", &[(variable, "1")], &[]).unwrap_err();
        let ConfigErrorKind::UnknownKey { suggestion, .. } = error.kind() else { panic!("{error}") };
        assert_eq!(suggestion.as_deref(), Some(suggested), "{variable}");
        assert_eq!(error.sources(), [ConfigSource::Environment(variable.to_owned())]);
    }
    for (flag, suggestion) in [("limits.burts", Some("limits.burst")), ("nonsense", None)] {
        let error = load("", &[], &[(flag, "1")]).unwrap_err();
        let ConfigErrorKind::UnknownKey { suggestion: found, .. } = error.kind() else { panic!("{error}") };
        assert_eq!(found.as_deref(), suggestion);
        assert_eq!(error.keys().collect::<Vec<_>>(), [flag]);
    }
}

/// `docker run -e CHATBOX_AUTH__JWT_SECRET=$UNSET` sets empty variables.
#[test]
fn an_empty_text_leaves_its_key_unset_in_every_layer() {
    let empty: Vec<String> = show::keys(&layers::defaults());
    let variables: Vec<_> = empty.iter().map(|key| environment::variable(key)).collect();
    let variables: Vec<_> = variables.iter().map(|name| (name.as_str(), "")).collect();
    let file =
        "path_prefix = \"/x\"\n[auth]\njwt_secret = \"\"\nissuer = \"\"\n[store]\nurl = \"\"\n[log]\nlevel = \"\"";
    let loaded = load(file, &variables, &[("auth.audience", ""), ("shutdown.drain", ""), ("listen", "")]).unwrap();
    assert_eq!(loaded.config, Config { path_prefix: "/x".to_owned(), ..Config::default() });
    assert!(loaded.check().is_ok());
    // An empty prefix and an empty list are values.
    let loaded = load(file, &[], &[("path_prefix", ""), ("auth.allowed_origins", "")]).unwrap();
    assert_eq!(loaded.config.path_prefix, "");
}

#[test]
fn rust_log_sets_the_level_unless_another_layer_does() {
    let rust_log = ("RUST_LOG", "chatbox=debug");
    let loaded = read(&[rust_log], &[]).unwrap();
    assert_eq!(loaded.config.log.level, "chatbox=debug");
    assert_eq!(loaded.source("log.level").to_string(), "environment: RUST_LOG");
    let file = "[log]\nlevel = \"info\"";
    assert_eq!(load(file, &[rust_log], &[]).unwrap().config.log.level, "info");
    assert_eq!(read(&[("RUST_LOG", "")], &[]).unwrap().config.log.level, "info");
    let error = read(&[("RUST_LOG", "a=b=c")], &[]).unwrap().check().unwrap_err().to_string();
    assert!(error.starts_with("log.level: invalid value \"a=b=c\": "), "{error}");
    assert!(error.ends_with("(environment: RUST_LOG)"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let value = OsStr::from_bytes(b"hunter2\xff");
    for (name, shown) in [("CHATBOX_LOG__DIRECTORY", true), ("CHATBOX_AUTH__JWT_SECRET", false)] {
        let variables = [(OsStr::new(name), value), (OsStr::new("OTHER"), value)];
        let error = Loaded::read(&Flags::default(), variables).unwrap_err().to_string();
        assert!(error.ends_with(&format!(": is not UTF-8 (environment: {name})")), "{error}");
        assert_eq!(error.contains("hunter2"), shown, "{error}");
    }
}

#[test]
fn a_secret_file_may_end_with_a_newline() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    for end in ["", "\n", "\r\n"] {
        std::fs::write(&path, format!("{SECRET}{end}")).unwrap();
        let loaded = read(&[], &[("auth.jwt_secret_file", path.to_str().unwrap())]).unwrap();
        let checked = loaded.check().unwrap();
        assert_eq!(checked.token_signer.unwrap().secret.reveal(), SECRET);
        assert_eq!(checked.anonymous, AnonymousPolicy::Never);
    }
    std::fs::write(&path, "memory:\n").unwrap();
    let loaded = read(&[], &[("store.url_file", path.to_str().unwrap())]).unwrap();
    assert_eq!(loaded.check().unwrap().store_url.reveal(), "memory:");
}

#[test]
fn a_key_directory_without_keys_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let error = read(&[], &[("auth.jwt_keys_dir", path)]).unwrap().check().unwrap_err().to_string();
    assert_eq!(error, format!("auth.jwt_keys_dir: {path} holds no key (command line: auth.jwt_keys_dir)"));
}

proptest! {
    #[test]
    fn the_last_layer_that_sets_a_key_wins_and_is_its_source(file in 0..9_u32, variable in 0..9_u32, flag in 0..9_u32) {
        let burst = |value: u32| (value > 0).then(|| value.to_string());
        let text = burst(file).map_or(String::new(), |burst| format!("[limits]\nburst = {burst}"));
        let (variable, flag) = (burst(variable), burst(flag));
        let variables: Vec<_> = variable.iter().map(|burst| ("CHATBOX_LIMITS__BURST", burst.as_str())).collect();
        let set: Vec<_> = flag.iter().map(|burst| ("limits.burst", burst.as_str())).collect();
        let loaded = load(&text, &variables, &set).unwrap();
        let wanted = flag.clone().or(variable.clone()).or(burst(file)).unwrap_or_else(|| "100".to_owned());
        prop_assert_eq!(loaded.config.limits.burst.to_string(), wanted);
        prop_assert_eq!(loaded.config.limits.max_connections.get(), 100_000);
        let source = loaded.source("limits.burst");
        let expected = match (flag, variable, burst(file)) {
            (Some(_), _, _) => matches!(source, ConfigSource::CommandLine(ref key) if key == "limits.burst"),
            (_, Some(_), _) => matches!(source, ConfigSource::Environment(ref name) if name == "CHATBOX_LIMITS__BURST"),
            (_, _, Some(_)) => matches!(source, ConfigSource::File(_)),
            _ => source == ConfigSource::Default,
        };
        prop_assert!(expected, "{:?}", source);
    }

    #[test]
    fn no_value_panics_or_shows_a_secret(key in "[a-z_.]{0,20}", value in ".{0,40}") {
        let secret = format!("hunter2{value}");
        // Of a store URL, the text before its colon is shown.
        let url = format!("ann:{secret}");
        for (key, secret) in [(&*key, &secret), ("auth.jwt_secret", &secret), ("store.url", &url)] {
            let loaded = read(&[], &[(key, secret)]).map(|loaded| loaded.check().map(|_| ()).map_err(|error| error.to_string()));
            if let (Err(text) | Ok(Err(text)), "auth.jwt_secret" | "store.url") = (loaded, key) {
                prop_assert!(!text.contains("hunter2"), "{}", text);
            }
        }
    }
}
