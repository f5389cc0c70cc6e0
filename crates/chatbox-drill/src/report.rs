//! The report: a verdict on each rule, the grade, and its forms.

use crate::judge::{Verdict, clock};
use crate::profile::Profile;
use crate::record::{Act, Event};
use crate::rule::Rule;
use std::fmt::{self, Write};

/// A grade, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum Grade {
    /// No heavy rule failed, and at least 90 % of the weight passed.
    A,
    /// At most one heavy rule failed, and at least 80 % of the weight passed.
    B,
    /// At least 65 % of the weight passed.
    C,
    /// At least 50 %.
    D,
    /// At least 35 %.
    E,
    /// Less, or the process did not end by itself.
    F,
}

impl Grade {
    /// The grade of these verdicts. Rules that are not applicable or not observable do not count.
    #[must_use]
    pub fn of(verdicts: &[(Rule, Verdict)]) -> Self {
        let weigh = |counts: fn(&Verdict) -> bool| -> u32 {
            verdicts.iter().filter(|(_, verdict)| counts(verdict)).map(|(rule, _)| rule.weight()).sum()
        };
        let failed = |rule: Rule| verdicts.iter().any(|(other, verdict)| *other == rule && is_fail(verdict));
        let passed = weigh(|verdict| matches!(verdict, Verdict::Pass(_)));
        let all = passed + weigh(is_fail);
        let heavy = verdicts.iter().filter(|(rule, verdict)| rule.weight() > 1 && is_fail(verdict)).count();
        let percent = (passed * 100).checked_div(all).unwrap_or(0);
        match (heavy, percent) {
            _ if failed(Rule::E1) => Self::F,
            (0, 90..) => Self::A,
            (..=1, 80..) => Self::B,
            (_, 65..) => Self::C,
            (_, 50..) => Self::D,
            (_, 35..) => Self::E,
            _ => Self::F,
        }
    }
}

fn is_fail(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Fail(_))
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::str::FromStr for Grade {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let grades = [Self::A, Self::B, Self::C, Self::D, Self::E, Self::F];
        grades
            .into_iter()
            .find(|grade| grade.to_string().eq_ignore_ascii_case(name))
            .ok_or("must be one of A to F".to_owned())
    }
}

/// The result of a drill.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The grade.
    pub grade: Grade,
    /// The profile's name.
    pub profile: String,
    /// The verdict on each rule, in the order of [`Rule::ALL`].
    pub rules: Vec<Judged>,
    /// What happened to one client of the first act that behaves: the first that a failed rule is about, else the first of all.
    pub timeline: Vec<String>,
}

/// The verdict on a rule.
#[derive(Clone, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Judged {
    /// The rule's id.
    pub id: &'static str,
    #[serde(skip)]
    pub(crate) rule: Rule,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Report {
    pub(crate) fn new(profile: &Profile, verdicts: Vec<(Rule, Verdict)>, act: &Act) -> Self {
        let grade = Grade::of(&verdicts);
        let evidence: Vec<&str> = verdicts
            .iter()
            .filter_map(|(_, verdict)| match verdict {
                Verdict::Fail(evidence) => Some(evidence.as_str()),
                _ => None,
            })
            .collect();
        let named = |name: &str| evidence.iter().any(|evidence| evidence.contains(&format!("{name}:")));
        let polite = || act.clients.iter().filter(|client| client.role.is_polite());
        let client = polite().find(|client| named(&client.name)).or_else(|| polite().next());
        let timeline = client.map(|client| timeline(act, client)).unwrap_or_default();
        let rules = verdicts.into_iter().map(|(rule, verdict)| Judged { id: rule.id(), rule, verdict }).collect();
        Self { grade, profile: profile.name.clone(), rules, timeline }
    }

    /// The verdict on one rule.
    #[must_use]
    pub fn verdict(&self, rule: Rule) -> Option<&Verdict> {
        self.rules.iter().find(|judged| judged.rule == rule).map(|judged| &judged.verdict)
    }

    /// Whether a rule passed, or does not apply.
    #[must_use]
    pub fn holds(&self, rule: Rule) -> bool {
        matches!(self.verdict(rule), Some(Verdict::Pass(_) | Verdict::NotApplicable(_)))
    }

    /// One JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report has nothing that JSON cannot hold")
    }

    /// JUnit's XML: a test case for each rule.
    #[must_use]
    pub fn to_junit(&self) -> String {
        let failures = self.rules.iter().filter(|judged| is_fail(&judged.verdict)).count();
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"chatbox-drill\" tests=\"{}\" failures=\"{failures}\">\n",
            self.rules.len()
        );
        for Judged { rule, verdict, .. } in &self.rules {
            let (result, evidence) = words(verdict);
            let inner = match verdict {
                Verdict::Pass(_) => format!("<system-out>{}</system-out>", escape(evidence)),
                Verdict::Fail(_) => format!("<failure message=\"{}\"/>", escape(evidence)),
                _ => format!("<skipped message=\"{result}: {}\"/>", escape(evidence)),
            };
            let _ =
                writeln!(xml, "  <testcase classname=\"{rule}\" name=\"{}\">{inner}</testcase>", escape(rule.demand()));
        }
        xml.push_str("</testsuite>\n");
        xml
    }

    /// A Markdown table.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = format!(
            "**Grade {}** ({})\n\n| rule | demand | result | evidence |\n|---|---|---|---|\n",
            self.grade, self.profile
        );
        for Judged { rule, verdict, .. } in &self.rules {
            let (result, evidence) = words(verdict);
            let _ = writeln!(
                text,
                "| {rule} | {} | {result} | {} |",
                rule.demand(),
                evidence.replace('|', "\\|").replace('\n', " ")
            );
        }
        text
    }
}

/// A table for people; with the reason and the remedy where a rule failed.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Judged { rule, verdict, .. } in &self.rules {
            let (result, evidence) = words(verdict);
            writeln!(f, "{rule}  {result:<15} {}", rule.demand())?;
            writeln!(f, "    {evidence}")?;
            if is_fail(verdict) {
                writeln!(f, "    why:  {} ({})", rule.why(), rule.source())?;
                writeln!(f, "    mend: {}", rule.mend())?;
            }
        }
        if self.rules.iter().any(|judged| is_fail(&judged.verdict)) {
            writeln!(f, "\ntimeline of one client:")?;
            for line in &self.timeline {
                writeln!(f, "    {line}")?;
            }
        }
        writeln!(f, "\ngrade {} ({})", self.grade, self.profile)
    }
}

fn words(verdict: &Verdict) -> (&'static str, &str) {
    match verdict {
        Verdict::Pass(evidence) => ("pass", evidence),
        Verdict::Fail(evidence) => ("FAIL", evidence),
        Verdict::NotApplicable(why) => ("not applicable", why),
        Verdict::NotObservable(why) => ("not observable", why),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What happened to a client around the signal; runs of messages are one line.
fn timeline(act: &Act, client: &crate::record::Client) -> Vec<String> {
    let mut lines = vec![format!("{} ({:?})", client.name, client.role)];
    let mut run: Option<(&str, usize)> = None;
    let flush = |run: &mut Option<(&str, usize)>, lines: &mut Vec<String>| {
        if let Some((what, count)) = run.take() {
            lines.push(format!("         {what} × {count}"));
        }
    };
    let mut signalled = false;
    for (at, event) in &client.events {
        if !signalled && *at >= act.signal {
            signalled = true;
            flush(&mut run, &mut lines);
            lines.push(format!("{:>8} signal", clock(act.signal)));
        }
        let what = match event {
            Event::Sent(_) => Some("sent"),
            Event::Received { .. } => Some("received"),
            Event::Acked(_) => Some("acknowledged"),
            Event::Refused(_) => Some("refused"),
            _ => None,
        };
        match (what, &mut run) {
            (Some(what), Some((running, count))) if what == *running => *count += 1,
            (Some(what), _) => {
                flush(&mut run, &mut lines);
                run = Some((what, 1));
            }
            (None, _) => {
                flush(&mut run, &mut lines);
                lines.push(format!("{:>8} {event:?}", clock(*at)));
            }
        }
    }
    flush(&mut run, &mut lines);
    if let Some(exit) = &act.exit {
        lines.push(format!("{:>8} exit: {:?}", clock(exit.at), exit.status));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(fail: &[Rule]) -> Vec<(Rule, Verdict)> {
        let verdict = |rule: &Rule| {
            if fail.contains(rule) { Verdict::Fail("seen".into()) } else { Verdict::Pass("seen".into()) }
        };
        Rule::ALL.iter().map(|rule| (*rule, verdict(rule))).collect()
    }

    #[test]
    fn grades_follow_the_published_formula() {
        for (failed, grade) in [
            (vec![], Grade::A),
            (vec![Rule::C6, Rule::N3], Grade::A),
            (vec![Rule::C6, Rule::N3, Rule::H1, Rule::H2], Grade::B),
            (vec![Rule::Q1], Grade::B),
            (vec![Rule::Q1, Rule::C4], Grade::C),
            (vec![Rule::E1], Grade::F),
            (Rule::ALL[1..].to_vec(), Grade::F),
        ] {
            assert_eq!(Grade::of(&all(&failed)), grade, "{failed:?}");
        }
    }

    #[test]
    fn what_does_not_apply_does_not_count() {
        let mut verdicts = all(&[Rule::N3]);
        for (rule, verdict) in &mut verdicts {
            if !matches!(rule, Rule::N3 | Rule::E1) {
                *verdict = Verdict::NotApplicable("level".into());
            }
        }
        // Three of four.
        assert_eq!(Grade::of(&verdicts), Grade::C);
    }

    #[test]
    fn json_names_result_and_evidence() {
        let report = Report::new(&Profile::default(), all(&[Rule::C4]), &Act::default());
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["grade"], "B");
        assert_eq!(json["rules"][7], serde_json::json!({"id": "C4", "result": "fail", "evidence": "seen"}));
    }

    #[test]
    fn xml_and_tables_escape_what_a_server_sends() {
        let mut verdicts = all(&[]);
        verdicts[0].1 = Verdict::Fail("<\"&|".into());
        let report = Report::new(&Profile::default(), verdicts, &Act::default());
        assert!(report.to_junit().contains("message=\"&lt;&quot;&amp;|\""));
        assert!(report.to_markdown().contains("<\"&\\|"));
    }
}
