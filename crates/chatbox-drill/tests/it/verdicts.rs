//! One broken server for each rule fails that rule and no other; the good one passes all.

use crate::{free_port, peer};
use chatbox_drill::{Grade, Options, Profile, Report, Rule, Server, Target, Verdict, run};
use std::time::Duration;

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
    for rule in Rule::ALL {
        assert!(matches!(report.verdict(*rule), Some(Verdict::Pass(_))), "{rule}\n{report}");
    }
    assert_eq!(report.grade, Grade::A);
}

macro_rules! broken {
    ($($name:ident $rule:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                let report = drill(Some(Rule::$rule)).await;
                assert_eq!(failed(&report), [Rule::$rule], "{report}");
            }
        )*

        #[test]
        fn every_rule_has_a_server_that_breaks_it() {
            assert_eq!(Rule::ALL, [$(Rule::$rule,)*]);
        }
    };
}

broken! {
    shutdown_that_never_ends E1
    shutdown_that_ends_with_another_status E2
    shutdown_that_waits_for_a_dead_client E3
    shutdown_that_swallows_a_second_signal E4
    shutdown_without_a_close_frame C1
    shutdown_with_a_code_that_says_nothing C2
    shutdown_that_does_not_await_the_echo C3
    shutdown_that_resets C4
    shutdown_that_goes_on_after_the_close C5
    shutdown_that_closes_everybody_at_once C6
    shutdown_that_does_not_answer_newcomers N1
    shutdown_that_lets_newcomers_in N2
    shutdown_that_does_not_say_when_to_retry N3
    shutdown_while_ready H1
    shutdown_without_liveness H2
    shutdown_that_drops_what_is_queued Q1
    shutdown_that_drops_what_is_being_sent Q2
    shutdown_that_delivers_to_half_a_room Q3
    shutdown_that_forgets_what_it_acknowledged Q4
    shutdown_after_which_a_message_is_missed Q5
}
