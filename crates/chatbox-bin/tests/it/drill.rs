//! The service under its own grader: every rule of `chatbox-drill` that applies passes, with messages and resume looked into.

use chatbox_drill::{Grade, Options, Profile, Rule, Server, Target, Verdict, run};
use std::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn drain_is_graded_a_and_no_rule_fails() {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let command = [
        env!("CARGO_BIN_EXE_chatbox").to_owned(),
        "serve".to_owned(),
        format!("--listen=127.0.0.1:{port}"),
        format!("--store=sqlite:{}", folder.path().join("chatbox.db").display()),
    ];
    let target = |path: &str| format!("http://127.0.0.1:{port}/chat/{path}").parse::<Target>().unwrap();
    let mut options = Options::new(target("ws"), Server::Command(command.map(Into::into).to_vec()));
    options.profile = Profile::load("chatbox.v1").unwrap();
    options.ready = Some(target("readyz"));
    options.live = Some(target("healthz"));
    let report = run(&options, |_| {}).await.unwrap();
    for rule in Rule::ALL {
        assert!(matches!(report.verdict(*rule), Some(Verdict::Pass(_))), "{rule}\n{report}");
    }
    assert_eq!(report.grade, Grade::A);
}
