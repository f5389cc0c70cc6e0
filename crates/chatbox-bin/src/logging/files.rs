//! Daily log files, of which those past their time are removed.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::io::{self, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use tracing_appender::rolling::{Builder, InitError, RollingFileAppender, Rotation};

/// A file is named `chatbox.2026-11-28.log`, after its day in UTC.
const PREFIX: &str = "chatbox";
const SUFFIX: &str = "log";

/// Writes to one file a day. When the day changes, and at the start, files are removed that are older than so many days.
pub(super) struct DailyFiles {
    appender: RollingFileAppender,
    directory: PathBuf,
    keep_days: NonZeroU32,
    /// The day of the last removal.
    pruned: Option<Date>,
}

impl DailyFiles {
    /// Opens the file of today, creating the directory.
    ///
    /// # Errors
    /// When that is not possible.
    pub(super) fn open(directory: &Path, keep_days: NonZeroU32) -> Result<Self, InitError> {
        let builder = Builder::new().rotation(Rotation::DAILY).filename_prefix(PREFIX).filename_suffix(SUFFIX);
        let appender = builder.build(directory)?;
        let mut files = Self { appender, directory: directory.to_owned(), keep_days, pruned: None };
        files.prune();
        Ok(files)
    }

    /// Removes expired files, once a day.
    fn prune(&mut self) {
        let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
        if self.pruned.replace(today) == Some(today) {
            return;
        }
        // A file that cannot be removed is tried again tomorrow: the log is no place to complain about the log.
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten() {
            let is_expired = entry.file_name().to_str().is_some_and(|name| is_expired(name, today, self.keep_days));
            if is_expired && entry.file_type().is_ok_and(|kind| kind.is_file()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

impl Write for DailyFiles {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.prune();
        self.appender.write(lines)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.appender.flush()
    }
}

/// Whether a file is one of ours and its day lies `keep_days` or more before today: with 1, only the file of today is kept.
fn is_expired(name: &str, today: Date, keep_days: NonZeroU32) -> bool {
    let day = name.strip_prefix(PREFIX).and_then(|name| name.strip_prefix('.'));
    let day = day.and_then(|name| name.strip_suffix(SUFFIX)).and_then(|name| name.strip_suffix('.'));
    // `2026-11-28`, and no other form that the parser takes.
    let day = day.filter(|day| day.len() == 10).and_then(|day| day.parse::<Date>().ok());
    day.is_some_and(|day| i64::from((today - day).get_days()) >= i64::from(keep_days.get()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::ToSpan;

    fn days(keep: u32) -> NonZeroU32 {
        NonZeroU32::new(keep).unwrap()
    }

    #[test]
    fn files_are_kept_by_their_day_however_many_there_are() {
        let today: Date = "2026-03-01".parse().unwrap();
        for (name, keep, expired) in [
            ("chatbox.2026-03-01.log", 1, false),
            ("chatbox.2026-02-28.log", 1, true),
            ("chatbox.2026-02-28.log", 2, false),
            ("chatbox.2026-02-16.log", 14, false),
            ("chatbox.2026-02-15.log", 14, true),
            ("chatbox.1999-12-31.log", 14, true),
            ("chatbox.1999-12-31.log", u32::MAX, false),
            // Written while the clock was ahead.
            ("chatbox.2027-01-01.log", 14, false),
            ("chatbox.2026-02-30.log", 14, false),
            ("chatbox-other.2026-02-01.log", 14, false),
            ("chatbox.2026-02-01.log.gz", 14, false),
            ("chatbox.20260201.log", 14, false),
            ("chatbox..log", 14, false),
            ("other.2026-02-01.log", 14, false),
        ] {
            assert_eq!(is_expired(name, today, days(keep)), expired, "{name} {keep}");
        }
    }

    #[test]
    fn a_start_removes_expired_files_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
        let name = |age: i64| format!("chatbox.{}.log", today.checked_sub(age.days()).unwrap());
        let (kept, expired) = ([name(1), name(2), "chatbox.log".to_owned()], [name(4), name(400)]);
        for name in kept.iter().chain(&expired) {
            std::fs::write(directory.path().join(name), "a line\n").unwrap();
        }
        std::fs::create_dir(directory.path().join(name(5))).unwrap();
        let mut files = DailyFiles::open(directory.path(), days(3)).unwrap();
        files.write_all(b"a line\n").unwrap();
        let mut found: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut wanted: Vec<_> = kept.into_iter().chain([name(0), name(5)]).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }
}
