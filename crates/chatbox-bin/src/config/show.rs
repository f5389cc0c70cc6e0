//! The effective configuration as text, each value with its source.

use super::Loaded;
use figment::value::{Dict, Value};
use std::fmt::Write;

impl Loaded {
    /// One line per key: `key = value  # source`, in TOML. Secrets are masked.
    #[must_use]
    pub fn show(&self) -> String {
        let mut lines = Vec::new();
        if let Ok(Value::Dict(_, dict)) = Value::serialize(&self.config) {
            collect(&dict, "", &mut lines);
        }
        let width = lines.iter().map(|(key, value)| key.len() + value.len()).max().unwrap_or(0) + 3;
        let mut shown = String::new();
        for (key, value) in lines {
            // Writing to a string does not fail.
            let _ = writeln!(shown, "{:width$}  # {}", format!("{key} = {value}"), self.source(&key));
        }
        shown
    }
}

/// Every key of nested values.
pub(super) fn keys(values: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    if let Value::Dict(_, dict) = values {
        collect(dict, "", &mut lines);
    }
    lines.into_iter().map(|(key, _)| key).collect()
}

fn collect(dict: &Dict, prefix: &str, lines: &mut Vec<(String, String)>) {
    for (name, value) in dict {
        let key = format!("{prefix}{name}");
        match value {
            Value::Dict(_, inner) => collect(inner, &format!("{key}."), lines),
            value => lines.push((key, toml(value))),
        }
    }
}

/// A value as it is written in TOML.
pub(super) fn toml(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Num(_, number) => {
            let (natural, whole, real) = (number.to_u128(), number.to_i128(), number.to_f64());
            let text = natural.map(|it| it.to_string()).or_else(|| whole.map(|it| it.to_string()));
            text.or_else(|| real.map(|it| it.to_string())).unwrap_or_default()
        }
        Value::Bool(_, flag) => flag.to_string(),
        Value::Array(_, items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        _ => "(unset)".to_owned(),
    }
}
