//! A listening TCP socket.

use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections in the accept queue: the kernel must not refuse a fleet that reconnects at once.
const BACKLOG: u32 = 4096;

/// A listening socket with a long accept queue.
#[derive(Debug)]
pub(crate) struct Listener(TcpListener);

impl Listener {
    /// Binds. Accepted sockets inherit `TCP_NODELAY`: no message waits for the next one.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn bind(at: SocketAddr) -> io::Result<Self> {
        let socket = if at.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart must not wait for the TIME_WAIT of old connections.
        socket.set_reuseaddr(true)?;
        socket.set_nodelay(true)?;
        socket.bind(at)?;
        socket.listen(BACKLOG).map(Self)
    }

    /// The bound address.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The next connection. Cancel safe.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.accept().await
    }

    /// Has the kernel drop the SYN of new handshakes, while those that were begun are completed and can be accepted. Their clients repeat the
    /// SYN a second later, and are then refused, or reach the next process. Without such a filter (it is Linux's) a connection that
    /// arrives between the last `accept` and the end of the listener is reset.
    pub(crate) fn ignore_new_handshakes(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Err(error) = SockRef::from(&self.0).attach_filter(&DROP_SYN) {
            tracing::debug!(%error, "Cannot filter new handshakes");
        }
    }
}

/// A classic BPF program over a TCP segment: drops it if of SYN and ACK only SYN is set, else keeps it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const DROP_SYN: [socket2::SockFilter; 5] = {
    use socket2::SockFilter;
    /// The byte of the flags in a TCP header (RFC 9293 section 3.1).
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_listener_that_ignores_new_handshakes_still_accepts_those_that_are_complete() {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let at = listener.address().unwrap();
        let complete = TcpStream::connect(at).await.unwrap();
        listener.ignore_new_handshakes();
        // The SYN is repeated after a second: the connection is neither made nor refused before.
        let late = timeout(Duration::from_millis(500), TcpStream::connect(at)).await;
        assert!(late.is_err(), "{late:?}");
        let (_accepted, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, complete.local_addr().unwrap());
        assert!(timeout(Duration::from_millis(1), listener.accept()).await.is_err());
    }
}
