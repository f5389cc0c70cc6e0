//! The licences of the crates that the program contains, as their authors ship them: they ask to go with every copy.

use crate::sbom::Crates;
use anyhow::Result;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Every text once, below the names of the crates that it is from.
pub(crate) fn of(crates: &Crates) -> Result<String> {
    let mut by_text: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut notices = "Licences of the crates that chatbox contains.\n\n".to_owned();
    for package in crates.others.iter().filter(|package| package.checksum.is_some()) {
        let licence = package.licence.as_deref().unwrap_or("see its sources");
        let title = format!("{} {}", package.name, package.version);
        let _ = writeln!(notices, "{title}: {licence}");
        for text in texts(&package.folder)? {
            by_text.entry(text).or_default().push(title.clone());
        }
    }
    let mut by_crate: Vec<_> = by_text.into_iter().map(|(text, crates)| (crates, text)).collect();
    by_crate.sort();
    for (crates, text) in by_crate {
        let _ = write!(notices, "\n{}\n{}\n\n{text}\n", "-".repeat(80), crates.join(", "));
    }
    Ok(notices)
}

/// The files at the top of a package that are licences by their names.
fn texts(folder: &Path) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_uppercase();
        let is_licence = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
            .iter()
            .any(|known| name.starts_with(known));
        if is_licence && entry.file_type()?.is_file() {
            texts.push(String::from_utf8_lossy(&fs::read(entry.path())?).replace("\r\n", "\n").trim().to_owned());
        }
    }
    Ok(texts)
}
