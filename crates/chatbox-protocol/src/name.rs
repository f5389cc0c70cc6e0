//! Validated strings: room names and message ids.

use serde::Serialize;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// The error of a text that is not a valid room name or message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// The text is not a [`RoomName`].
    #[error("a room name is 1 to 128 characters of A-Z a-z 0-9 . _ - :")]
    Room,
    /// The text is not a [`MessageId`].
    #[error("an id is 1 to 64 visible ASCII characters")]
    Id,
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $max:literal, $allowed:expr, $error:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name<'a>(Cow<'a, str>);

        impl<'a> $name<'a> {
            /// The greatest length in characters; all are ASCII, so also in bytes.
            pub const MAX_LEN: usize = $max;

            /// Validates a text without copying it.
            ///
            /// # Errors
            ///
            /// When the text is empty, longer than [`MAX_LEN`](Self::MAX_LEN), or has a character that is not allowed.
            pub fn new(text: impl Into<Cow<'a, str>>) -> Result<Self, InvalidName> {
                let text = text.into();
                let fits = (1..=Self::MAX_LEN).contains(&text.len());
                if fits && text.bytes().all($allowed) { Ok(Self(text)) } else { Err($error) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The same with its own copy of the text.
            #[must_use]
            pub fn into_owned(self) -> $name<'static> {
                $name(Cow::Owned(self.0.into_owned()))
            }
        }

        impl Deref for $name<'_> {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name<'_> {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'a> From<$name<'a>> for Cow<'a, str> {
            fn from(name: $name<'a>) -> Self {
                name.0
            }
        }
    };
}

checked_text! {
    /// The name of a room: 1 to 128 characters of `A-Z a-z 0-9 . _ - :`.
    ///
    /// ```
    /// use chatbox_protocol::RoomName;
    /// use std::sync::Arc;
    ///
    /// let room = RoomName::new("support-42")?;
    /// let key: Arc<str> = Arc::from(&*room);
    /// assert_eq!(&*key, "support-42");
    /// assert!(RoomName::new("no spaces").is_err());
    /// # Ok::<(), chatbox_protocol::InvalidName>(())
    /// ```
    RoomName, 128,
    |byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte),
    InvalidName::Room
}

checked_text! {
    /// The id that a sender gives to a message, unique per user and room: 1 to 64 visible ASCII
    /// characters (`!` to `~`, so no space).
    ///
    /// ```
    /// use chatbox_protocol::MessageId;
    ///
    /// assert_eq!(MessageId::new("c0ffee/1")?.as_str(), "c0ffee/1");
    /// assert!(MessageId::new("").is_err());
    /// # Ok::<(), chatbox_protocol::InvalidName>(())
    /// ```
    MessageId, 64,
    |byte| byte.is_ascii_graphic(),
    InvalidName::Id
}
