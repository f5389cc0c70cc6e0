//! What the suite says of a server, as counts and a list of whatever is not simply in order.

use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// The verdicts on one server.
pub(crate) struct Report {
    /// By the numbers of the case, such as `[7, 1, 6]`.
    verdicts: BTreeMap<Vec<u32>, Verdict>,
}

/// What the suite says of one case, in its words.
struct Verdict {
    behaviour: String,
    /// How the connection was closed.
    close: String,
}

/// These are about compression, which is not offered; see `docs/transport.md`.
const COMPRESSION: [u32; 2] = [12, 13];

impl Report {
    /// Reads the verdicts on `agent` from the suite's `index.json`.
    pub(crate) fn parse(index: &str, agent: &str) -> Result<Self> {
        let index: Value = serde_json::from_str(index).context("the report is not JSON")?;
        let cases = index[agent].as_object().context("the report does not speak of our server")?;
        let verdicts = cases.iter().map(|(case, verdict)| {
            let numbers = case.split('.').map(str::parse).collect::<Result<_, _>>();
            let word = |key: &str| verdict[key].as_str().map(str::to_owned);
            match (numbers, word("behavior"), word("behaviorClose")) {
                (Ok(numbers), Some(behaviour), Some(close)) => Some((numbers, Verdict { behaviour, close })),
                _ => None,
            }
        });
        Ok(Self { verdicts: verdicts.collect::<Option<_>>().context("the report has an unknown form")? })
    }

    /// How many cases there are.
    pub(crate) fn len(&self) -> usize {
        self.verdicts.len()
    }

    /// How many cases the server did not pass.
    pub(crate) fn failures(&self) -> usize {
        self.verdicts.iter().filter(|(case, verdict)| !verdict.passes(case[0])).count()
    }
}

impl Verdict {
    /// "Non-strict" and "informational" are what the suite says where RFC 6455 leaves a choice.
    fn passes(&self, section: u32) -> bool {
        let behaves = match &self.behaviour[..] {
            "OK" | "NON-STRICT" | "INFORMATIONAL" => true,
            "UNIMPLEMENTED" => COMPRESSION.contains(&section),
            _ => false,
        };
        behaves && matches!(&self.close[..], "OK" | "INFORMATIONAL")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sections: BTreeMap<u32, BTreeMap<&str, usize>> = BTreeMap::new();
        for (case, verdict) in &self.verdicts {
            *sections.entry(case[0]).or_default().entry(&verdict.behaviour).or_default() += 1;
        }
        writeln!(f, "{:>7} {:>6}", "section", "cases")?;
        for (section, counts) in sections {
            let all: usize = counts.values().sum();
            let counts: Vec<_> = counts.iter().map(|(behaviour, count)| format!("{count} {behaviour}")).collect();
            writeln!(f, "{section:>7} {all:>6}  {}", counts.join(", "))?;
        }
        for (case, verdict) in &self.verdicts {
            let is_ok = verdict.behaviour == "OK" && verdict.close == "OK";
            let is_compression = COMPRESSION.contains(&case[0]) && verdict.passes(case[0]);
            if !is_ok && !is_compression {
                let case: Vec<_> = case.iter().map(u32::to_string).collect();
                writeln!(f, "{}: {}, close {}", case.join("."), verdict.behaviour, verdict.close)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    fn report(cases: &[(&str, &str, &str)]) -> Report {
        let cases: serde_json::Map<_, _> = cases
            .iter()
            .map(|(case, behaviour, close)| {
                (
                    (*case).to_owned(),
                    serde_json::json!({ "behavior": behaviour, "behaviorClose": close, "duration": 3 }),
                )
            })
            .collect();
        Report::parse(&serde_json::json!({ "us": cases }).to_string(), "us").unwrap()
    }

    #[test]
    fn what_the_suite_allows_passes_and_is_shown() {
        let report = report(&[
            ("1.1.1", "OK", "OK"),
            ("7.13.1", "INFORMATIONAL", "INFORMATIONAL"),
            ("7.1.6", "INFORMATIONAL", "INFORMATIONAL"),
            ("7.3.1", "OK", "OK"),
            ("6.4.1", "NON-STRICT", "OK"),
            ("12.1.1", "UNIMPLEMENTED", "OK"),
        ]);
        assert_eq!((report.len(), report.failures()), (6, 0));
        let table = "\
section  cases
      1      1  1 OK
      6      1  1 NON-STRICT
      7      3  2 INFORMATIONAL, 1 OK
     12      1  1 UNIMPLEMENTED
6.4.1: NON-STRICT, close OK
7.1.6: INFORMATIONAL, close INFORMATIONAL
7.13.1: INFORMATIONAL, close INFORMATIONAL
";
        assert_eq!(report.to_string(), table);
    }

    #[test]
    fn what_it_does_not_allow_fails() {
        for (case, behaviour, close) in [
            ("1.1.1", "FAILED", "OK"),
            ("1.1.1", "OK", "UNCLEAN"),
            ("7.5.1", "OK", "WRONG CODE"),
            ("9.1.1", "UNIMPLEMENTED", "OK"),
            ("12.1.1", "FAILED", "OK"),
            ("1.1.1", "something new", "OK"),
        ] {
            let report = report(&[(case, behaviour, close), ("2.1", "OK", "OK")]);
            assert_eq!(report.failures(), 1, "{case} {behaviour} {close}");
            assert!(report.to_string().contains(&format!("{case}: {behaviour}, close {close}")));
        }
    }

    #[test]
    fn a_report_of_another_form_is_an_error() {
        for index in ["", "{}", r#"{"us":{"1.1":{}}}"#, r#"{"us":{"one":{"behavior":"OK","behaviorClose":"OK"}}}"#] {
            assert!(Report::parse(index, "us").is_err(), "{index}");
        }
    }
}
