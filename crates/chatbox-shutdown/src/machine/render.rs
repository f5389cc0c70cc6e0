//! Renders the transition table in Markdown: as a table and as a Mermaid diagram.

use std::fmt::Write;

use super::{Input, Step};
use crate::Phase;

/// The generated part of `docs/shutdown.md`.
pub(super) fn markdown() -> String {
    format!("```mermaid\n{}```\n\n{}", diagram(), table())
}

pub(super) fn table() -> String {
    let mut text = String::from("| event |");
    for phase in Phase::ALL {
        write!(text, " `{phase}` |").unwrap();
    }
    writeln!(text, "\n|---|{}", "---|".repeat(Phase::ALL.len())).unwrap();
    for input in Input::ALL {
        write!(text, "| {} |", label(input)).unwrap();
        for step in input.row() {
            let cell = match step {
                Step::To(phase) => format!("→ `{phase}`"),
                Step::CutTo(phase) => format!("cut → `{phase}`"),
                Step::Noted => "noted".into(),
                Step::Repeated => "repeated".into(),
                Step::Illegal => "–".into(),
            };
            write!(text, " {cell} |").unwrap();
        }
        text.push('\n');
    }
    text
}

fn diagram() -> String {
    let mut text = String::from("stateDiagram-v2\n    [*] --> running\n");
    for from in Phase::ALL {
        for to in Phase::ALL {
            let labels: Vec<_> = Input::ALL
                .into_iter()
                .filter_map(|input| match input.row()[from.index()] {
                    Step::To(phase) if phase == to => Some(label(input).to_owned()),
                    Step::CutTo(phase) if phase == to => Some(format!("{} (cut)", label(input))),
                    _ => None,
                })
                .collect();
            if !labels.is_empty() {
                writeln!(text, "    {from} --> {to}: {}", labels.join(", ")).unwrap();
            }
        }
    }
    text.push_str("    stopped --> [*]\n");
    text
}

fn label(input: Input) -> &'static str {
    match input {
        Input::Request => "request, or a task ended",
        Input::Terminate => "first signal SIGTERM, SIGQUIT",
        Input::Interrupt => "first signal SIGINT, SIGHUP",
        Input::Force => "second signal, or force",
        Input::Complete => "complete",
        Input::BudgetPassed => "time passed",
    }
}
