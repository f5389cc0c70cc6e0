//! One HTTP GET: for probes and for reading history. Not a client for the world: plain `http://`, no redirects.

use axum::body::Body;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The largest body that is taken.
const MAX_BODY: usize = 64 << 20;

/// Asks once over a connection of its own. The caller bounds the time.
///
/// # Errors
/// When there is no connection, or no whole answer.
pub(crate) async fn get(uri: &Uri, token: Option<&str>) -> anyhow::Result<(StatusCode, Bytes)> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::get(path).header(HOST, authority);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let answer = async {
        let response = sender.send_request(request.body(Body::empty())?).await?;
        let status = response.status();
        anyhow::Ok((status, axum::body::to_bytes(Body::new(response.into_body()), MAX_BODY).await?))
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = connection => match ended {
            // The connection may be over before its last bytes were looked at.
            Ok(()) => answer.await,
            Err(error) => Err(error.into()),
        },
    }
}
