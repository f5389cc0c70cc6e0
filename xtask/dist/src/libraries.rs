//! The shared libraries that the program needs from the system: found by what the ELF file says, for the image.

use crate::compile;
use crate::target::Target;
use anyhow::{Context, Result, ensure};
use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{ElfFile, ProgramHeader};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a program needs beside itself. Nothing, if it is static.
#[derive(Default)]
pub(crate) struct System {
    /// Where the program wants its loader, as `/lib64/ld-linux-x86-64.so.2`.
    pub(crate) loader: Option<String>,
    /// By name, the loader among them.
    pub(crate) libraries: BTreeMap<String, Library>,
}

/// A shared library of the system.
pub(crate) struct Library {
    pub(crate) content: Vec<u8>,
    /// What it was installed by, if the system can tell.
    pub(crate) package: Option<Package>,
}

/// A package of a Debian system.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    /// Its licences.
    pub(crate) copyright: Option<Vec<u8>>,
}

/// Where the system's libraries are found.
pub(crate) struct Toolchain {
    compiler: OsString,
}

/// What an ELF file asks for.
#[derive(Debug, PartialEq)]
pub(crate) struct Needs {
    pub(crate) loader: Option<String>,
    pub(crate) libraries: Vec<String>,
}

impl Needs {
    /// Reads them.
    ///
    /// # Errors
    /// When that is no ELF file of 64 bits.
    pub(crate) fn of(file: &[u8]) -> Result<Self> {
        let file = ElfFile::<FileHeader64<Endianness>>::parse(file)?;
        let endian = file.endian();
        let mut needs = Self { loader: None, libraries: Vec::new() };
        for header in file.elf_program_headers() {
            if let Some(path) = header.interpreter(endian, file.data())? {
                needs.loader = Some(String::from_utf8(path.to_owned())?);
            }
        }
        let table = file.elf_dynamic_table()?;
        for entry in table.iter().filter(|entry| entry.tag == DT_NEEDED) {
            needs.libraries.push(String::from_utf8(table.string(entry)?.to_owned())?);
        }
        Ok(needs)
    }
}

/// All that a program needs: its libraries, what those need, and the loader.
pub(crate) fn needed_by(program: &[u8], toolchain: &Toolchain) -> Result<System> {
    let needs = Needs::of(program)?;
    let mut system = System { loader: needs.loader, libraries: BTreeMap::new() };
    let mut wanted = needs.libraries;
    wanted.extend(system.loader.as_deref().and_then(|path| path.rsplit('/').next()).map(str::to_owned));
    while let Some(name) = wanted.pop() {
        if let Entry::Vacant(entry) = system.libraries.entry(name) {
            let path = toolchain.find(entry.key())?;
            let content = fs::read(&path).with_context(|| path.display().to_string())?;
            wanted.extend(Needs::of(&content)?.libraries);
            entry.insert(Library { content, package: Package::of(&path) });
        }
    }
    Ok(system)
}

impl System {
    /// The packages that the libraries come from, each once.
    pub(crate) fn packages(&self) -> Vec<&Package> {
        let mut packages: Vec<_> = self.libraries.values().filter_map(|library| library.package.as_ref()).collect();
        packages.sort();
        packages.dedup();
        packages
    }
}

impl Toolchain {
    pub(crate) fn of(target: &Target) -> Self {
        Self { compiler: compile::linker_for(target) }
    }

    /// Where the C compiler finds a library when it links.
    fn find(&self, name: &str) -> Result<PathBuf> {
        let output = Command::new(&self.compiler).arg(format!("-print-file-name={name}")).output();
        let output = output.with_context(|| format!("{} cannot be started", self.compiler.display()))?;
        let path = PathBuf::from(String::from_utf8(output.stdout)?.trim());
        ensure!(path.is_absolute(), "{} does not find {name}", self.compiler.display());
        Ok(path.canonicalize()?)
    }
}

impl Package {
    /// The package that a file was installed by. `None` where dpkg does not know.
    fn of(file: &Path) -> Option<Self> {
        // Debian's list may still say /lib where the file lies in /usr/lib.
        let elsewhere = Path::new("/").join(file.strip_prefix("/usr").ok()?);
        let found = [file, &elsewhere].iter().find_map(|path| {
            let found = dpkg_query(&["--search".as_ref(), path.as_os_str()])?;
            Some(found.split_once(": ")?.0.to_owned())
        })?;
        let shown = dpkg_query(&[
            "--show".as_ref(),
            "--showformat=${Package} ${Version} ${Architecture}".as_ref(),
            found.as_ref(),
        ])?;
        let mut words = shown.split(' ').map(str::to_owned);
        let (name, version, architecture) = (words.next()?, words.next()?, words.next()?);
        let copyright = fs::read(Path::new("/usr/share/doc").join(&name).join("copyright")).ok();
        Some(Self { name, version, architecture, copyright })
    }
}

fn dpkg_query(arguments: &[&OsStr]) -> Option<String> {
    let output = Command::new("dpkg-query").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok())?
}

#[cfg(test)]
mod tests;
