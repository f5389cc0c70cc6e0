//! Timestamps of messages in their wire format.

use jiff::fmt::StdFmtWrite;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;

/// A point in time in whole milliseconds, written as RFC 3339 in UTC with exactly three decimals.
///
/// ```
/// use chatbox_protocol::Timestamp;
///
/// let at = Timestamp::from_millis(1_767_323_045_120);
/// assert_eq!(at.to_string(), "2026-01-02T03:04:05.120Z");
/// assert_eq!(at.as_millis(), 1_767_323_045_120);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The start of the year 0000, the earliest time of RFC 3339.
const MIN_MILLIS: i64 = -62_167_219_200_000;

/// The last second that `jiff` represents, 9999-12-30T22:00:00Z.
const MAX_MILLIS: i64 = 253_402_207_200_000;

impl Timestamp {
    /// The time that many milliseconds after the Unix epoch, clamped to what RFC 3339 can write (years 0000 to 9999).
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(MIN_MILLIS, MAX_MILLIS))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
        let moment = jiff::Timestamp::from_millisecond(self.0).map_err(|_| fmt::Error)?;
        PRINTER.print_timestamp(&moment, StdFmtWrite(f)).map_err(|_| fmt::Error)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let moment: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(Self::from_millis(moment.as_millisecond()))
    }
}
