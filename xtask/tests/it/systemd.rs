//! The systemd unit in `deploy/systemd`: checked by systemd's own tools, and against the program's defaults.

use crate::root;
use std::fs;
use std::process::Command;

/// The exposure that `systemd-analyze security` may find at most, in tenths: 0 is a service that can do nothing, 100 one with all powers of root.
const EXPOSURE: &str = "15";

fn unit() -> String {
    fs::read_to_string(root().join("deploy/systemd/chatbox.service")).unwrap()
}

/// The value of a setting that stands once.
fn setting<'a>(unit: &'a str, name: &str) -> &'a str {
    let mut values = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let value = values.next().unwrap_or_else(|| panic!("{name} is missing"));
    assert_eq!(values.next(), None, "{name} is set twice");
    value
}

/// What a command of `systemd-analyze` prints about the unit; `Err` where it finds a fault; `None` where there is no systemd.
fn analyze(arguments: &[&str], unit: &str) -> Option<Result<String, String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chatbox.service");
    // Where the program is installed, there is none here.
    fs::write(&file, unit.replace("/usr/local/bin/chatbox", "/bin/true")).unwrap();
    let Ok(output) = Command::new("systemd-analyze").args(arguments).arg(&file).output() else {
        eprintln!("not run: there is no systemd-analyze");
        return None;
    };
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Some(if output.status.success() { Ok(text) } else { Err(text) })
}

#[test]
fn systemd_finds_no_fault_in_the_unit() {
    // A warning (of an unknown setting, for one) is no failure, but it is printed.
    if let Some(found) = analyze(&["verify"], &unit()) {
        assert_eq!(found, Ok(String::new()));
    }
    if let Some(found) = analyze(&["verify"], &unit().replace("Restart=", "Resart=")) {
        assert!(found.unwrap().contains("Resart"), "an unknown setting is not found");
    }
}

#[test]
fn the_unit_takes_the_powers_that_the_service_does_not_need() {
    let security = ["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE];
    match analyze(&security, &unit()) {
        // systemd before 250 cannot judge a unit that is not installed.
        Some(Err(text)) if text.contains("unrecognized option") => eprintln!("not run: {text}"),
        Some(found) => {
            found.unwrap();
            let open = unit().replace("CapabilityBoundingSet=\n", "\n");
            assert!(analyze(&security, &open).unwrap().is_err(), "the bound admits a service with all capabilities");
        }
        None => {}
    }
}

#[test]
fn the_service_has_its_grace_period_and_a_file_for_every_connection() {
    let (unit, documented) = (unit(), fs::read_to_string(root().join("docs/configuration.md")).unwrap());
    let default = |key: &str| {
        let row = documented.lines().find(|line| line.starts_with(&format!("| `{key}`"))).unwrap();
        row.split('|').nth(2).unwrap().trim().trim_matches('`').trim_end_matches('s').parse::<u64>().unwrap()
    };
    let stop: u64 = setting(&unit, "TimeoutStopSec").trim_end_matches('s').parse().unwrap();
    assert!(stop > default("shutdown.grace"), "{stop} s");
    let files: u64 = setting(&unit, "LimitNOFILE").parse().unwrap();
    assert!(files > default("limits.max_connections"), "{files}");
    assert_eq!(setting(&unit, "Type"), "notify");
    // 2 is a bad configuration, which no restart mends (docs/configuration.md).
    assert_eq!(setting(&unit, "RestartPreventExitStatus"), "2");
}
