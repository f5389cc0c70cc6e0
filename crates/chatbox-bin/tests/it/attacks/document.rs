//! The tables in `docs/security.md`, compared with what they should say.

use super::harness::Row;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A part of the document that a test writes: where it begins, and where it ends.
pub(super) struct Part(&'static str, &'static str);

pub(super) const COSTS: Part = Part(
    "<!-- The bounds: written by a test, see crates/chatbox-bin/tests/it/attacks/costs.rs -->\n",
    "\n<!-- The end of the bounds -->",
);

const ATTACKS: Part = Part(
    "<!-- The attacks: written by a test, see crates/chatbox-bin/tests/it/attacks.rs -->\n",
    "\n<!-- The end of the attacks -->",
);

/// Rows that belong together.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) rows: Vec<Row>,
}

/// Asserts that the document says what was observed; nothing may have failed.
pub(super) fn compare_attacks(groups: &[Group]) {
    let failures: Vec<_> = rows(groups).map(|row| &*row.observed).filter(|text| text.starts_with("FAILED")).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    compare(&ATTACKS, &render(groups));
}

/// Asserts that this part of the document says this; writes it there instead if `UPDATE_TABLE` is set.
pub(super) fn compare(Part(begin, end): &Part, wanted: &str) {
    let file = root().join("docs/security.md");
    let document = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = document.split_once(begin).expect("the document marks where the table begins");
    let (table, after) = rest.split_once(end).expect("the document marks where the table ends");
    if std::env::var_os("UPDATE_TABLE").is_some() {
        std::fs::write(&file, [before, begin, wanted, end, after].concat()).unwrap();
        return;
    }
    let differences = differences(table, wanted);
    assert!(differences.is_empty(), "docs/security.md (-) and what it should say (+) differ:\n{differences}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn rows(groups: &[Group]) -> impl Iterator<Item = &Row> {
    groups.iter().flat_map(|group| &group.rows)
}

fn render(groups: &[Group]) -> String {
    let mut out = String::new();
    for Group { name, rows } in groups {
        let _ = write!(out, "\n### {name}\n\n| attack | expected | observed | memory |\n|---|---|---|---|\n");
        for Row { attack, expected, observed, memory } in rows {
            let _ = writeln!(out, "| {attack} | {expected} | {observed} | ≤ {memory} MiB |");
        }
    }
    out
}

fn differences(document: &str, wanted: &str) -> String {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (lines(document), lines(wanted));
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}\n"));
    let come = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}\n"));
    gone.chain(come).collect()
}

#[test]
fn rows_that_differ_are_listed() {
    assert_eq!(differences("| a |\n| b |", "| a |\n| c |"), "- | b |\n+ | c |\n");
    assert_eq!(differences("| a |", "| a |"), "");
}

#[test]
fn the_parsers_and_their_tests_are_where_the_document_says() {
    let document = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let parsers = document.split_once("## Parsers").unwrap().1;
    let rows: Vec<_> = parsers.lines().filter(|line| line.contains("`crates/")).collect();
    assert!(rows.len() >= 5, "{rows:?}");
    for row in rows {
        let cells: Vec<_> = row.split('|').collect();
        let [parser, tests] =
            [cells[2], cells[3]].map(|cell| cell.split('`').filter(|text| text.starts_with("crates/")));
        assert!(parser.clone().count() == 1 && tests.clone().count() >= 1, "{row}");
        for file in parser {
            assert!(root().join(file).is_file(), "{file}");
        }
        for file in tests {
            let text = std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(text.contains("proptest!") || text.contains("fuzz_target!"), "{file} has no property");
        }
    }
}
