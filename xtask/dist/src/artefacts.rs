//! The folder that the artefacts go into, and the list of their digests.

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The name of the list of digests.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// Artefacts that have been written.
pub(crate) struct Artefacts {
    folder: PathBuf,
    digests: BTreeMap<String, String>,
}

impl Artefacts {
    /// Makes the folder, and removes from it what an earlier run has left; other files stay.
    pub(crate) fn replace(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == SUMS || name.to_string_lossy().starts_with("chatbox-") {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { folder: folder.to_owned(), digests: BTreeMap::new() })
    }

    /// Writes one.
    pub(crate) fn add(&mut self, name: &str, content: &[u8]) -> Result<()> {
        fs::write(self.folder.join(name), content).with_context(|| name.to_owned())?;
        self.digests.insert(name.to_owned(), sha256(content));
        Ok(())
    }

    /// Writes the list of digests, as `sha256sum --check` reads it, and prints what there is.
    pub(crate) fn finish(self) -> Result<()> {
        let mut sums = String::new();
        for (name, digest) in &self.digests {
            let _ = writeln!(sums, "{digest}  {name}");
            println!("{:>12} {}", fs::metadata(self.folder.join(name))?.len(), self.folder.join(name).display());
        }
        fs::write(self.folder.join(SUMS), &sums)?;
        print!("{sums}");
        Ok(())
    }
}

/// The SHA-256 digest, in hexadecimal.
pub(crate) fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
