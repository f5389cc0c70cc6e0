//! The layers of the configuration: which one wins, and what their texts are taken for.

use super::*;
use proptest::prelude::*;

/// Reads these layers, without a file.
fn read(variables: &[(&str, &str)], set: &[(&str, &str)]) -> Result<Loaded, String> {
    let own = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let flags = Flags { file: Some("/dev/null".into()), set: own(set) };
    let variables: Vec<(String, String)> = own(variables);
    Loaded::read(&flags, variables).map_err(|error| error.to_string())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn without_layers_it_is_the_default_and_the_default_holds_together() {
    let loaded = read(&[], &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    let checked = loaded.check().unwrap();
    assert!(checked.anonymous && checked.keys.is_none());
    assert_eq!(checked.store_url.reveal(), "sqlite:chatbox.db");
    assert!(loaded.show().lines().all(|line| line.ends_with("# default")));
}

#[test]
fn texts_stay_texts_whatever_they_look_like() {
    let secret = "00120012001200120012001200120012";
    let variables =
        [("CHATBOX_AUTH__JWT_SECRET", secret), ("CHATBOX_PATH_PREFIX", "/1"), ("CHATBOX_LOG__DIRECTORY", "12")];
    let config = read(&variables, &[("log.level", "off")]).unwrap().config;
    assert_eq!(config.auth.jwt_secret.unwrap().reveal(), secret);
    assert_eq!((&*config.path_prefix, &*config.log.level), ("/1", "off"));
    assert_eq!(config.log.directory.unwrap(), PathBuf::from("12"));
}

#[test]
fn lists_and_durations_are_read_as_people_write_them() {
    let read = |key: &str, value: &str| read(&[], &[(key, value)]).map(|loaded| loaded.config);
    let origins = |value: &str| read("auth.allowed_origins", value).unwrap().auth.allowed_origins;
    assert_eq!(origins("*"), ["*"]);
    assert_eq!(origins("https://a, https://b,"), ["https://a", "https://b"]);
    assert_eq!(origins(r#"["https://a","https://b"]"#), ["https://a", "https://b"]);
    assert_eq!(origins(""), [""; 0]);
    for (text, wanted) in [("0", 0), ("0s", 0), ("90s", 90), ("1m 30s", 90), ("1h", 3_600)] {
        assert_eq!(read("shutdown.lame_duck", text).unwrap().shutdown.lame_duck, seconds(wanted), "{text}");
    }
    assert_eq!(read("store.retention", "30d").unwrap().store.retention, Retention::For(seconds(30 * 86_400)));
    assert_eq!(read("store.retention", "forever").unwrap().store.retention, Retention::Forever);
}

#[test]
fn variables_of_others_are_left_alone() {
    let foreign =
        [("PATH", "/bin"), ("CHATBOX_PORT", "tcp://10.0.0.1"), ("CHATBOX_SERVICE_PORT", "80"), ("CHATBOX_TEST_X", "1")];
    assert_eq!(read(&foreign, &[]).unwrap().config, Config::default());
    assert!(read(&[("CHATBOX_PORTS", "1")], &[]).unwrap_err().starts_with("unknown key `ports`"));
}

#[test]
fn a_secret_may_come_from_a_file_whose_last_newline_is_none_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let secret = "a-key-of-at-least-thirty-two-bytes-for-tests";
    for end in ["", "\n", "\r\n"] {
        std::fs::write(&path, format!("{secret}{end}")).unwrap();
        let loaded = read(&[], &[("auth.jwt_secret_file", path.to_str().unwrap())]).unwrap();
        let checked = loaded.check().unwrap();
        assert_eq!(checked.mint.unwrap().secret.reveal(), secret);
        assert!(!checked.anonymous, "with a key, names are not believed");
    }
    std::fs::write(&path, "memory:\n").unwrap();
    let loaded = read(&[], &[("store.url_file", path.to_str().unwrap())]).unwrap();
    assert_eq!(loaded.check().unwrap().store_url.reveal(), "memory:");
}

#[test]
fn a_directory_without_keys_is_no_reason_to_believe_names() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let error = read(&[], &[("auth.jwt_keys_dir", path)]).unwrap().check().unwrap_err().to_string();
    assert_eq!(error, format!("auth.jwt_keys_dir: {path} holds no key (command line: auth.jwt_keys_dir)"));
}

proptest! {
    #[test]
    fn the_last_layer_that_sets_a_key_wins_and_is_named(file: Option<u32>, variable: Option<u32>, flag: Option<u32>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.toml");
        std::fs::write(&path, file.map_or(String::new(), |burst| format!("[limits]\nburst = {burst}"))).unwrap();
        let variables = variable.map(|burst| ("CHATBOX_LIMITS__BURST".to_owned(), burst.to_string()));
        let set = flag.iter().map(|burst| ("limits.burst".to_owned(), burst.to_string())).collect();
        let loaded = Loaded::read(&Flags { file: Some(path.clone()), set }, variables).unwrap();
        prop_assert_eq!(loaded.config.limits.burst, flag.or(variable).or(file).unwrap_or(100));
        prop_assert_eq!(loaded.config.limits.max_connections, 100_000, "its neighbours are as they were");
        let source = match (flag, variable, file) {
            (Some(_), _, _) => Some("command line: limits.burst".to_owned()),
            (_, Some(_), _) => Some("environment: CHATBOX_LIMITS__BURST".to_owned()),
            (_, _, Some(_)) => Some(format!("file {}", path.display())),
            _ => None,
        };
        prop_assert_eq!(loaded.source("limits.burst"), source);
    }

    #[test]
    fn no_text_makes_reading_panic_or_shows_a_secret(key in "[a-z_.]{0,20}", value in ".{0,40}") {
        let secret = format!("hunter2{value}");
        for key in [&*key, "auth.jwt_secret", "store.url"] {
            let loaded = read(&[], &[(key, &secret)]).map(|loaded| loaded.check().map(|_| ()).map_err(|error| error.to_string()));
            if let (Err(text) | Ok(Err(text)), "auth.jwt_secret" | "store.url") = (loaded, key) {
                prop_assert!(!text.contains("hunter2"), "{}", text);
            }
        }
    }
}
