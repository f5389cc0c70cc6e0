//! Those who come with a token that is not good, or not with one token.

use super::Attack;
use super::costs::Load;
use super::harness::{Case, case, under};
use crate::harness::{Server, get};
use crate::tokens::{bad, send_a_megabyte, setup};

pub(super) fn all() -> Vec<Attack> {
    vec![Box::pin(async {
        let (setup, public) = setup();
        under(setup, Load { heads: 1, ..Load::default() }, async |server| refused(server, &public).await).await
    })]
}

async fn refused(server: &Server, public: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for bad in bad(public) {
        cases.push(case(bad.what, bad.expected(), bad.observed(server).await));
    }
    send_a_megabyte(server).await;
    cases.push(case("a megabyte", "it is not read to its end: 431 or no answer, closed", "431 or no answer, closed"));
    let metrics = get(server.at, "/metrics").await.unwrap().body;
    assert!(metrics.contains("\nchatbox_connections_opened_total 2\n"), "no other connection was accepted:\n{metrics}");
    cases
}
