//! The effective configuration, each value with where it came from.

use super::Loaded;
use figment::value::{Dict, Value};
use std::fmt::Write;

impl Loaded {
    /// One line a key: `key = value  # source`, in TOML. Secrets are masked.
    #[must_use]
    pub fn show(&self) -> String {
        let mut lines = Vec::new();
        if let Ok(Value::Dict(_, dict)) = Value::serialize(&self.config) {
            collect(&dict, "", &mut lines);
        }
        let width = lines.iter().map(|(key, value)| key.len() + value.len()).max().unwrap_or(0) + 3;
        let mut shown = String::new();
        for (key, value) in lines {
            let source = self.source(&key).unwrap_or_else(|| "default".to_owned());
            // Writing to a string does not fail.
            let _ = writeln!(shown, "{:width$}  # {source}", format!("{key} = {value}"));
        }
        shown
    }

    /// Where a value came from; `None` for a default.
    pub(super) fn source(&self, key: &str) -> Option<String> {
        let metadata = self.figment.find_metadata(key)?;
        // Only the defaults come from code.
        metadata.source.is_none().then(|| metadata.name.to_string())
    }
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

/// A value as it is written in a file.
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
