//! Reproducible archives: entries sorted, with one time and one owner.

use crate::checkout::{git, output, root};
use anyhow::Result;
use flate2::{Compression, GzBuilder};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use tar::{Builder, EntryType, Header};

/// Files by their paths, with the folders that they lie in.
#[derive(Default)]
pub(crate) struct Files(BTreeMap<String, Entry>);

enum Entry {
    File { mode: u32, content: Vec<u8> },
    Folder { owner: u64 },
    Link { to: String },
}

impl Files {
    /// Adds a world-readable file.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) {
        self.add(path, Entry::File { mode: 0o644, content: content.to_owned() });
    }

    /// Adds a program.
    pub(crate) fn program(&mut self, path: &str, content: &[u8]) {
        self.add(path, Entry::File { mode: 0o755, content: content.to_owned() });
    }

    /// Adds a folder that `owner` may write to.
    pub(crate) fn folder(&mut self, path: &str, owner: u64) {
        self.add(path, Entry::Folder { owner });
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &str, to: &str) {
        self.add(path, Entry::Link { to: to.to_owned() });
    }

    fn add(&mut self, path: &str, entry: Entry) {
        for (end, _) in path.match_indices('/') {
            self.0.entry(path[..end].to_owned()).or_insert(Entry::Folder { owner: 0 });
        }
        self.0.insert(path.to_owned(), entry);
    }

    /// The tar archive of these files, every one of them last changed at `time`.
    pub(crate) fn tar(&self, time: u64) -> Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for (path, entry) in &self.0 {
            let mut header = Header::new_gnu();
            header.set_mtime(time);
            header.set_size(0);
            header.set_uid(0);
            header.set_gid(0);
            match entry {
                Entry::File { mode, content } => {
                    header.set_mode(*mode);
                    header.set_size(content.len().try_into()?);
                    tar.append_data(&mut header, path, content.as_slice())?;
                }
                Entry::Folder { owner } => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_mode(0o755);
                    header.set_uid(*owner);
                    header.set_gid(*owner);
                    tar.append_data(&mut header, format!("{path}/"), [].as_slice())?;
                }
                Entry::Link { to } => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_mode(0o777);
                    tar.append_link(&mut header, path, to)?;
                }
            }
        }
        Ok(tar.into_inner()?)
    }
}

/// What is in the tarball, in a folder of its own.
pub(crate) fn release(folder: &str, program: &[u8], notices: &str) -> Result<Files> {
    let mut files = Files::default();
    files.program(&format!("{folder}/chatbox"), program);
    files.file(&format!("{folder}/THIRD-PARTY-LICENSES.txt"), notices.as_bytes());
    let shipped = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "deploy"];
    for path in output(git().args(["ls-files", "-z"]).args(shipped))?.split_terminator('\0') {
        files.file(&format!("{folder}/{path}"), &fs::read(root().join(path))?);
    }
    Ok(files)
}

/// Compresses, with a header that has neither a time nor an operating system.
pub(crate) fn gzip(content: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    gzip.write_all(content)?;
    Ok(gzip.finish()?)
}

#[cfg(test)]
mod tests {
    use super::{Files, gzip};
    use std::io::Read;

    fn listing(tar: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let header = entry.header();
            let link = entry.link_name().unwrap().map(|link| format!(" -> {}", link.display())).unwrap_or_default();
            let path = entry.path().unwrap().display().to_string();
            let (mode, owner, time) = (header.mode().unwrap(), header.uid().unwrap(), header.mtime().unwrap());
            format!("{mode:o} {owner} {time} {path}{link} {content}").trim_end().to_owned()
        });
        entries.collect()
    }

    #[test]
    fn an_archive_is_sorted_and_has_its_folders_in_front_of_what_they_hold() {
        let mut files = Files::default();
        files.link("lib64", "lib");
        files.program("z/bin/tool", b"x");
        files.folder("data", 65532);
        files.file("a", b"y");
        assert_eq!(
            listing(&files.tar(7).unwrap()),
            [
                "644 0 7 a y",
                "755 65532 7 data/",
                "777 0 7 lib64 -> lib",
                "755 0 7 z/",
                "755 0 7 z/bin/",
                "755 0 7 z/bin/tool x"
            ]
        );
    }

    #[test]
    fn the_order_in_which_files_are_added_does_not_matter() {
        let long = "folder/".repeat(30) + "file";
        let tar = |paths: [&str; 3]| {
            let mut files = Files::default();
            paths.iter().for_each(|path| files.file(path, path.as_bytes()));
            gzip(&files.tar(1_700_000_000).unwrap()).unwrap()
        };
        assert_eq!(tar(["b", "a", &long]), tar([&long, "b", "a"]));
    }

    #[test]
    fn a_compressed_file_tells_no_time_and_no_system() {
        assert_eq!(gzip(b"").unwrap()[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
    }
}
