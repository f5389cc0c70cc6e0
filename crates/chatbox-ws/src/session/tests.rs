//! Properties of a session that cannot be seen from outside: its size, and its scheduled wake-ups.

use super::*;
use crate::handler::Message;
use crate::settings::Settings;
use crate::transport::Transport;
use bytes::Bytes;
use chatbox_core::{Connection, Limits, Registry};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

struct Mute;

impl Handler for Mute {
    fn on_message(&mut self, _: &Arc<Connection>, _: Message<'_>) -> Result<(), CloseReason> {
        Ok(())
    }
}

#[test]
fn an_idle_session_stays_small() {
    let size = size_of::<SessionTask<TcpStream, Mute>>();
    assert!(size <= 152, "{size}");
}

#[tokio::test(start_paused = true)]
async fn stalls_do_not_multiply_the_wake_ups() {
    // The deadline of a stall is earlier than the next heartbeat: its wake-up replaces the scheduled one, which comes all the same.
    let settings =
        Settings::default().with_heartbeat_interval(Duration::from_secs(10)).with_write_timeout(Duration::from_secs(1));
    let transport = Transport::new(settings);
    let (mut client, server) = tokio::io::duplex(64);
    let lease = Registry::new(Limits::default(), ()).admit("alice").expect("there is room");
    let connection = Arc::clone(lease.connection());
    tokio::spawn(transport.serve(server, Bytes::new(), lease, Mute, None));

    let mut most = 0;
    for round in 0..100 {
        connection.push(|out| out.extend([0; 100]));
        for tenth in 0..20 + round * 7 % 13 {
            // A pong, which postpones the heartbeat.
            client.write_all(&[0x8a, 0x80, 0, 0, 0, 0]).await.expect("the session runs");
            sleep(Duration::from_millis(100)).await;
            if tenth == 5 {
                client.read_exact(&mut [0; 100]).await.expect("the session runs");
            }
        }
        most = most.max(transport.shared.wheel.scheduled());
    }
    assert!(most <= 6, "{most} wake-ups are scheduled");
}

#[tokio::test(start_paused = true)]
async fn a_peer_with_much_to_read_may_answer_late() {
    let transport = Transport::new(Settings::default());
    let timeout = transport.settings().heartbeat_timeout;
    for written in [0, 1 << 20] {
        // The stream takes everything, as a kernel's buffers do; the peer reads none of it.
        let (client, server) = tokio::io::duplex(2 << 20);
        let lease = Registry::new(Limits::default(), ()).admit("alice").expect("there is room");
        let connection = Arc::clone(lease.connection());
        let session = tokio::spawn(transport.serve(server, Bytes::new(), lease, Mute, None));
        let began = tokio::time::Instant::now();
        connection.push(|out| out.extend(vec![0; written]));
        session.await.expect("the session ends");
        let lasted = began.elapsed();
        let at_16_kib_a_second = Duration::from_secs(written as u64 / (16 * 1024));
        assert!(lasted >= timeout + at_16_kib_a_second, "{lasted:?} for {written} bytes");
        assert!(lasted <= timeout + at_16_kib_a_second + Duration::from_secs(1), "{lasted:?} for {written} bytes");
        drop(client);
    }
}
