//! Results: rows of measures, shown as tables and kept as JSON.

use crate::suite::peer::Peer;
use serde_json::{Value, json};
use std::fmt::Write;

/// What one server did in one case of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) scenario: &'static str,
    pub(crate) case: String,
    pub(crate) peer: Peer,
    pub(crate) measures: Vec<Measure>,
}

/// A number with its name and unit.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    /// The median of `rounds`.
    pub(crate) value: f64,
    /// What was measured, in the order in which the servers took their turns.
    rounds: Vec<f64>,
    pub(crate) unit: &'static str,
    /// Whether it is set in relation to the floor's.
    pub(crate) compared: bool,
}

impl Measure {
    /// A number that is shown beside its ratio to the floor's.
    pub(crate) fn compared(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, rounds: vec![value], unit, compared: true }
    }

    /// A number that stands for itself.
    pub(crate) fn plain(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { compared: false, ..Self::compared(name, value, unit) }
    }

    /// The median of the ratios round by round: what the machine does to a round it does to both.
    fn ratio(&self, other: &Self) -> Option<f64> {
        let ratios = self.rounds.iter().zip(&other.rounds).map(|(own, other)| own / other);
        middle(ratios.filter(|ratio| ratio.is_finite()).collect())
    }
}

/// The medians, measure by measure, of the same thing measured several times.
pub(crate) fn median(rounds: Vec<Vec<Measure>>) -> Vec<Measure> {
    let mut rounds = rounds.into_iter();
    let mut result = rounds.next().unwrap_or_default();
    for round in rounds {
        for (measure, again) in result.iter_mut().zip(round) {
            measure.rounds.extend(again.rounds);
        }
    }
    for measure in &mut result {
        measure.value = middle(measure.rounds.clone()).unwrap_or_default();
    }
    result
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// All results of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    /// What was not measured, and why.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// A measure in relation to another server's in the same case.
    fn ratio(&self, row: &Row, measure: &Measure, to: Peer) -> Option<f64> {
        let is_other = |other: &&Row| other.peer == to && (other.scenario, &other.case) == (row.scenario, &row.case);
        let other = self.rows.iter().find(is_other)?.measures.iter().find(|other| other.name == measure.name)?;
        if measure.compared && row.peer != to { measure.ratio(other) } else { None }
    }

    /// In words: beside the floor, and beside Bun what is ours.
    fn ratios(&self, row: &Row, measure: &Measure) -> String {
        let floor = self.ratio(row, measure, Peer::FLOOR).map(|ratio| format!("{ratio:.2}×"));
        let bun = if row.peer == Peer::Chatbox { self.ratio(row, measure, Peer::Bun) } else { None };
        let ratios: Vec<String> = floor.into_iter().chain(bun.map(|ratio| format!("{ratio:.2}× Bun"))).collect();
        if ratios.is_empty() { String::new() } else { format!(" ({})", ratios.join(", ")) }
    }

    /// One Markdown table for each scenario.
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        for rows in self.rows.chunk_by(|a, b| a.scenario == b.scenario) {
            // Writing to memory does not fail.
            let _ = write!(out, "\n### {}\n", rows[0].scenario);
            for rows in rows.chunk_by(|a, b| columns(a).eq(columns(b))) {
                let _ = write!(out, "\n| case | server |");
                for (name, unit) in columns(&rows[0]) {
                    let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
                    let _ = write!(out, " {name}{unit} |");
                }
                let _ = writeln!(out, "\n|---|---|{}", "---:|".repeat(rows[0].measures.len()));
                for row in rows {
                    let _ = write!(out, "| {} | {} |", row.case, row.peer);
                    for measure in &row.measures {
                        let _ = write!(out, " {}{} |", number(measure.value), self.ratios(row, measure));
                    }
                    out.push('\n');
                }
            }
        }
        for note in &self.notes {
            let _ = write!(out, "\n- {note}");
        }
        out
    }

    pub(crate) fn json(&self, run: Value) -> Value {
        let results: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let measures: Vec<Value> = row
                    .measures
                    .iter()
                    .map(|measure| {
                        let ratio = |to| self.ratio(row, measure, to);
                        json!({
                            "name": measure.name, "value": measure.value, "unit": measure.unit, "rounds": measure.rounds,
                            "ratio": ratio(Peer::FLOOR), "ratio_to_bun": ratio(Peer::Bun),
                        })
                    })
                    .collect();
                json!({"scenario": row.scenario, "case": row.case, "server": row.peer.name(), "measures": measures})
            })
            .collect();
        json!({"run": run, "floor": Peer::FLOOR.name(), "results": results, "notes": self.notes})
    }
}

fn columns(row: &Row) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
    row.measures.iter().map(|measure| (measure.name, measure.unit))
}

/// Three significant digits, or all of those before the point.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        1_000.0.. => {
            let digits = format!("{value:.0}");
            let mut out = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index) % 3 == 0 {
                    out.push(',');
                }
                out.push(digit);
            }
            out
        }
        _ if value.fract() == 0.0 => format!("{value}"),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(peer: Peer, value: f64) -> Row {
        let measures = vec![Measure::compared("memory", value, "B"), Measure::plain("resets", 0.0, "")];
        Row { scenario: "idle", case: "1000 rooms".to_owned(), peer, measures }
    }

    #[test]
    fn results_stand_beside_the_floor() {
        let report = Report {
            rows: vec![row(Peer::Chatbox, 1_500.0), row(Peer::Epoll, 1_000.0)],
            notes: vec!["Bun: not run".to_owned()],
        };
        let table = "
### idle

| case | server | memory, B | resets |
|---|---|---:|---:|
| 1000 rooms | chatbox | 1,500 (1.50×) | 0 |
| 1000 rooms | epoll | 1,000 | 0 |

- Bun: not run";
        assert_eq!(report.markdown(), table);
        assert_eq!(report.json(json!({}))["results"][0]["measures"][0]["ratio"], 1.5);
    }

    #[test]
    fn of_several_rounds_the_median_counts() {
        let round = |value| vec![Measure::plain("cpu", value, "s")];
        assert_eq!(median(vec![round(3.0), round(1.0), round(2.0)])[0].value, 2.0);
    }

    #[test]
    fn a_machine_that_slows_down_changes_no_ratio() {
        let rounds = |values: [f64; 3]| median(values.map(|value| vec![Measure::compared("cpu", value, "s")]).to_vec());
        let row = |peer, measures| Row { scenario: "fanout", case: "one".to_owned(), peer, measures };
        let slower_and_slower = [[1.0, 10.0, 30.0], [2.0, 20.0, 20.0], [4.0, 40.0, 90.0]].map(rounds);
        let [ours, floor, bun] = slower_and_slower;
        let rows = vec![row(Peer::Chatbox, ours), row(Peer::Epoll, floor), row(Peer::Bun, bun)];
        let report = Report { rows, notes: Vec::new() };
        let ratios = report.rows.iter().map(|row| report.ratios(row, &row.measures[0]));
        assert_eq!(ratios.collect::<Vec<_>>(), [" (0.50×, 0.25× Bun)", "", " (2.00×)"]);
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.1234, 1.2345, 16.0, 12.345, 546.4, 1_234_567.8].map(number);
        assert_eq!(shown, ["0", "0.123", "1.23", "16", "12.3", "546", "1,234,568"]);
    }
}
