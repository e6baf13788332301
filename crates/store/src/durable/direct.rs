//! Large new files, written past the page cache.
//!
//! Why: a repository on a database server's disk must not push the server's pages out of memory, and a pack that lies in memory
//! until it is synced goes to the disk in one burst, behind which every commit of the server waits. Written directly, at most
//! [`STEP_BYTES`] are on the way at a time.
//! Promises: the same bytes as a buffered write, or an error. Where the file system has no direct writing, or refuses it in the
//! middle, the rest is buffered. Nothing here is durable: whoever calls syncs.

use super::{FileHandle, Result};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// From this length on a file is written directly.
pub(super) const FROM_BYTES: usize = 4 << 20;
/// How much goes to the disk in one step.
const STEP_BYTES: usize = 1 << 20;
/// What positions, lengths and memory have to be multiples of, for the strictest of disks in use.
const ALIGN_BYTES: usize = 4096;

/// Writes what it can of `pieces`, one after the other from the beginning of an empty file; returns how many bytes that were.
/// The rest is the caller's to write.
pub(super) fn write(file: &FileHandle, pieces: &[&[u8]]) -> Result<u64> {
    let total: usize = pieces.iter().map(|piece| piece.len()).sum();
    if total < FROM_BYTES || !set_direct(file, true) {
        return Ok(0);
    }
    let written = write_steps(file, pieces, total);
    // The tail is no multiple of anything. If the flag stays, writing it fails, which is an error and no damage.
    set_direct(file, false);
    written
}

fn write_steps(file: &FileHandle, pieces: &[&[u8]], total: usize) -> Result<u64> {
    let mut room = vec![0; STEP_BYTES + ALIGN_BYTES];
    let skip = room.as_ptr().align_offset(ALIGN_BYTES).min(ALIGN_BYTES);
    let Some(step) = room.get_mut(skip..skip + STEP_BYTES) else { return Ok(0) };
    let mut bytes = Pieces { pieces, at: 0 };
    let mut done = 0;
    while total - done >= ALIGN_BYTES {
        let length = (total - done).min(STEP_BYTES) / ALIGN_BYTES * ALIGN_BYTES;
        let Some(step) = step.get_mut(..length) else { break };
        bytes.fill(step);
        match file.write_at(step, done as u64) {
            Ok(()) => done += length,
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done as u64)
}

/// Bytes that lie in several places.
struct Pieces<'a> {
    pieces: &'a [&'a [u8]],
    /// Where in the first of them.
    at: usize,
}

impl Pieces<'_> {
    /// Copies the next bytes, as many as `to` is long; there are that many.
    fn fill(&mut self, mut to: &mut [u8]) {
        while let Some((first, others)) = self.pieces.split_first() {
            let rest = first.get(self.at..).unwrap_or_default();
            let length = rest.len().min(to.len());
            let (now, later) = to.split_at_mut(length);
            now.copy_from_slice(rest.get(..length).unwrap_or_default());
            to = later;
            if length < rest.len() {
                self.at += length;
                return;
            }
            (self.pieces, self.at) = (others, 0);
        }
    }
}

/// Sets or clears direct writing; whether that worked.
fn set_direct(file: &FileHandle, on: bool) -> bool {
    let Ok(flags) = fcntl_getfl(file) else { return false };
    let wanted = if on { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT };
    fcntl_setfl(file, wanted).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::DirHandle;

    /// Bytes that are nowhere the same as a page before.
    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at / 4096 * 31 + at) as u8).collect()
    }

    #[test]
    fn what_lies_in_several_places_comes_out_in_one_row() {
        let whole = content(FROM_BYTES + 12_345);
        let (first, rest) = whole.split_at(77);
        let (second, third) = rest.split_at(STEP_BYTES * 2 + 4000);
        let folder = tempfile::tempdir().unwrap();
        let dir = DirHandle::open(folder.path()).unwrap();
        dir.create_new("pack", &[first, &[], second, third], 0o600, &*crate::World::seeded(1).random)
            .unwrap();
        assert!(std::fs::read(folder.path().join("pack")).unwrap() == whole);
    }

    #[test]
    fn the_tail_is_left_to_the_caller_and_small_files_are_too() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DirHandle::open(folder.path()).unwrap();
        let small = dir.create_file("small", 0o600).unwrap();
        assert_eq!(write(&small, &[&content(FROM_BYTES - 1)]).unwrap(), 0);
        let large = dir.create_file("large", 0o600).unwrap();
        let bytes = content(FROM_BYTES + 5000);
        let direct = usize::try_from(write(&large, &[&bytes]).unwrap()).unwrap();
        // All whole units, or nothing on a file system that has no direct writing.
        assert!(direct == FROM_BYTES + ALIGN_BYTES || direct == 0, "{direct}");
        assert!(std::fs::read(folder.path().join("large")).unwrap() == bytes[..direct]);
    }
}
