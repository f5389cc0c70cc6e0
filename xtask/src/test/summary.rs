//! The results of the steps, and the table that shows them.

use std::fmt;
use std::time::Duration;

/// The result of a step.
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    /// Something that this machine does not have; the text says what.
    NotRun(String),
}

/// The results of all steps so far. Displayed, it is a table, and below it one line of counts.
#[derive(Default)]
pub(crate) struct Summary {
    lines: Vec<(&'static str, Outcome, Duration)>,
}

impl Summary {
    /// Adds the result of a step, and returns a line that announces it.
    pub(crate) fn add(&mut self, step: &'static str, outcome: Outcome, took: Duration) -> String {
        let line = format!("<== {step}: {outcome} in {:.1} s", took.as_secs_f64());
        self.lines.push((step, outcome, took));
        line
    }

    /// Whether nothing failed.
    pub(crate) fn all_well(&self) -> bool {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_))) == 0
    }

    fn count(&self, predicate: impl Fn(&Outcome) -> bool) -> usize {
        self.lines.iter().filter(|(_, outcome, _)| predicate(outcome)).count()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "passed",
            Self::Failed(_) => "FAILED",
            Self::NotRun(_) => "NOT RUN",
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (step, outcome, took) in &self.lines {
            write!(f, "{step:<16} {:<8} {:>7.1} s", outcome.to_string(), took.as_secs_f64())?;
            if let Outcome::Failed(why) | Outcome::NotRun(why) = outcome {
                write!(f, "  {}", why.replace('\n', "\n    "))?;
            }
            writeln!(f)?;
        }
        let passed = self.count(|outcome| matches!(outcome, Outcome::Passed));
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let not_run = self.count(|outcome| matches!(outcome, Outcome::NotRun(_)));
        writeln!(f, "\n{passed} passed, {failed} failed, {not_run} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Summary};
    use std::time::Duration;

    #[test]
    fn every_outcome_is_shown_with_its_reason_and_counted() {
        let mut summary = Summary::default();
        summary.add("format", Outcome::Passed, Duration::from_millis(840));
        summary.add("advisories", Outcome::NotRun("no network".to_owned()), Duration::ZERO);
        assert!(summary.all_well());
        let line = summary.add(
            "tests",
            Outcome::Failed("cargo ended with exit status: 1".to_owned()),
            Duration::from_secs(62),
        );
        assert_eq!(line, "<== tests: FAILED in 62.0 s");
        assert!(!summary.all_well());
        let table = "\
format           passed       0.8 s
advisories       NOT RUN      0.0 s  no network
tests            FAILED      62.0 s  cargo ended with exit status: 1

1 passed, 1 failed, 1 skipped
";
        assert_eq!(summary.to_string(), table);
    }
}
