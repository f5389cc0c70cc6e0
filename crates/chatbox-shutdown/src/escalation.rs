//! What a first, a second and a third signal mean.

use std::time::Duration;

use crate::Signal;

/// How long after the first signal the same signal is taken for a repetition of it.
///
/// Container runtimes, `timeout` and wrappers that forward signals send one stop more than once.
pub(crate) const REPETITION: Duration = Duration::from_secs(1);

/// The signals that have come so far.
///
/// Only signals count: if the program requests the shutdown itself, the next signal is the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Escalation {
    /// No signal.
    #[default]
    None,
    /// One signal.
    Requested {
        /// The signal.
        signal: Signal,
        /// When it came.
        at: Duration,
    },
    /// A second signal, namely this one. Later ones change nothing.
    Forced(Signal),
}

/// What a signal means at the moment it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The first signal: shut down in an orderly way.
    Request(Signal),
    /// The second signal: cut what is left.
    Force,
    /// A repetition of the first signal, or a third one: changes nothing.
    Nothing,
}

impl Escalation {
    /// Takes the next signal. `now` must not go back.
    #[must_use]
    pub(crate) fn on(self, signal: Signal, now: Duration) -> (Self, Meaning) {
        match self {
            Self::None => (Self::Requested { signal, at: now }, Meaning::Request(signal)),
            Self::Requested { signal: first, at }
                if same_stop(first, signal) && now.saturating_sub(at) < REPETITION =>
            {
                (self, Meaning::Nothing)
            }
            Self::Requested { .. } => (Self::Forced(signal), Meaning::Force),
            Self::Forced(_) => (self, Meaning::Nothing),
        }
    }
}

/// Whether two signals in quick succession are one stop: the same signal, or one of them SIGHUP, which
/// systemd (`SendSIGHUP=`) and closing terminals send beside another.
fn same_stop(first: Signal, second: Signal) -> bool {
    first == second || first == Signal::Hangup || second == Signal::Hangup
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn every_ordered_pair_of_signals_requests_and_then_forces_by_the_second() {
        for first in Signal::ALL {
            for second in Signal::ALL {
                let (requested, meaning) = Escalation::default().on(first, Duration::ZERO);
                assert_eq!(meaning, Meaning::Request(first));
                let (forced, meaning) = requested.on(second, REPETITION);
                assert_eq!((forced, meaning), (Escalation::Forced(second), Meaning::Force));
                for third in Signal::ALL {
                    assert_eq!(forced.on(third, REPETITION), (forced, Meaning::Nothing));
                }
            }
        }
    }

    #[test]
    fn within_a_second_the_same_signal_is_a_repetition_and_another_forces() {
        use Signal::{Hangup, Interrupt, Quit, Terminate};
        let just_before = REPETITION - Duration::from_nanos(1);
        let means = |first, second| Escalation::default().on(first, Duration::ZERO).0.on(second, just_before).1;
        for signal in Signal::ALL {
            assert_eq!(means(signal, signal), Meaning::Nothing);
            assert_eq!(means(signal, Hangup), Meaning::Nothing);
            assert_eq!(means(Hangup, signal), Meaning::Nothing);
        }
        for (first, second) in [(Terminate, Interrupt), (Interrupt, Terminate), (Terminate, Quit), (Quit, Interrupt)] {
            assert_eq!(means(first, second), Meaning::Force, "{first:?}, {second:?}");
        }
    }

    proptest! {
        /// The end is forced by the first signal that is of another kind or comes a second after the
        /// first, and by no other.
        #[test]
        fn any_sequence_of_signals_is_forced_by_the_first_that_is_no_repetition(
            signals in vec((0..600_u64, select(&Signal::ALL[..])), 1..12),
        ) {
            let (mut escalation, mut now) = (Escalation::default(), Duration::ZERO);
            let (mut seen, mut forced) = (Vec::new(), None);
            for (pause, signal) in signals {
                now += Duration::from_millis(pause);
                let (next, meaning) = escalation.on(signal, now);
                escalation = next;
                let expected = match seen.first() {
                    None => Meaning::Request(signal),
                    Some(_) if forced.is_some() => Meaning::Nothing,
                    Some(&(first, at)) if now - at < REPETITION && same_stop(first, signal) => Meaning::Nothing,
                    Some(_) => Meaning::Force,
                };
                prop_assert_eq!(meaning, expected);
                if meaning == Meaning::Force {
                    forced = Some(signal);
                }
                seen.push((signal, now));
                let is_forced = matches!(escalation, Escalation::Forced(by) if Some(by) == forced);
                prop_assert_eq!(is_forced, forced.is_some());
            }
        }
    }
}
