//! Latencies, all of them: exact percentiles cost four bytes a sample.

use crate::suite::report::Measure;
use std::time::Duration;

/// Samples in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    micros: Vec<u32>,
}

impl Latencies {
    pub(crate) fn record(&mut self, latency: Duration) {
        self.micros.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub(crate) fn len(&self) -> usize {
        self.micros.len()
    }

    /// The latency below which `share` of all lie, in milliseconds; 0 without samples.
    pub(crate) fn percentile(&mut self, share: f64) -> f64 {
        self.micros.sort_unstable();
        // Nearest rank: a share of 1 is the last sample.
        let rank = (share * self.micros.len() as f64).ceil() as usize;
        self.micros.get(rank.saturating_sub(1)).map_or(0.0, |&micros| f64::from(micros) / 1_000.0)
    }

    /// The three that are shown.
    pub(crate) fn measures(&mut self) -> [Measure; 3] {
        [
            Measure::compared("p50", self.percentile(0.5), "ms"),
            Measure::compared("p99", self.percentile(0.99), "ms"),
            Measure::plain("max", self.percentile(1.0), "ms"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(0.5), 0.0);
        for millis in (1..=100).rev() {
            latencies.record(Duration::from_millis(millis));
        }
        let shown = [0.5, 0.99, 1.0].map(|share| latencies.percentile(share));
        assert_eq!(shown, [50.0, 99.0, 100.0]);
    }
}
