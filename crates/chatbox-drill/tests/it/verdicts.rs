//! One broken server for each rule fails that rule and no other; the good one passes all.

use crate::{free_port, peer};
use chatbox_drill::{Grade, Options, Profile, Report, Rule, Server, Target, Verdict, run};
use std::time::Duration;
use tokio::task::JoinSet;

const PROFILE: &str = r"
name = 'peer'
level = 'L2'
join = 'join {room}'
joined = '^joined '
send = 'send {room} {key} {pad}'
received = '^message \S+ \d+ (?<key>\S+)'
ack = '^ack (?<key>\S+)'
position = '^message \S+ (?<last>\d+)'
resume = 'resume {room} {last}'
";

/// Drills the peer with that fault.
async fn drill(fault: Option<Rule>) -> Report {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let mut command = vec![peer().into(), port.to_string().into(), folder.path().join("log").into()];
    command.extend(fault.map(|rule| rule.id().into()));
    let target = |path: &str| format!("http://127.0.0.1:{port}{path}").parse::<Target>().unwrap();
    let mut options = Options::new(target("/ws"), Server::Command(command));
    options.profile = Profile::parse("peer", PROFILE).unwrap();
    options.ready = Some(target("/ready"));
    options.live = Some(target("/live"));
    options.grace = Duration::from_secs(15);
    run(&options, |_| {}).await.unwrap_or_else(|error| panic!("{error}"))
}

fn failed(report: &Report) -> Vec<Rule> {
    let failed = |rule: &&Rule| matches!(report.verdict(**rule), Some(Verdict::Fail(_)));
    Rule::ALL.iter().filter(failed).copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_server_passes_every_rule() {
    let report = drill(None).await;
    assert_eq!(Rule::ALL.len(), 20, "each has its server below");
    for rule in Rule::ALL {
        assert!(matches!(report.verdict(*rule), Some(Verdict::Pass(_))), "{rule}\n{report}");
    }
    assert_eq!(report.grade, Grade::A);
}

/// Drills a server for each of the rules, which breaks it and nothing else. Side by side: a drill waits most of the time.
async fn each_is_found(rules: &[Rule]) {
    let mut drills = JoinSet::new();
    for rule in rules.iter().copied() {
        drills.spawn(async move { (rule, drill(Some(rule)).await) });
    }
    while let Some(drilled) = drills.join_next().await {
        let (rule, report) = drilled.unwrap();
        assert_eq!(failed(&report), [rule], "{rule}\n{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_exit_well_are_found() {
    each_is_found(&[Rule::E1, Rule::E2, Rule::E3, Rule::E4]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_close_well_are_found() {
    each_is_found(&[Rule::C1, Rule::C2, Rule::C3, Rule::C4, Rule::C5, Rule::C6]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_mislead_newcomers_and_probes_are_found() {
    each_is_found(&[Rule::N1, Rule::N2, Rule::N3, Rule::H1, Rule::H2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_lose_messages_are_found() {
    each_is_found(&[Rule::Q1, Rule::Q2, Rule::Q3, Rule::Q4, Rule::Q5]).await;
}
