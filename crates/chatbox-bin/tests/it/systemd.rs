//! What a service manager with `Type=notify` is sent: readiness, and the time that the shutdown may take.

use crate::harness::{INTERRUPT, Setup, TERMINATE, within};
use tokio::net::UnixDatagram;

async fn received(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 256];
    let length = within("a notification", socket.recv(&mut buffer)).await.unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[tokio::test]
async fn readiness_and_the_time_to_stop_are_notified() {
    for signal in [TERMINATE, INTERRUPT] {
        let setup = Setup::new().set("shutdown.lame_duck=100ms").set("shutdown.grace=123s");
        let path = setup.path().join("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        let setup = setup.env("NOTIFY_SOCKET", path.to_str().unwrap());

        let server = setup.start().await;
        assert_eq!(received(&socket).await, "READY=1\n");
        server.signal(signal);
        assert_eq!(received(&socket).await, "STOPPING=1\nEXTEND_TIMEOUT_USEC=123000000\n");
        assert_eq!(server.wait().await.status.code(), Some(0));
        let nothing_more = socket.try_recv(&mut [0; 256]).map_err(|error| error.kind());
        assert_eq!(nothing_more, Err(std::io::ErrorKind::WouldBlock), "after {signal:?}");
    }
}

#[tokio::test]
async fn a_notification_socket_that_is_gone_stops_nothing() {
    let setup = Setup::new().set("shutdown.lame_duck=0s").env("NOTIFY_SOCKET", "/nowhere/notify.sock");
    let mut server = setup.start().await;
    server.message("Cannot notify systemd").await;
    assert_eq!(server.stop(TERMINATE).await.status.code(), Some(0));
}
