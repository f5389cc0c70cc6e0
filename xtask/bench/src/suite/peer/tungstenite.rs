//! axum and tungstenite, the way most would write it: a task for each connection, and a broadcast channel for each room. The upgrade is
//! what axum's `ws` feature does; that feature is not used because it brings an older tungstenite than the workspace has.

use anyhow::Result;
use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::collections::HashMap;
use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

/// Messages that a member of a room may be behind.
const CAPACITY: usize = 256;

#[derive(Clone)]
struct Chat {
    rooms: Arc<Mutex<HashMap<String, Room>>>,
    closing: watch::Receiver<bool>,
}

struct Room {
    head: u64,
    messages: broadcast::Sender<Utf8Bytes>,
}

#[derive(Deserialize)]
struct User {
    user: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Incoming {
    Join { room: String },
    Send { room: String, id: String, body: String },
}

/// Serves until SIGTERM, then until the last connection is closed.
pub(crate) fn run() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let (close, closing) = watch::channel(false);
        let chat = Chat { rooms: Arc::default(), closing };
        let mut terminate = signal(SignalKind::terminate())?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("listening on http://{}", listener.local_addr()?);
        let router = Router::new().route("/chat/ws", get(upgrade)).with_state(chat);
        // Without this, every message would wait for the acknowledgement of the one before.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, router)
            .with_graceful_shutdown(async move {
                terminate.recv().await;
            })
            .await?;
        close.send_replace(true);
        // Every connection holds a receiver.
        close.closed().await;
        Ok(())
    })
}

async fn upgrade(State(chat): State<Chat>, Query(User { user }): Query<User>, mut request: Request) -> Response {
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let Some((key, upgrade)) = key.zip(request.extensions_mut().remove::<OnUpgrade>()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Ok(key) = HeaderValue::try_from(key) else { return StatusCode::BAD_REQUEST.into_response() };
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            // An error is a client that is gone.
            let _ = serve(chat, user, socket).await;
        }
    });
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, key),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers.into_iter().collect::<HeaderMap>()).into_response()
}

async fn serve(chat: Chat, user: String, mut socket: WebSocketStream<TokioIo<Upgraded>>) -> Result<(), Error> {
    let welcome =
        format!(r#"{{"type":"welcome","user":{user:?},"connection":"0","server":"tungstenite","heartbeat_ms":25000}}"#);
    socket.send(Message::text(welcome)).await?;
    let (mut joined, mut closing) = (None, chat.closing.clone());
    loop {
        tokio::select! {
            incoming = socket.next() => match incoming.transpose()? {
                Some(Message::Text(message)) => match serde_json::from_str(&message) {
                    Ok(Incoming::Join { room }) => {
                        let (head, messages) = chat.room(&room, |room| (room.head, room.messages.subscribe()));
                        joined = Some(messages);
                        let answer = format!(r#"{{"type":"joined","room":{room:?},"head":{head},"first":1}}"#);
                        socket.send(Message::text(answer)).await?;
                    }
                    Ok(Incoming::Send { room, id, body }) => {
                        let seq = chat.publish(&room, &user, &id, &body);
                        let ack = format!(r#"{{"type":"ack","room":{room:?},"id":{id:?},"seq":{seq}}}"#);
                        socket.send(Message::text(ack)).await?;
                    }
                    Err(_) => {}
                },
                Some(_) => {}
                None => return Ok(()),
            },
            // A member that has fallen behind misses what it could not take.
            message = receive(&mut joined) => socket.send(Message::Text(message)).await?,
            _ = closing.changed() => {
                let code = CloseCode::Away;
                socket.close(Some(CloseFrame { code, reason: "server shutting down".into() })).await?;
                while socket.next().await.transpose()?.is_some() {}
                return Ok(());
            }
        }
    }
}

async fn receive(joined: &mut Option<broadcast::Receiver<Utf8Bytes>>) -> Utf8Bytes {
    let Some(messages) = joined else { return pending().await };
    loop {
        if let Ok(message) = messages.recv().await {
            return message;
        }
    }
}

impl Chat {
    fn room<R>(&self, name: &str, look: impl FnOnce(&mut Room) -> R) -> R {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get_mut(name) {
            return look(room);
        }
        let room = Room { head: 0, messages: broadcast::Sender::new(CAPACITY) };
        look(rooms.entry(name.to_owned()).or_insert(room))
    }

    fn publish(&self, name: &str, user: &str, id: &str, body: &str) -> u64 {
        self.room(name, |room| {
            room.head += 1;
            let (seq, at) = (room.head, jiff::Timestamp::now());
            let message = format!(
                r#"{{"type":"message","room":{name:?},"seq":{seq},"user":{user:?},"id":{id:?},"body":{body:?},"at":"{at:.3}"}}"#
            );
            // No receiver is no error.
            let _ = room.messages.send(message.into());
            seq
        })
    }
}
