//! Properties of every message, and of every text that is not a message.

use chatbox_protocol::{ClientMessage, ErrorCode, MessageId, RoomName, ServerMessage, Timestamp};
use proptest::prelude::*;
use std::time::Duration;

const TYPE_FIRST: &str = r#"{"type":""#;

fn client_message() -> impl Strategy<Value = ClientMessage<'static>> {
    let room = || "[A-Za-z0-9._:-]{1,128}".prop_map(|room| RoomName::new(room).unwrap());
    let id = "[!-~]{1,64}".prop_map(|id| MessageId::new(id).unwrap());
    // An epoch is borrowed from somewhere; a test may leak the few that it makes.
    let epoch = proptest::option::of(any::<String>().prop_map(|epoch| &*epoch.leak()));
    prop_oneof![
        room().prop_map(ClientMessage::join),
        (room(), any::<u64>(), epoch).prop_map(|(room, after, epoch)| ClientMessage::join_after(room, after, epoch)),
        (room(), any::<u64>()).prop_map(|(room, last)| ClientMessage::join_last(room, last)),
        room().prop_map(ClientMessage::leave),
        (room(), id, any::<String>()).prop_map(|(room, id, body)| ClientMessage::send(room, id, body)),
    ]
}

fn server_message() -> impl Strategy<Value = ServerMessage<'static>> {
    let text = any::<String>;
    let number = any::<u64>;
    let millis = || any::<u64>().prop_map(Duration::from_millis);
    let optional = || proptest::option::of(any::<String>().prop_map(|text| &*text.leak()));
    let code = proptest::sample::select(&ErrorCode::ALL[..]);
    let at = prop_oneof![any::<i64>(), 0..4_000_000_000_000_i64].prop_map(Timestamp::from_millis);
    prop_oneof![
        (text(), text(), text(), optional(), millis()).prop_map(|(user, connection, server, generation, heartbeat)| {
            ServerMessage::welcome(user, connection, server, generation, heartbeat)
        }),
        (text(), number(), number(), optional())
            .prop_map(|(room, head, first, epoch)| ServerMessage::joined(room, head, first, epoch)),
        text().prop_map(ServerMessage::left),
        (text(), number(), text(), text(), text(), at)
            .prop_map(|(room, seq, user, id, body, at)| ServerMessage::message(room, seq, user, id, body, at)),
        (text(), text(), number()).prop_map(|(room, id, seq)| ServerMessage::ack(room, id, seq)),
        (code, text(), optional(), optional(), proptest::option::of(millis()))
            .prop_map(|(code, message, room, id, retry)| ServerMessage::error(code, message, room, id, retry)),
        (text(), millis(), millis())
            .prop_map(|(reason, close, reconnect)| ServerMessage::goodbye(reason, close, reconnect)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_client_message_is_decoded_as_it_was_encoded(message in client_message()) {
        let text = message.encode();
        prop_assert!(text.starts_with(TYPE_FIRST), "{text}");
        prop_assert_eq!(ClientMessage::parse(&text), Ok(message));
    }

    #[test]
    fn a_server_message_is_decoded_as_it_was_encoded(message in server_message()) {
        let text = String::from_utf8(message.encode()).unwrap();
        prop_assert!(text.starts_with(TYPE_FIRST), "{text}");
        prop_assert_eq!(ServerMessage::parse(&text).unwrap(), message);
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in any::<String>()) {
        let _ = ClientMessage::parse(&text);
        let _ = ServerMessage::parse(&text);
    }

    #[test]
    fn a_damaged_message_is_rejected_or_another_message(
        message in client_message(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = message.encode().into_bytes();
        for (index, byte) in damage {
            let index = index.index(bytes.len());
            bytes[index] = byte;
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
