//! Whether the open files are still the ones at their paths.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use super::names;

/// The files of an open database, each with the identity that it had when it was opened.
///
/// A process goes on writing to a file after its name was removed or given to another file. What is committed then is lost
/// with the process, so nothing is acknowledged unless every name still leads to the open file.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<(PathBuf, Identity)>,
}

/// A name that no longer leads to the open file.
#[derive(Debug, thiserror::Error)]
pub(super) struct Misplaced {
    path: PathBuf,
    /// `None` when another file has taken its place.
    source: Option<io::Error>,
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.source {
            Some(error) if error.kind() == io::ErrorKind::NotFound => write!(f, "{path} was removed while it was open"),
            Some(_) => write!(f, "{path} cannot be looked at"),
            None => write!(f, "{path} was replaced by another file while it was open"),
        }
    }
}

impl Files {
    /// The files of a database that has just been opened: `path` as it was given, `actual` with its links followed.
    pub(super) fn open_now(path: &Path, actual: &Path) -> io::Result<Self> {
        let names =
            [path.to_owned(), names::write_ahead_log(actual), names::shared_memory(actual), names::lock(actual)];
        let files = names.into_iter().map(|name| {
            let identity = Identity::of(&name)?;
            Ok((std::path::absolute(name)?, identity))
        });
        Ok(Self { files: files.collect::<io::Result<_>>()? })
    }

    /// Looks at every name: four system calls that need no disk.
    pub(super) fn check(&self) -> Result<(), Misplaced> {
        for (path, identity) in &self.files {
            match Identity::of(path) {
                Ok(found) if found == *identity => {}
                Ok(_) => return Err(Misplaced { path: path.clone(), source: None }),
                Err(error) => return Err(Misplaced { path: path.clone(), source: Some(error) }),
            }
        }
        Ok(())
    }
}

/// The identity of a file, whatever its name.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Identity {
    #[cfg(unix)]
    fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let file = path.metadata()?;
        Ok(Self { device: file.dev(), inode: file.ino() })
    }

    /// An open file cannot be renamed or removed here.
    #[cfg(not(unix))]
    fn of(path: &Path) -> io::Result<Self> {
        path.metadata().map(|_| Self {})
    }
}
