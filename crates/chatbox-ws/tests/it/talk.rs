//! Messages and control frames while a connection is open.

use crate::service::{Echo, PIPE, RecordingHandler, Service};
use crate::wire::{self, Got};
use chatbox_ws::frame;
use tokio::io::AsyncWriteExt;

#[tokio::test(start_paused = true)]
async fn messages_are_echoed() {
    let service = Service::new();
    let (mut client, _) = service.connect(Echo);
    client.text("hello").await;
    assert_eq!(client.next().await, Got::text("hello"));
    client.send(&wire::binary(&[0xff; 40_000])).await;
    assert_eq!(client.next().await, Got::Binary(vec![0xff; 40_000]));
    client.text("").await;
    assert_eq!(client.next().await, Got::text(""));
}

#[tokio::test(start_paused = true)]
async fn a_message_may_arrive_in_any_pieces() {
    let service = Service::new();
    let (mut client, _) = service.connect(Echo);
    let fragments = [wire::frame(0x01, b"gr\xc3"), wire::ping(b"between"), wire::frame(0x80, b"\xbc\xc3\x9fe")];
    for byte in fragments.concat() {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.next().await, Got::Pong(b"between".to_vec()));
    assert_eq!(client.next().await, Got::text("gr\u{fc}\u{df}e"));
}

#[tokio::test(start_paused = true)]
async fn many_messages_in_one_piece_are_answered_in_order() {
    let service = Service::new();
    let (mut client, _) = service.connect(Echo);
    let stream: Vec<u8> = (0..500).flat_map(|n: u32| wire::text(&n.to_string())).collect();
    client.send(&stream).await;
    for n in 0..500 {
        assert_eq!(client.next().await, Got::text(n.to_string()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_with_its_payload_and_a_pong_with_nothing() {
    let service = Service::new();
    let (mut client, _) = service.connect(Echo);
    client.send(&wire::pong(b"unsolicited")).await;
    client.send(&wire::ping(b"")).await;
    client.send(&wire::ping(&[b'p'; 125])).await;
    client.text("end").await;
    assert_eq!(client.next().await, Got::Pong(vec![]));
    assert_eq!(client.next().await, Got::Pong(vec![b'p'; 125]));
    assert_eq!(client.next().await, Got::text("end"));
}

#[tokio::test(start_paused = true)]
async fn frames_behind_the_handshake_are_served_first() {
    let service = Service::new();
    let early = [wire::text("one"), wire::text("two")].concat();
    // The second is cut in the middle: the rest comes by the socket.
    let (early, late) = early.split_at(12);
    let (mut client, _) = service.connect_with(Echo, early.to_vec(), None);
    client.send(late).await;
    assert_eq!(client.next().await, Got::text("one"));
    assert_eq!(client.next().await, Got::text("two"));
}

#[tokio::test(start_paused = true)]
async fn a_source_is_pulled_after_a_notification() {
    let service = Service::new();
    let handler = RecordingHandler::default();
    let (mut client, connection) = service.connect(handler.clone());
    for n in 0..3 {
        handler.offer([n.to_string()]);
        connection.notify();
        assert_eq!(client.next().await, Got::text(n.to_string()));
    }
    // More than one vectored write takes, and more than the pipe does.
    handler.offer((0..5_000).map(|n| format!("number {n}")));
    connection.notify();
    for n in 0..5_000 {
        assert_eq!(client.next().await, Got::text(format!("number {n}")));
    }
}

#[tokio::test(start_paused = true)]
async fn pushed_frames_precede_pulled_ones() {
    let service = Service::new();
    let handler = RecordingHandler::default();
    handler.offer(["pulled".to_owned()]);
    let (mut client, connection) = service.connect(handler);
    connection.push(|out| frame::text("pushed", out));
    assert_eq!(client.next().await, Got::text("pushed"));
    assert_eq!(client.next().await, Got::text("pulled"));
}

#[tokio::test(start_paused = true)]
async fn messages_larger_than_any_buffer_are_echoed() {
    let service = Service::with(chatbox_ws::Settings::default().with_max_message(1 << 20).with_binary(true));
    let (client, _) = service.connect(Echo);
    let payload: Vec<u8> = (0..1 << 20).map(|at| (at / PIPE) as u8).collect();
    let (reader, mut writer) = tokio::io::split(client.io);
    let mut client = wire::Client { io: tokio::io::join(reader, tokio::io::sink()) };
    let frame = wire::binary(&payload);
    let sent = tokio::spawn(async move { writer.write_all(&frame).await.map(|()| writer) });
    assert!(client.next().await == Got::Binary(payload));
    sent.await.unwrap().unwrap();
}
