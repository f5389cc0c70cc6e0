//! Bytes sent to the HTTP side, and in a few words what came back.

use crate::harness::{Response, within};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request that every server answers: sent behind an attack, it shows whether the connection goes on, and in step.
const PROBE: &str = "GET /chat/healthz HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n";

/// Sends these bytes and a probe behind them; returns what came until the server closed.
///
/// Each answer is its status and the code in its body. What the probe's answer would say goes without saying: a connection that
/// does not come to it is `closed`.
pub(super) async fn dialogue(at: SocketAddr, request: &[u8]) -> String {
    let bytes = exchange(at, &[request, PROBE.as_bytes()].concat()).await;
    let mut answers = answers(&bytes, request.starts_with(b"HEAD "));
    if answers.last().is_some_and(|answer| answer == "healthy") {
        answers.pop();
    } else {
        answers.push("closed".to_owned());
    }
    answers.join(", ")
}

/// Sends these bytes, and reads until the server closes the connection; how it does so is left aside.
pub(super) async fn exchange(at: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = within("a connection", TcpStream::connect(at)).await.unwrap();
    let (mut input, mut output) = stream.split();
    let mut bytes = Vec::new();
    // A server that has heard enough does not read the rest.
    let talk = async { tokio::join!(output.write_all(request), input.read_to_end(&mut bytes)) };
    let _ = within("the end of a connection", talk).await;
    bytes
}

/// The answers one behind the other, the same ones in a row counted.
pub(super) fn answers(bytes: &[u8], without_body: bool) -> Vec<String> {
    let answers = counted(bytes, without_body).into_iter();
    answers.map(|(answer, count)| if count == 1 { answer } else { format!("{count} × {answer}") }).collect()
}

/// The same, as answers with their counts.
pub(super) fn counted(mut bytes: &[u8], without_body: bool) -> Vec<(String, usize)> {
    let mut answers: Vec<(String, usize)> = Vec::new();
    while let Some(response) = Response::parse(bytes) {
        let head = bytes.len() - response.body.len();
        let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        let body = if without_body && answers.is_empty() { 0 } else { length };
        let answer = describe(&response, &bytes[head..head + body]);
        match answers.last_mut() {
            Some((last, count)) if *last == answer => *count += 1,
            _ => answers.push((answer, 1)),
        }
        bytes = &bytes[head + body..];
    }
    assert!(bytes.is_empty(), "no answer: {}", String::from_utf8_lossy(bytes));
    answers
}

fn describe(response: &Response, body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match (response.status, body["error"].as_str()) {
        (200, _) if body["status"] == "healthy" => "healthy".to_owned(),
        (status, Some(code)) => format!("{status} `{code}`"),
        (status, None) => status.to_string(),
    }
}
