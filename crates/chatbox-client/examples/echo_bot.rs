//! A bot that repeats every message: `cargo run -p chatbox-client --example echo_bot -- ws://127.0.0.1:8080/chat lobby`.
//!
//! It echoes every message exactly once, however often the server is restarted. The id of the echo is made from the message's
//! `seq`, so that a restart of the bot does not echo twice, either. Ctrl-C waits for the acks and closes the connection.

use chatbox_client::{Client, Event, JoinFrom};
use std::error::Error;
use std::time::Duration;

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
                // The acks are read by the task that delivers events: nothing may wait for them any more.
                drop(events);
                let _ = tokio::time::timeout(Duration::from_secs(5), client.acked()).await;
                client.close().await;
                return Ok(());
            }
        };
        match event {
            Some(Event::Message { seq, user, body, .. }) if user != NAME => {
                let echo = client.send_with_id(&room, &format!("echo-{seq}"), &format!("{user}: {body}"));
                // In another task: the ack is read behind the events.
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
