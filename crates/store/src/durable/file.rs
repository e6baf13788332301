//! An open local file: reading and writing at positions, holes, length, sync.
//!
//! Promises: short reads and writes are completed or are errors; positions are absolute, so threads may share a handle.
//! Does not do: buffering; syncing unasked.

use super::{Action, DurableError, Metadata, Result, Step, Watch, io_error};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{self, FallocateFlags, Gid, Mode, Uid};
use rustix::io::Errno;
use std::num::NonZeroU64;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An ordinary file opened through a [`super::DirHandle`].
#[derive(Debug)]
pub struct FileHandle {
    fd: OwnedFd,
    path: PathBuf,
    watch: Option<Arc<dyn Watch>>,
}

impl AsFd for FileHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl FileHandle {
    pub(super) fn new(fd: OwnedFd, path: PathBuf, watch: Option<Arc<dyn Watch>>) -> Self {
        Self { fd, path, watch }
    }

    /// The path it was opened by, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn step(&self, action: Action, step: &Step) -> Result<()> {
        let Some(watch) = &self.watch else { return Ok(()) };
        watch.before(step).map_err(|source| DurableError::Io { action, path: self.path.clone(), source })
    }

    /// Facts about the file.
    pub fn metadata(&self) -> Result<Metadata> {
        let stat = fs::fstat(&self.fd).map_err(io_error(Action::Stat, &self.path))?;
        Ok(Metadata::of(&stat))
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.step(Action::Write, &Step::Write(self.path.clone(), bytes.len()))?;
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pwrite(&self.fd, rest, offset.saturating_add(done as u64)) {
                Ok(0) => return Err(io_error(Action::Write, &self.path)(Errno::NOSPC)),
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(io_error(Action::Write, &self.path)(errno)),
            }
        }
        Ok(())
    }

    /// Asks the kernel to begin writing this range to the disk, so that a later sync finds little to do. A hint: durable is only
    /// what was synced. (On Linux "not needed" starts the writing of pages that are dirty, and drops only those that are not.)
    pub fn start_writing_back(&self, range: Range<u64>) {
        let length = NonZeroU64::new(range.end.saturating_sub(range.start));
        if length.is_some() {
            let _hint = fs::fadvise(&self.fd, range.start, length, fs::Advice::DontNeed);
        }
    }

    /// Reads into `buffer` from `offset` until it is full or the file ends; returns how much there was.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pread(&self.fd, rest, offset.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(io_error(Action::Read, &self.path)(errno)),
            }
        }
        Ok(done)
    }

    /// The whole content, if it has at most `limit_bytes`; a file that grows meanwhile is refused once it passes that.
    pub fn read_whole(&self, limit_bytes: u64) -> Result<Vec<u8>> {
        let too_large =
            |size_bytes| DurableError::TooLarge { path: self.path.clone(), size_bytes, limit_bytes };
        let size_bytes = self.metadata()?.size_bytes;
        if size_bytes > limit_bytes {
            return Err(too_large(size_bytes));
        }
        // One more than it says, so that the end is seen without another round.
        let mut bytes = vec![0; usize::try_from(size_bytes).unwrap_or(usize::MAX).saturating_add(1)];
        let mut filled = 0;
        loop {
            filled += self.read_at(bytes.get_mut(filled..).unwrap_or_default(), filled as u64)?;
            if filled as u64 > limit_bytes {
                return Err(too_large(filled as u64));
            }
            if filled < bytes.len() {
                bytes.truncate(filled);
                return Ok(bytes);
            }
            bytes.resize(filled.saturating_mul(2), 0);
        }
    }

    /// Sets the length; what is added reads as zeros and takes no space.
    pub fn set_len(&self, size_bytes: u64) -> Result<()> {
        fs::ftruncate(&self.fd, size_bytes).map_err(io_error(Action::SetLen, &self.path))
    }

    /// Makes `len_bytes` from `offset` read as zeros, as a hole where the file system can, by writing where not.
    pub fn make_zero(&self, offset: u64, len_bytes: u64) -> Result<()> {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fs::fallocate(&self.fd, hole, offset, len_bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.write_zeros(offset, len_bytes),
            answer => answer.map_err(io_error(Action::Write, &self.path)),
        }
    }

    fn write_zeros(&self, offset: u64, len_bytes: u64) -> Result<()> {
        const ZEROS: [u8; 8192] = [0; 8192];
        let mut done = 0;
        while done < len_bytes {
            let count = (len_bytes - done).min(ZEROS.len() as u64);
            self.write_at(
                &ZEROS[..usize::try_from(count).unwrap_or(ZEROS.len())],
                offset.saturating_add(done),
            )?;
            done += count;
        }
        Ok(())
    }

    /// Sets the permission bits.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        fs::fchmod(&self.fd, Mode::from_raw_mode(mode)).map_err(io_error(Action::SetAttributes, &self.path))
    }

    /// Sets owner and group; needs the right to.
    pub fn set_owner(&self, uid: u32, gid: u32) -> Result<()> {
        fs::fchown(&self.fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(io_error(Action::SetAttributes, &self.path))
    }

    /// Brings content and length to disk. The file's *name* is on disk only once its directory is synced.
    pub fn sync(&self) -> Result<()> {
        self.step(Action::Sync, &Step::SyncFile(self.path.clone()))?;
        fs::fsync(&self.fd).map_err(io_error(Action::Sync, &self.path))
    }
}
