//! The platforms that a release can be made for.

use anyhow::{Result, bail, ensure};
use oci_spec::image::Arch;
use std::fmt;

/// A Linux platform, by the name that the compiler has for it.
pub(crate) struct Target {
    triple: String,
    /// As container engines call it.
    pub(crate) architecture: Arch,
}

impl Target {
    /// Reads a target triple.
    ///
    /// # Errors
    /// When it is not Linux, or a processor that was never tried.
    pub(crate) fn parse(triple: &str) -> Result<Self> {
        ensure!(triple.contains("-linux-"), "{triple}: releases are made for Linux");
        let architecture = match triple.split('-').next() {
            Some("x86_64") => Arch::Amd64,
            Some("aarch64") => Arch::ARM64,
            _ => bail!("{triple}: releases are made for x86_64 and aarch64"),
        };
        Ok(Self { triple: triple.to_owned(), architecture })
    }

    /// In the names of environment variables, as `x86_64_unknown_linux_gnu`.
    pub(crate) fn as_variable(&self) -> String {
        self.triple.replace('-', "_")
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.triple
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.triple)
    }
}
