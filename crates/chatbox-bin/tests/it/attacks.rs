//! Attacks on the program, over real sockets, each beside clients that must not notice. What came of them is the table
//! in `docs/security.md`: the test fails where it differs, and `UPDATE_TABLE=1` writes it anew.

mod bystanders;
mod costs;
mod dialogue;
mod document;
mod exhaustion;
mod frames;
mod harness;
mod history;
mod http;
mod texts;
mod tokens;
mod upgrades;

use document::{Group, compare_attacks};
use harness::Row;
use std::any::Any;
use std::pin::Pin;
use std::rc::Rc;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, LocalSet};

type Attack = Pin<Box<dyn Future<Output = Vec<Row>>>>;

/// How many servers are under attack at the same time.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn every_attack_ends_as_the_table_says() {
    let groups = [
        ("Opening handshakes", upgrades::all()),
        ("Tokens", tokens::all()),
        ("HTTP", http::all()),
        ("Frames", frames::all()),
        ("Requests", texts::all()),
        ("Resources", exhaustion::all()),
        ("History", history::all()),
    ];
    let (turns, set) = (Rc::new(Semaphore::new(AT_ONCE)), LocalSet::new());
    let running = groups.map(|(name, attacks)| {
        let attacks = attacks.into_iter().map(|attack| set.spawn_local(in_turn(Rc::clone(&turns), attack)));
        let attacks: Vec<_> = attacks.collect();
        (name, attacks)
    });
    set.run_until(async {
        let mut groups = Vec::new();
        for (name, attacks) in running {
            let mut rows = Vec::new();
            for (index, attack) in attacks.into_iter().enumerate() {
                let failed = |error: JoinError| vec![Row::failed(name, index, reason(&*error.into_panic()))];
                rows.extend(attack.await.unwrap_or_else(failed));
            }
            groups.push(Group { name, rows });
        }
        compare_attacks(&groups);
    })
    .await;
}

async fn in_turn(turns: Rc<Semaphore>, attack: Attack) -> Vec<Row> {
    let _turn = turns.acquire().await.unwrap();
    attack.await
}

/// What a panic says: one attack that fails must not hide what became of the others.
fn reason(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
