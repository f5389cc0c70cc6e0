//! What holds for every message, and for every text that is none.

use chatbox_protocol::{ClientMessage, ErrorCode, MessageId, RoomName, ServerMessage, Timestamp};
use proptest::prelude::*;

const TYPE_FIRST: &str = r#"{"type":""#;

fn client_message() -> impl Strategy<Value = ClientMessage<'static>> {
    let room = || "[A-Za-z0-9._:-]{1,128}".prop_map(|room| RoomName::new(room).unwrap());
    let id = "[!-~]{1,64}".prop_map(|id| MessageId::new(id).unwrap());
    prop_oneof![
        (room(), any::<Option<u64>>()).prop_map(|(room, after)| ClientMessage::Join { room, after, last: None }),
        (room(), any::<u64>()).prop_map(|(room, last)| ClientMessage::Join { room, after: None, last: Some(last) }),
        room().prop_map(|room| ClientMessage::Leave { room }),
        (room(), id, any::<String>()).prop_map(|(room, id, body)| ClientMessage::Send { room, id, body: body.into() }),
    ]
}

fn server_message() -> impl Strategy<Value = ServerMessage<'static>> {
    let text = any::<String>;
    let number = any::<u64>;
    let code = prop_oneof![Just(ErrorCode::BadMessage), Just(ErrorCode::HistoryGone)];
    let at = prop_oneof![any::<i64>(), 0..4_000_000_000_000_i64].prop_map(Timestamp::from_millis);
    prop_oneof![
        (text(), text(), text(), number()).prop_map(|(user, connection, server, heartbeat_ms)| {
            ServerMessage::Welcome {
                user: user.into(),
                connection: connection.into(),
                server: server.into(),
                heartbeat_ms,
            }
        }),
        (text(), number(), number()).prop_map(|(room, head, first)| ServerMessage::Joined {
            room: room.into(),
            head,
            first
        }),
        text().prop_map(|room| ServerMessage::Left { room: room.into() }),
        (text(), number(), text(), text(), text(), at).prop_map(|(room, seq, user, id, body, at)| {
            ServerMessage::Message { room: room.into(), seq, user: user.into(), id: id.into(), body: body.into(), at }
        }),
        (text(), text(), number()).prop_map(|(room, id, seq)| ServerMessage::Ack {
            room: room.into(),
            id: id.into(),
            seq
        }),
        (code, text(), any::<Option<String>>(), any::<Option<String>>(), any::<Option<u64>>()).prop_map(
            |(code, message, room, id, retry_after_ms)| ServerMessage::Error {
                code,
                message: message.into(),
                room: room.map(Into::into),
                id: id.map(Into::into),
                retry_after_ms,
            }
        ),
        (text(), number()).prop_map(|(reason, reconnect_after_ms)| ServerMessage::Goodbye {
            reason: reason.into(),
            reconnect_after_ms,
        }),
    ]
}

proptest! {
    #[test]
    fn a_client_message_survives_the_wire(message in client_message()) {
        let text = message.encode();
        prop_assert!(text.starts_with(TYPE_FIRST), "{text}");
        prop_assert_eq!(ClientMessage::parse(&text), Ok(message));
    }

    #[test]
    fn a_server_message_survives_the_wire(message in server_message()) {
        let text = String::from_utf8(message.encode()).unwrap();
        prop_assert!(text.starts_with(TYPE_FIRST), "{text}");
        prop_assert_eq!(ServerMessage::parse(&text).unwrap(), message);
    }

    #[test]
    fn any_text_is_a_message_or_rejected(text in any::<String>()) {
        let _ = ClientMessage::parse(&text);
        let _ = ServerMessage::parse(&text);
    }

    #[test]
    fn any_damage_to_a_message_leaves_a_message_or_a_rejection(
        message in client_message(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = message.encode().into_bytes();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(message) = ClientMessage::parse(&text) {
            let again = message.encode();
            prop_assert_eq!(ClientMessage::parse(&again), Ok(message));
        }
    }

    #[test]
    fn every_proper_beginning_of_a_message_is_rejected(
        message in client_message(),
        cut in any::<prop::sample::Index>(),
    ) {
        let text = message.encode();
        let cut = (0..=cut.index(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap();
        prop_assert!(ClientMessage::parse(&text[..cut]).is_err());
    }
}
