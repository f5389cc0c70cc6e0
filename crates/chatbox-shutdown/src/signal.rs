//! The signals that request a shutdown.

use serde::{Serialize, Serializer};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// A signal that requests a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGTERM: sent by platforms and supervisors. The shutdown begins with the lame duck.
    Terminate,
    /// SIGQUIT: the stop signal of some images and supervisors. Handled like SIGTERM.
    Quit,
    /// SIGINT: sent from a terminal. The lame duck is skipped.
    Interrupt,
    /// SIGHUP: the terminal was closed. Handled like SIGINT.
    Hangup,
}

impl Signal {
    /// Every signal, in the order in which signals that arrived together are taken.
    pub const ALL: [Self; 4] = [Self::Terminate, Self::Quit, Self::Interrupt, Self::Hangup];

    /// The name in reports and logs: `SIGTERM`, `SIGQUIT`, `SIGINT` or `SIGHUP`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Quit => "SIGQUIT",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
        }
    }

    /// The exit code of a program that this signal ended: 128 plus the signal's number.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        // Signal numbers are below 128.
        128 + self.number() as u8
    }

    /// Whether the lame duck is skipped when this signal comes first.
    #[must_use]
    pub const fn skips_lame_duck(self) -> bool {
        matches!(self, Self::Interrupt | Self::Hangup)
    }

    pub(crate) const fn number(self) -> i32 {
        match self {
            Self::Terminate => SIGTERM,
            Self::Quit => SIGQUIT,
            Self::Interrupt => SIGINT,
            Self::Hangup => SIGHUP,
        }
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
