//! What a first, a second and a third signal mean.

use serde::Serialize;

/// A signal that asks the program to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Signal {
    /// SIGTERM, what a platform sends: there is time for a lame duck.
    #[serde(rename = "SIGTERM")]
    Terminate,
    /// SIGINT, what a person at a terminal sends: the lame duck is skipped.
    #[serde(rename = "SIGINT")]
    Interrupt,
}

impl Signal {
    /// The exit code of a program that this signal ended, 128 plus the signal's number.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Terminate => 143,
            Self::Interrupt => 130,
        }
    }
}

/// How insistently signals have asked so far.
///
/// Only signals count. A program that asked itself to end, and is then told so by its platform, was
/// not told twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escalation {
    /// No signal has come yet.
    #[default]
    None,
    /// One signal has come.
    Asked,
    /// A second signal has come, and it was this one. Later ones change nothing.
    Forced(Signal),
}

/// What a signal means at the moment it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The first one: end in an orderly way.
    Ask(Signal),
    /// The second one: cut what is left.
    Force,
    /// A later one.
    Nothing,
}

impl Escalation {
    /// Takes the next signal.
    #[must_use]
    pub const fn on(self, signal: Signal) -> (Self, Meaning) {
        match self {
            Self::None => (Self::Asked, Meaning::Ask(signal)),
            Self::Asked => (Self::Forced(signal), Meaning::Force),
            Self::Forced(_) => (self, Meaning::Nothing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Signal::{Interrupt, Terminate};
    use super::*;

    #[test]
    fn every_ordered_pair_of_signals_asks_and_then_forces_by_the_second() {
        for first in [Terminate, Interrupt] {
            for second in [Terminate, Interrupt] {
                let (asked, meaning) = Escalation::default().on(first);
                assert_eq!((asked, meaning), (Escalation::Asked, Meaning::Ask(first)));
                let (forced, meaning) = asked.on(second);
                assert_eq!((forced, meaning), (Escalation::Forced(second), Meaning::Force));
                for third in [Terminate, Interrupt] {
                    assert_eq!(forced.on(third), (forced, Meaning::Nothing));
                }
            }
        }
    }
}
