//! Appends a line to a room and prints the room: `cargo run --example log -- lobby "hello"`.
//!
//! The messages stay in `log.db`, so run it more than once.

use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use chatbox_store::{Append, Appended, Draft, open};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let room = arguments.next().unwrap_or_else(|| "lobby".into());
    let store = open(&"sqlite:log.db".parse()?).await?;

    if let Some(body) = arguments.next() {
        let now = SystemTime::UNIX_EPOCH.elapsed()?;
        let draft = Draft {
            user: "alice".into(),
            // A message that is sent again after a failure must have the same id.
            id: now.as_nanos().to_string().into(),
            body: body.into(),
            at_ms: now.as_millis().try_into()?,
        };
        let mut expected_head = store.span(&room).await?.head;
        loop {
            let append = Append { room: (*room).into(), expected_head, messages: vec![draft.clone()] };
            match store.append(Arc::from([append])).await?.remove(0) {
                Appended::All(results) => break println!("stored: {results:?}"),
                Appended::HeadMoved { head } | Appended::Partly { head, .. } => expected_head = head,
            }
        }
    }

    let mut after = 0;
    loop {
        let page = store.read(&room, after, 100).await?;
        let Some(last) = page.last_seq() else { break };
        after = last;
        for message in &page.messages {
            println!("{:>5} {}: {}", message.seq, message.user, message.body);
        }
    }
    store.close().await?;
    Ok(())
}
