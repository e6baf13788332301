//! The journal in a data directory: one line a change, with a checksum.
//!
//! Promises: a change is wholly in the file before it is made or answered; a last line that is torn was never answered and is
//! ignored; damage anywhere else stops the start. Lines: eight hex digits of CRC-32C, a space, JSON. Deliberately never
//! synced: a killed process loses nothing, a machine without power may.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::model::Change;

pub(crate) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens or makes it, and reads what it has.
    ///
    /// # Errors
    /// It cannot be read or written, or a line before the last is damaged.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<Vec<Change>>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut changes = Vec::new();
        let mut good = 0;
        while let Some(line) = bytes.get(good..).filter(|rest| !rest.is_empty()) {
            let end = line.iter().position(|byte| *byte == b'\n');
            let Some(read) = end.and_then(|end| line.get(..end)).and_then(read_line) else {
                if end.is_some_and(|end| end + 1 < line.len()) {
                    let text =
                        format!("{}: damaged at byte {good}, and it goes on after that", path.display());
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
                break;
            };
            changes.push(read);
            good += end.map_or(0, |end| end + 1);
        }
        file.set_len(good as u64)?;
        file.seek(io::SeekFrom::End(0))?;
        Ok((Self { path: path.to_owned(), file }, changes))
    }

    /// Says the same in fewer lines: a new file takes the place of the old one at once.
    ///
    /// # Errors
    /// It cannot be written; the old one is still there.
    pub(crate) fn begin_anew(&mut self, snapshot: &[Change]) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut anew = Self { path: self.path.clone(), file: File::create(&beside)? };
        for change in snapshot {
            anew.append(std::slice::from_ref(change))?;
        }
        std::fs::rename(&beside, &self.path)?;
        *self = anew;
        Ok(())
    }

    /// # Errors
    /// It cannot be written.
    pub(crate) fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        let json = serde_json::to_string(changes)?;
        // One write, so that a kill tears at most the last line.
        self.file.write_all(format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes())).as_bytes())
    }
}

fn read_line(line: &[u8]) -> Option<Vec<Change>> {
    let (sum, json) = line.split_at_checked(9)?;
    let sum = std::str::from_utf8(sum).ok()?.strip_suffix(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    if sum != crc32c::crc32c(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> io::Result<usize> {
        Journal::open(path).map(|(_, changes)| changes.len())
    }

    #[test]
    fn beginning_anew_leaves_the_snapshot_and_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        for ahead in 0..10 {
            journal.append(&[Change::Clock(ahead)]).unwrap();
        }
        journal.begin_anew(&[Change::Clock(9)]).unwrap();
        journal.append(&[Change::Clock(10)]).unwrap();
        let (_, changes) = Journal::open(&path).unwrap();
        assert!(matches!(changes.concat().as_slice(), [Change::Clock(9), Change::Clock(10)]));
    }

    #[test]
    fn a_torn_last_line_is_ignored_and_damage_before_it_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&[Change::Clock(1)]).unwrap();
        journal.append(&[Change::Clock(2), Change::RateLimit(true)]).unwrap();
        assert_eq!(lines(&path).unwrap(), 2);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 4]).unwrap();
        let (mut journal, changes) = Journal::open(&path).unwrap();
        assert_eq!(changes.len(), 1);
        journal.append(&[Change::Clock(3)]).unwrap();
        assert_eq!(lines(&path).unwrap(), 2);
        let mut damaged = whole;
        damaged[12] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        assert!(lines(&path).unwrap_err().to_string().contains("damaged at byte 0"));
    }
}
