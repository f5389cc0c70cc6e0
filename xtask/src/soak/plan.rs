//! When the service is broken, and how: the same seed gives the same plan.

use std::fmt;
use std::time::{Duration, SystemTime};

/// One way to break a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// SIGTERM: it ends in order, and is started again.
    Term,
    /// SIGKILL: it ends at once, and is started again.
    Kill,
    /// SIGSTOP: it hangs for a while.
    Stop,
    /// The database is killed, and started again after a while.
    DbRestart,
    /// The database hangs for a while.
    DbStop,
}

impl Fault {
    /// Whether it befalls the database, not the service.
    pub(super) fn is_of_database(self) -> bool {
        matches!(self, Self::DbRestart | Self::DbStop)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Term => "SIGTERM, then a restart",
            Self::Kill => "SIGKILL, then a restart",
            Self::Stop => "SIGSTOP for a while",
            Self::DbRestart => "database killed, and started again after a while",
            Self::DbStop => "database stopped for a while",
        })
    }
}

/// What happens when.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// Times from the beginning, ascending.
    pub(super) faults: Vec<(Duration, Fault)>,
    /// How long a stopped service hangs.
    pub(super) pause: Duration,
    /// How long the whole lasts.
    pub(super) lasting: Duration,
}

impl Plan {
    /// `count` faults of these kinds in turn, each at a random moment of its own share of the time.
    pub(super) fn new(seed: u64, kinds: &[Fault], count: usize, lasting: Duration) -> Self {
        let mut random = Random(seed);
        let share = lasting / (count as u32 + 1);
        let faults = kinds.iter().cycle().take(count).zip(0u32..).map(|(&fault, index)| {
            // The first share is left for the fleet to arrive.
            (share * (index + 1) + share.mul_f64(0.5 * random.fraction()), fault)
        });
        Self { faults: faults.collect(), pause: Duration::from_secs(1).mul_f64(1.0 + 2.0 * random.fraction()), lasting }
    }
}

/// A random seed.
pub(super) fn new_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.as_micros() as u64 % 1_000_000
}

/// SplitMix64: the plan of a seed must stay the same whatever version a library has.
struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_plan_again_and_another_seed_another() {
        let plan = |seed| Plan::new(seed, &[Fault::Term, Fault::Kill], 6, Duration::from_secs(60));
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn faults_take_turns_within_the_time() {
        let plan = Plan::new(1, &[Fault::Term, Fault::Kill], 6, Duration::from_secs(70));
        let kinds: Vec<Fault> = plan.faults.iter().map(|&(_, fault)| fault).collect();
        assert_eq!(kinds, [Fault::Term, Fault::Kill, Fault::Term, Fault::Kill, Fault::Term, Fault::Kill]);
        assert!(plan.faults.iter().is_sorted_by_key(|&(at, _)| at));
        assert!(plan.faults.iter().all(|&(at, _)| at >= Duration::from_secs(10) && at < Duration::from_secs(70)));
    }
}
