//! Samples of durations in bounded memory, and their quantiles.

use serde::Serialize;
use std::time::Duration;

/// Quantiles of a duration, in milliseconds; 0 without samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// Durations, of which a bounded number is kept: first all, then every second, every fourth … The longest is always kept.
#[derive(Debug)]
pub(crate) struct Samples {
    kept: Vec<Duration>,
    every: u64,
    count: u64,
    max: Duration,
}

impl Default for Samples {
    fn default() -> Self {
        Self { kept: Vec::new(), every: 1, count: 0, max: Duration::ZERO }
    }
}

impl Samples {
    const CAPACITY: usize = 1 << 18;

    pub(crate) fn push(&mut self, sample: Duration) {
        self.max = self.max.max(sample);
        if self.count.is_multiple_of(self.every) {
            self.kept.push(sample);
        }
        self.count += 1;
        if self.kept.len() == Self::CAPACITY {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.every *= 2;
        }
    }

    pub(crate) fn quantiles(mut self) -> Quantiles {
        self.kept.sort_unstable();
        let ms = |sample: Duration| (sample.as_secs_f64() * 1e5).round() / 100.0;
        let at = |quantile: f64| {
            let index = ((self.kept.len() as f64 * quantile) as usize).min(self.kept.len().saturating_sub(1));
            self.kept.get(index).copied().map_or(0.0, ms)
        };
        Quantiles { p50: at(0.50), p99: at(0.99), max: ms(self.max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantiles(samples: impl Iterator<Item = u64>) -> Quantiles {
        let mut kept = Samples::default();
        samples.for_each(|millis| kept.push(Duration::from_millis(millis)));
        assert!(kept.kept.len() < Samples::CAPACITY);
        kept.quantiles()
    }

    #[test]
    fn quantiles_of_few_samples_are_exact() {
        assert_eq!(quantiles(0..0), Quantiles::default());
        assert_eq!(quantiles(std::iter::once(7)), Quantiles { p50: 7.0, p99: 7.0, max: 7.0 });
        assert_eq!(quantiles((0..1000).rev()), Quantiles { p50: 500.0, p99: 990.0, max: 999.0 });
    }

    #[test]
    fn many_samples_are_thinned_out_and_the_longest_is_kept() {
        let many = 3 * Samples::CAPACITY as u64;
        let Quantiles { p50, p99, max } = quantiles((0..many).chain([many * 10]));
        let share = |value: f64| value / many as f64;
        assert!((0.49..0.51).contains(&share(p50)) && (0.98..1.0).contains(&share(p99)), "{p50} {p99}");
        assert_eq!(max, many as f64 * 10.0);
    }
}
