//! A client that writes any bytes, and reads and checks the server's frames.

pub(crate) use chatbox_testing::{binary, close, frame, ping, pong, text, unmasked};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// A frame of the server, or the end of its stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    /// The end of the stream, between two frames.
    Eof,
}

impl Got {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// The client's end of a connection whose handshake is done.
pub(crate) struct Client<S> {
    pub(crate) io: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.io.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn text(&mut self, payload: &str) {
        self.send(&text(payload)).await;
    }

    pub(crate) async fn close(&mut self, code: u16) {
        self.send(&close(code)).await;
    }

    /// The next frame. Fails if it is not a valid, complete, unmasked server frame, or if none comes.
    pub(crate) async fn next(&mut self) -> Got {
        timeout(Duration::from_secs(600), self.try_next()).await.expect("a frame").unwrap()
    }

    /// The next frame that is not a ping; pings are answered.
    pub(crate) async fn next_but_pings(&mut self) -> Got {
        loop {
            match self.next().await {
                Got::Ping(payload) => self.send(&pong(&payload)).await,
                other => return other,
            }
        }
    }

    /// The next frame, or the transport's error.
    pub(crate) async fn try_next(&mut self) -> io::Result<Got> {
        let mut head = [0; 2];
        if self.io.read(&mut head[..1]).await? == 0 {
            return Ok(Got::Eof);
        }
        self.io.read_exact(&mut head[1..]).await?;
        assert_eq!(head[0] & 0x70, 0, "a reserved bit is set");
        assert_eq!(head[1] & 0x80, 0, "a server's frame is masked");
        let len = match head[1] {
            126 => u64::from(self.io.read_u16().await?),
            127 => self.io.read_u64().await?,
            len => u64::from(len),
        };
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.io.read_exact(&mut payload).await?;
        Ok(match head[0] {
            0x81 => Got::Text(String::from_utf8(payload).unwrap()),
            0x82 => Got::Binary(payload),
            0x88 => {
                let text = String::from_utf8(payload[2..].to_vec()).unwrap();
                Got::Close(u16::from_be_bytes([payload[0], payload[1]]), text)
            }
            0x89 => Got::Ping(payload),
            0x8a => Got::Pong(payload),
            other => panic!("unexpected first byte {other:#x}"),
        })
    }

    /// Everything up to the end of the stream.
    pub(crate) async fn rest(&mut self) -> Vec<Got> {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Got::Eof => return all,
                got => all.push(got),
            }
        }
    }
}
