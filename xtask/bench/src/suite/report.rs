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
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// Whether it is set in relation to the floor's.
    pub(crate) compared: bool,
}

impl Measure {
    /// A number that is shown beside its ratio to the floor's.
    pub(crate) fn compared(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, unit, compared: true }
    }

    /// A number that stands for itself.
    pub(crate) fn plain(name: &'static str, value: f64, unit: &'static str) -> Self {
        Self { name, value, unit, compared: false }
    }
}

/// The medians, measure by measure, of the same thing measured several times.
pub(crate) fn median(mut runs: Vec<Vec<Measure>>) -> Vec<Measure> {
    let Some(mut result) = runs.pop() else { return Vec::new() };
    for (index, measure) in result.iter_mut().enumerate() {
        let others = runs.iter().map(|run| run[index].value);
        let mut values: Vec<f64> = others.chain([measure.value]).collect();
        values.sort_by(f64::total_cmp);
        measure.value = values[values.len() / 2];
    }
    result
}

/// All results of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    /// What was not measured, and why.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// A measure in relation to the floor's in the same case.
    fn ratio(&self, row: &Row, measure: &Measure) -> Option<f64> {
        let floor = self
            .rows
            .iter()
            .find(|other| other.peer == Peer::FLOOR && (other.scenario, &other.case) == (row.scenario, &row.case))?;
        let floor = floor.measures.iter().find(|other| other.name == measure.name)?;
        (measure.compared && row.peer != Peer::FLOOR && floor.value > 0.0).then(|| measure.value / floor.value)
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
                        let ratio = self.ratio(row, measure).map(|ratio| format!(" ({ratio:.2}×)"));
                        let _ = write!(out, " {}{} |", number(measure.value), ratio.unwrap_or_default());
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
                        let ratio = self.ratio(row, measure);
                        json!({"name": measure.name, "value": measure.value, "unit": measure.unit, "ratio": ratio})
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
    fn of_several_runs_the_median_counts() {
        let run = |value| vec![Measure::plain("cpu", value, "s")];
        assert_eq!(median(vec![run(3.0), run(1.0), run(2.0)])[0].value, 2.0);
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 0.1234, 1.2345, 16.0, 12.345, 546.4, 1_234_567.8].map(number);
        assert_eq!(shown, ["0", "0.123", "1.23", "16", "12.3", "546", "1,234,568"]);
    }
}
