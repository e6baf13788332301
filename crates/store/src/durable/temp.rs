//! Temporary files beside the final name: made, locked by their maker, removed on every way out, swept when dead.
//!
//! Promises: a living maker's file is never swept (it holds a lock that ends with the process, however it ends); a
//! name that [`is_temp_name`] knows is never the name of anything else here.
//! Does not do: guessing by age or process id, which fails across hosts and containers.

use super::{Action, DirHandle, DurableError, EntryKind, FileHandle, Result};
use crate::world::Random;
use rustix::fs::{AtFlags, FlockOperation, flock, unlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const PREFIX: &str = ".seawall-tmp-";

/// Whether `name` (one component) is one of ours for a file that is being written.
#[must_use]
pub fn is_temp_name(name: &OsStr) -> bool {
    name.as_bytes().starts_with(PREFIX.as_bytes())
}

/// A temporary file that goes away with its owner unless it was moved to its final name.
pub(super) struct Temp<'dir> {
    dir: &'dir DirHandle,
    name: PathBuf,
    pub(super) file: FileHandle,
    present: bool,
}

impl<'dir> Temp<'dir> {
    /// Makes and locks one in `dir`. The name's 64 random bits make a clash an error worth seeing.
    pub(super) fn create(dir: &'dir DirHandle, mode: u32, random: &dyn Random) -> Result<Self> {
        let name = PathBuf::from(format!("{PREFIX}{:016x}", random.next_u64()?));
        let file = dir.create_file(&name, mode)?;
        let temp = Self { dir, name, file, present: true };
        match flock(&temp.file, FlockOperation::NonBlockingLockExclusive) {
            // Without locks a sweep cannot take it for dead either: it needs the lock to remove.
            Ok(()) | Err(Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(temp),
            Err(errno) => Err(super::io_error(Action::Lock, temp.file.path())(errno)),
        }
    }

    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    /// Says that the name has gone (renamed away).
    pub(super) fn gone(&mut self) {
        self.present = false;
    }

    /// Removes the name; an error is the caller's to report, and the guard tries once more.
    pub(super) fn remove(&mut self) -> Result<()> {
        self.dir.remove_file(&self.name)?;
        self.present = false;
        Ok(())
    }
}

impl Drop for Temp<'_> {
    fn drop(&mut self) {
        if self.present {
            // An error is already on its way to the caller; what cannot be removed now is swept later.
            let _: rustix::io::Result<()> = unlinkat(&self.dir.fd, &self.name, AtFlags::empty());
        }
    }
}

/// What becomes of the files of dead makers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temps {
    /// They are removed.
    Removed,
    /// They stay.
    Counted,
}

/// What a sweep found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct SweptTemps {
    /// Files of dead makers: removed, or where they were only counted still there.
    pub removed: u64,
    /// Files whose makers live, left alone.
    pub in_use: u64,
}

impl DirHandle {
    /// Removes the temporary files that dead processes left in this directory and all beneath it.
    pub fn sweep_temps(&self) -> Result<SweptTemps> {
        self.temps(Temps::Removed)
    }

    /// Looks for the temporary files that dead processes left in this directory and all beneath it.
    pub fn temps(&self, fate: Temps) -> Result<SweptTemps> {
        let mut swept = SweptTemps::default();
        let mut dirs = vec![PathBuf::new()];
        while let Some(below) = dirs.pop() {
            let opened = if below.as_os_str().is_empty() { self.again() } else { self.open_dir(&below) };
            let entries = match opened.and_then(|dir| dir.entries()) {
                // Removed by somebody meanwhile.
                Err(error) if error.is_not_found() && !below.as_os_str().is_empty() => continue,
                entries => entries?,
            };
            for entry in entries {
                match entry.kind {
                    EntryKind::Dir => dirs.push(below.join(&entry.name)),
                    EntryKind::File if is_temp_name(&entry.name) => {
                        self.sweep_one(&below.join(&entry.name), fate, &mut swept)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(swept)
    }

    fn sweep_one(&self, name: &Path, fate: Temps, swept: &mut SweptTemps) -> Result<()> {
        let file = match self.open_file(name) {
            Err(error) if error.is_not_found() => return Ok(()),
            opened => opened?,
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP) => {
                swept.in_use += 1;
                return Ok(());
            }
            Err(errno) => return Err(super::io_error(Action::Lock, file.path())(errno)),
        }
        if fate == Temps::Counted {
            swept.removed += 1;
            return Ok(());
        }
        match self.remove_file(name) {
            Ok(()) => swept.removed += 1,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Temporary names are not for callers.
pub(super) fn refuse_temp_name(name: &Path) -> Result<()> {
    if name.components().any(|part| is_temp_name(part.as_os_str())) {
        return Err(DurableError::UnsafeName { name: name.to_owned() });
    }
    Ok(())
}
