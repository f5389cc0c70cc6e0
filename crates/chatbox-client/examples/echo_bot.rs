//! A bot that says again what it hears: `cargo run -p chatbox-client --example echo_bot -- ws://127.0.0.1:8080/chat lobby`.
//!
//! Restart the server as often as you like: it echoes every message exactly once. The id of the echo is made from the
//! message's `seq`, so that even a restart of the bot itself does not echo twice.

use chatbox_client::{Client, Event, JoinFrom};
use std::error::Error;

const NAME: &str = "echo";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let server = arguments.next().unwrap_or_else(|| "ws://127.0.0.1:8080/chat".to_owned());
    let room = arguments.next().unwrap_or_else(|| "lobby".to_owned());

    let (client, mut events) = Client::builder().server(server).user(NAME).connect()?;
    client.join(&room, JoinFrom::Live)?;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = tokio::signal::ctrl_c() => {
                client.close().await;
                continue;
            }
        };
        match event {
            Some(Event::Message { seq, user, body, .. }) if user != NAME => {
                let echo = client.send_with_id(&room, &format!("echo-{seq}"), &format!("{user}: {body}"));
                // Elsewhere: the ack comes in behind the events.
                tokio::spawn(async move {
                    if let Err(error) = echo.await {
                        eprintln!("{error}");
                    }
                });
            }
            Some(Event::Message { .. }) => {}
            Some(event) => println!("{event:?}"),
            None => return Ok(()),
        }
    }
}
