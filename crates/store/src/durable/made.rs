//! Making directories so that their names are on disk, without syncing the same ones again and again.
//!
//! Promises: when [`DirHandle::ensure_dirs`] returns, every directory down to the one returned is on disk, also when
//! another process made it a moment ago and died before it synced. Does not do: syncing the new directory's content.

use super::{Action, DirHandle, DurableError, Result, Step, check_relative, io_error};
use rustix::fs::{self, AtFlags, Mode, StatxFlags};
use std::collections::{HashMap, HashSet};
use std::path::{Component, Path};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More directories than a process puts into at one time; past that the memory starts afresh.
const REMEMBERED_MAX: usize = 4096;

/// Directories whose own name this process has brought to disk.
///
/// Known by device, inode and time of birth: a directory removed and made again by somebody else, perhaps with the
/// same inode, is another one and is synced again. File systems stamp births by a coarse clock (4 ms and more), so a
/// directory is remembered only once a stamp on the same device has shown that its second is over: whatever is born
/// from then on has another birth. Where the file system has no time of birth nothing is remembered.
#[derive(Debug, Default)]
pub struct MadeDirs {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashSet<Birth>,
    /// The latest second stamped on any directory seen, for each device.
    latest: HashMap<Device, i64>,
}

type Device = (u32, u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Birth {
    device: Device,
    inode: u64,
    second: i64,
    nanosecond: u32,
}

impl MadeDirs {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn knows(&self, birth: Birth, changed_second: i64) -> bool {
        let mut state = self.lock();
        let latest = state.latest.entry(birth.device).or_insert(changed_second);
        *latest = changed_second.max(*latest);
        state.known.contains(&birth)
    }

    fn remember(&self, birth: Birth) {
        let mut state = self.lock();
        let is_over =
            state.latest.get(&birth.device).is_some_and(|latest| *latest > birth.second.saturating_add(1));
        if !is_over {
            return;
        }
        if state.known.len() >= REMEMBERED_MAX {
            state.known.clear();
        }
        state.known.insert(birth);
    }
}

impl DirHandle {
    /// Opens the directory `name` beneath this one, making what is missing on the way with permission bits `mode`.
    /// Each directory's name is on disk before `Ok`.
    pub fn ensure_dirs(&self, name: impl AsRef<Path>, mode: u32, made: &MadeDirs) -> Result<Self> {
        check_relative(name.as_ref())?;
        let mut here = self.again()?;
        for part in name.as_ref().components() {
            let Component::Normal(part) = part else {
                return Err(DurableError::UnsafeName { name: name.as_ref().to_owned() });
            };
            here = here.ensure_one(Path::new(part), mode, made)?;
        }
        Ok(here)
    }

    fn ensure_one(&self, name: &Path, mode: u32, made: &MadeDirs) -> Result<Self> {
        let below = match self.open_dir(name) {
            Err(error) if error.is_not_found() => {
                match self.make_dir(name, mode) {
                    Ok(()) | Err(DurableError::AlreadyExists { .. }) => {}
                    Err(error) => return Err(error),
                }
                self.open_dir(name)?
            }
            opened => opened?,
        };
        let birth = below.birth()?;
        if birth.is_none_or(|(birth, changed_second)| !made.knows(birth, changed_second)) {
            self.sync()?;
            if let Some((birth, _)) = birth {
                made.remember(birth);
            }
        }
        Ok(below)
    }

    /// The directory's birth, and the second of its last change.
    fn birth(&self) -> Result<Option<(Birth, i64)>> {
        let wanted = StatxFlags::INO | StatxFlags::BTIME | StatxFlags::MTIME;
        let facts = match fs::statx(&self.fd, "", AtFlags::EMPTY_PATH, wanted) {
            Ok(facts) => facts,
            Err(rustix::io::Errno::NOSYS) => return Ok(None),
            Err(errno) => return Err(io_error(Action::Stat, self.path())(errno)),
        };
        let birth = Birth {
            device: (facts.stx_dev_major, facts.stx_dev_minor),
            inode: facts.stx_ino,
            second: facts.stx_btime.tv_sec,
            nanosecond: facts.stx_btime.tv_nsec,
        };
        let has_all = StatxFlags::from_bits_retain(facts.stx_mask).contains(wanted);
        Ok(has_all.then_some((birth, facts.stx_mtime.tv_sec)))
    }

    /// Brings the names in this directory to disk.
    pub fn sync(&self) -> Result<()> {
        self.step(Action::Sync, &Step::SyncDir(self.path().to_owned()))?;
        fs::fsync(&self.fd).map_err(io_error(Action::Sync, self.path()))
    }

    /// Sets the directory's own permission bits.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        fs::fchmod(&self.fd, Mode::from_raw_mode(mode)).map_err(io_error(Action::SetAttributes, self.path()))
    }

    /// Sets the directory's own owner and group; needs the right to.
    pub fn set_owner(&self, uid: u32, gid: u32) -> Result<()> {
        let (uid, gid) = (fs::Uid::from_raw(uid), fs::Gid::from_raw(gid));
        fs::fchown(&self.fd, Some(uid), Some(gid)).map_err(io_error(Action::SetAttributes, self.path()))
    }

    /// Bytes that this process may still write to the file system of this directory.
    pub fn free_bytes(&self) -> Result<u64> {
        let facts = fs::fstatvfs(&self.fd).map_err(io_error(Action::Stat, self.path()))?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }
}
