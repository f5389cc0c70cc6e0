//! Closing over real sockets: no connection ends in a reset.

use crate::service::{Echo, RecordingHandler, Service, going_away};
use crate::wire::{self, Client, Got};
use chatbox_core::{CloseCode, CloseError, CloseSummary, ClosedBy, Outcome};
use chatbox_ws::Settings;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A connection over loopback, served in a task of its own.
async fn connect(service: &Service, handler: impl chatbox_ws::Handler) -> Client<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (server, _) = accepted.unwrap();
    tokio::spawn(service.transport.serve(server, bytes::Bytes::new(), service.admit(), handler, None));
    Client { io: client.unwrap() }
}

/// Writes `first`, then goes on writing until the server has shut its side; reads everything meanwhile.
async fn talk_to_the_end(client: Client<TcpStream>, first: Vec<u8>, flood: Vec<u8>) -> Vec<Got> {
    let (read, mut write) = client.io.into_split();
    let mut reader = Client { io: tokio::io::join(read, tokio::io::sink()) };
    let writer = tokio::spawn(async move {
        write.write_all(&first).await.unwrap();
        for piece in flood.chunks(10_000) {
            // The server may be gone before all of this is said; what counts is what the reader sees.
            if write.write_all(piece).await.is_err() {
                break;
            }
        }
        write
    });
    let mut got = Vec::new();
    loop {
        match reader.try_next().await.expect("the server reset the connection") {
            Got::Eof => break,
            frame => got.push(frame),
        }
    }
    writer.await.unwrap();
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_violator_that_goes_on_sending_gets_its_close_and_no_reset() {
    let mut service = Service::new();
    for round in 0..300 {
        let client = connect(&service, Echo).await;
        let (first, code) = match round % 3 {
            0 => (wire::unmasked(), 1002),
            1 => (wire::frame(0x81, b"\xff"), 1007),
            _ => (wire::binary(&[0; 65_537]), 1009),
        };
        let flood = vec![0; if round % 2 == 0 { 300_000 } else { 3_000 }];
        let got = talk_to_the_end(client, first, flood).await;
        assert!(matches!(&got[..], [Got::Close(sent, _)] if *sent == code), "{got:?}");
        assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::new(code), ClosedBy::Server));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_on_sending_behind_its_close_gets_no_reset() {
    let mut service = Service::new();
    for _ in 0..300 {
        let client = connect(&service, Echo).await;
        // In one write, so that there is something behind the Close when it is read.
        let first = [wire::text("hello"), wire::close(1000), wire::text("and another thing")].concat();
        let got = talk_to_the_end(client, first, vec![0; 30_000]).await;
        assert_eq!(got, [Got::text("hello"), Got::Close(1000, String::new())]);
        assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::NORMAL, ClosedBy::Client));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_under_load_answers_everything_and_resets_no_connection() {
    const CLIENTS: usize = 50;
    let settings = Settings::default().with_binary(true);
    let service = Service::with(settings);
    let (started, mut all_started) = tokio::sync::mpsc::channel(CLIENTS);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = connect(&service, Echo).await;
        let started = started.clone();
        clients.push(tokio::spawn(async move {
            client.text("hello").await;
            assert_eq!(client.next().await, Got::text("hello"));
            started.send(()).await.unwrap();
            drop(started);
            // A ping-pong of binary messages until the server closes; the Close comes on a frame's border.
            let mut answered = 0u32;
            loop {
                client.send(&wire::binary(&[7; 1_000])).await;
                match client.try_next().await.expect("the server reset the connection") {
                    Got::Binary(_) => answered += 1,
                    close => {
                        assert_eq!(close, Got::Close(1001, going_away().text().to_owned()));
                        break;
                    }
                }
            }
            client.close(1001).await;
            assert_eq!(client.try_next().await.expect("the server reset the connection"), Got::Eof);
            answered
        }));
    }
    drop(started);
    while all_started.recv().await.is_some() {}
    let tally = service.drain().await;
    assert_eq!((tally.at_signal, tally.closed), (CLIENTS as u64, CLIENTS as u64));
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_reads_late_gets_its_queue_and_its_close() {
    let mut service = Service::new();
    let handler = RecordingHandler::default();
    // More than the buffers of both sockets hold.
    let megabyte = "m".repeat(1 << 20);
    handler.offer((0..32).map(|_| megabyte.clone()));
    let mut client = connect(&service, handler).await;
    let mut first = [0; 10];
    client.io.read_exact(&mut first).await.unwrap();
    for connection in service.registry.begin_drain() {
        connection.close(crate::service::order_to_close());
    }
    let mut rest = vec![0; 1 << 20];
    client.io.read_exact(&mut rest).await.unwrap();
    for _ in 1..32 {
        assert!(client.next().await == Got::text(&megabyte));
    }
    assert_eq!(client.next().await, Got::Close(1001, "server shutting down".to_owned()));
    client.close(1001).await;
    assert_eq!(client.rest().await, []);
    assert_eq!(service.ended().await, CloseSummary::closed(CloseCode::GOING_AWAY, ClosedBy::Server));
}

#[tokio::test]
async fn a_reset_by_the_client_counts_as_peer_gone() {
    let mut service = Service::new();
    let mut client = connect(&service, Echo).await;
    client.text("hello").await;
    assert_eq!(client.next().await, Got::text("hello"));
    // Closing with a linger time of zero resets.
    client.io.set_zero_linger().unwrap();
    drop(client);
    let ended = tokio::time::timeout(Duration::from_secs(10), service.ended()).await.unwrap();
    assert_eq!((ended.outcome, ended.code), (Outcome::PeerGone, CloseCode::ABNORMAL));
    assert_eq!(ended.error, Some(CloseError::Reset));
}
