//! Connections that never read and never answer a Close frame: clients that a drain has to cut.

use crate::SoakError;
use crate::plan::Plan;
use chatbox_client::{Dialer, Stream, Target};
use http::Uri;
use std::io::{self, ErrorKind};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The time for one connection.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest head of a response that is read.
const MAX_HEAD: usize = 16 << 10;

/// Opens the plan's number of connections, in turn over all servers. They last until they are dropped.
pub(crate) async fn open(plan: &Plan) -> Result<Vec<Stream>, SoakError> {
    let mut open = Vec::new();
    for (number, url) in (0..plan.stubborn).zip(plan.servers.iter().cycle()) {
        let user = format!("{}-stubborn-{number}", plan.user(0));
        let stream = match tokio::time::timeout(TIMEOUT, connect(plan, url, &user)).await {
            Ok(stream) => stream,
            Err(_) => Err(ErrorKind::TimedOut.into()),
        };
        open.push(stream.map_err(|source| SoakError::Stubborn { url: url.clone(), source })?);
    }
    Ok(open)
}

async fn connect(plan: &Plan, url: &str, user: &str) -> io::Result<Stream> {
    let invalid = |fault: &str| io::Error::new(ErrorKind::InvalidInput, fault);
    let base = url.trim_end_matches('/').trim_end_matches("/ws");
    let uri: Uri = format!("{base}/ws?user={user}").parse().map_err(|_| invalid("not a URL"))?;
    let target = Target::from_uri(&uri).ok_or_else(|| invalid("not a WebSocket URL"))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let authorization = plan.token(user).map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{authorization}\r\n"
    );
    let mut stream = plan.dialer.clone().unwrap_or_else(Dialer::tcp).dial(target).await?;
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == MAX_HEAD {
            return Err(io::Error::new(ErrorKind::InvalidData, "the head of the response does not end"));
        }
        head.push(stream.read_u8().await?);
    }
    if head.starts_with(b"HTTP/1.1 101 ") {
        return Ok(stream);
    }
    let status = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    Err(io::Error::new(ErrorKind::ConnectionRefused, format!("refused with {status}")))
}
