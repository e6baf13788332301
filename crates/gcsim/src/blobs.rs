//! Bytes by number: in memory, or a file each.
//!
//! Promise: with a directory, a blob is wholly in its file before its number is given out; killing this process loses none
//! of them (the machine losing power may: nothing is synced, tests do not cut power). Deliberately no sharing: a copy has its
//! own number, so that removing is simple.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

pub(crate) struct Blobs {
    next: AtomicU64,
    place: Place,
}

enum Place {
    Memory(Mutex<HashMap<u64, Bytes>>),
    Directory(PathBuf),
}

fn missing(id: u64) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("blob {id} is gone"))
}

impl Blobs {
    pub(crate) fn in_memory() -> Self {
        Self { next: AtomicU64::new(1), place: Place::Memory(Mutex::default()) }
    }

    /// # Errors
    /// The directory cannot be made or read.
    pub(crate) fn in_directory(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let mut highest = 0;
        for entry in fs::read_dir(directory)? {
            highest = highest.max(number_of(&entry?.path()).unwrap_or(0));
        }
        Ok(Self { next: AtomicU64::new(highest + 1), place: Place::Directory(directory.to_owned()) })
    }

    /// Stores these pieces, one after the other, as one blob.
    pub(crate) fn put(&self, pieces: &[Bytes]) -> io::Result<u64> {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        match &self.place {
            Place::Memory(map) => {
                let whole = match pieces {
                    [one] => one.clone(),
                    _ => pieces.concat().into(),
                };
                lock(map).insert(id, whole);
            }
            Place::Directory(directory) => {
                let mut file = fs::File::create(directory.join(id.to_string()))?;
                for piece in pieces {
                    file.write_all(piece)?;
                }
            }
        }
        Ok(id)
    }

    /// A blob of its own with the same bytes.
    pub(crate) fn copy(&self, of: u64) -> io::Result<u64> {
        let id = self.next.fetch_add(1, Ordering::SeqCst);
        match &self.place {
            Place::Memory(map) => {
                let mut map = lock(map);
                let bytes = map.get(&of).cloned().ok_or_else(|| missing(of))?;
                map.insert(id, bytes);
            }
            Place::Directory(directory) => {
                fs::copy(directory.join(of.to_string()), directory.join(id.to_string()))?;
            }
        }
        Ok(id)
    }

    pub(crate) fn read(&self, id: u64, from: u64, length: u64) -> io::Result<Bytes> {
        match &self.place {
            Place::Memory(map) => {
                let whole = lock(map).get(&id).cloned().ok_or_else(|| missing(id))?;
                let start = usize::try_from(from).unwrap_or(usize::MAX).min(whole.len());
                let end =
                    start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(whole.len());
                Ok(whole.slice(start..end))
            }
            Place::Directory(directory) => {
                let mut file = fs::File::open(directory.join(id.to_string()))?;
                file.seek(SeekFrom::Start(from))?;
                let mut found = Vec::new();
                file.take(length).read_to_end(&mut found)?;
                Ok(found.into())
            }
        }
    }

    pub(crate) fn whole(&self, id: u64) -> io::Result<Bytes> {
        self.read(id, 0, u64::MAX)
    }

    /// Turns one bit over, as a rotten disk would.
    pub(crate) fn damage(&self, id: u64, byte: u64, bit: u8) -> io::Result<()> {
        let mut bytes = self.whole(id)?.to_vec();
        let at = usize::try_from(byte).ok().and_then(|at| bytes.get_mut(at));
        let at = at.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "beyond the object's end"))?;
        *at ^= 1 << (bit % 8);
        match &self.place {
            Place::Memory(map) => {
                lock(map).insert(id, bytes.into());
                Ok(())
            }
            Place::Directory(directory) => fs::write(directory.join(id.to_string()), bytes),
        }
    }

    pub(crate) fn remove(&self, id: u64) {
        match &self.place {
            Place::Memory(map) => {
                lock(map).remove(&id);
            }
            // What stays behind is nobody's and is swept at the next start.
            Place::Directory(directory) => {
                fs::remove_file(directory.join(id.to_string())).unwrap_or_default();
            }
        }
    }

    /// Removes what nothing refers to: blobs whose request was never answered.
    pub(crate) fn keep_only(&self, referred: &std::collections::HashSet<u64>) -> io::Result<()> {
        let Place::Directory(directory) = &self.place else { return Ok(()) };
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if number_of(&path).is_none_or(|id| !referred.contains(&id)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn number_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.parse().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_places_keep_copy_read_damage_and_forget() {
        let directory = tempfile::tempdir().unwrap();
        for blobs in [Blobs::in_memory(), Blobs::in_directory(&directory.path().join("b")).unwrap()] {
            let id = blobs.put(&[Bytes::from_static(b"abc"), Bytes::from_static(b"def")]).unwrap();
            let copy = blobs.copy(id).unwrap();
            assert_ne!(id, copy);
            blobs.damage(id, 1, 0).unwrap();
            assert_eq!(blobs.whole(id).unwrap(), "accdef");
            assert_eq!(blobs.read(copy, 4, 9).unwrap(), "ef");
            assert_eq!(blobs.read(copy, 9, 9).unwrap(), "");
            assert!(blobs.damage(id, 6, 0).is_err());
            blobs.remove(id);
            assert!(blobs.whole(id).is_err());
        }
    }

    #[test]
    fn a_reopened_directory_gives_new_numbers_and_sweeps_what_is_nobodys() {
        let directory = tempfile::tempdir().unwrap();
        let first = Blobs::in_directory(directory.path()).unwrap().put(&[Bytes::from_static(b"a")]).unwrap();
        let blobs = Blobs::in_directory(directory.path()).unwrap();
        let second = blobs.put(&[]).unwrap();
        assert!(second > first);
        blobs.keep_only(&[second].into()).unwrap();
        assert!(blobs.whole(first).is_err());
        assert_eq!(blobs.whole(second).unwrap(), "");
    }
}
