//! Leaving the page cache as it was found.
//!
//! A backup reads everything once; without care it would push out what the server wants from the kernel's cache, and
//! dropping all that was read would push it out too. So before each window of a file is read, it is sampled which runs
//! of it are in the cache (a read that must not wait for the disk, `RWF_NOWAIT`), and only runs that were not are
//! dropped afterwards. The kernel's own read-ahead is switched off, because it would make the next window look cached;
//! the window is asked for instead. A sample that misses makes newer kernels fetch the page it looked at, and no more
//! than that without read-ahead; it is read and dropped with the rest of its run.
//!
//! Promise: advice only; nothing here can fail a read. Where the file system knows no such read, nothing is dropped.

use rustix::fd::OwnedFd;
use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, IoSliceMut, ReadWriteFlags, preadv2};

use std::num::NonZeroU64;

/// What is asked for ahead, and sampled in pieces of [`SAMPLE_BYTES`].
const WINDOW_BYTES: u64 = 4 << 20;
const SAMPLE_BYTES: u64 = 256 << 10;

/// The cache's state around the place being read.
#[derive(Debug)]
pub(super) struct CacheCare {
    /// Whether the file system answers the question at all.
    is_supported: bool,
    window: Option<Window>,
}

#[derive(Debug)]
struct Window {
    start: u64,
    /// One bit for each piece: set where it was in the cache.
    cached: u64,
}

impl Window {
    /// Whether what was read from `offset` on is to be dropped: it was sampled and not in the cache.
    fn drops(&self, offset: u64) -> bool {
        let Some(piece) = offset.checked_sub(self.start).map(|distance| distance / SAMPLE_BYTES) else {
            return false;
        };
        piece < WINDOW_BYTES / SAMPLE_BYTES && self.cached >> piece & 1 == 0
    }
}

impl CacheCare {
    pub(super) fn new(file: &OwnedFd) -> Self {
        // Advice that is not taken changes nothing that is promised.
        let _advice = fadvise(file, 0, None, Advice::Random);
        Self { is_supported: true, window: None }
    }

    /// To be called before bytes from `offset` on are read: samples and asks for the window they begin in.
    pub(super) fn before(&mut self, file: &OwnedFd, offset: u64) {
        let start = offset - offset % WINDOW_BYTES;
        if self.window.as_ref().is_some_and(|window| window.start == start) {
            return;
        }
        let mut cached = 0;
        for piece in 0..WINDOW_BYTES / SAMPLE_BYTES {
            let at = start + piece * SAMPLE_BYTES;
            if self.is_supported && self.is_cached(file, at) {
                cached |= 1 << piece;
            }
        }
        self.window = Some(Window { start, cached });
        let _advice = fadvise(file, start, NonZeroU64::new(WINDOW_BYTES), Advice::WillNeed);
    }

    /// To be called after bytes were read: drops those that were not in the cache before.
    pub(super) fn after(&self, file: &OwnedFd, offset: u64, bytes: u64) {
        let Some(window) = self.window.as_ref().filter(|_| self.is_supported) else { return };
        if let (true, Some(length)) = (window.drops(offset), NonZeroU64::new(bytes)) {
            let _advice = fadvise(file, offset, Some(length), Advice::DontNeed);
        }
    }

    fn is_cached(&mut self, file: &OwnedFd, at: u64) -> bool {
        let mut byte = [0];
        match preadv2(file, &mut [IoSliceMut::new(&mut byte)], at, ReadWriteFlags::NOWAIT) {
            Ok(_) => true,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::SPIPE) => {
                self.is_supported = false;
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What the kernel makes of advice is not tested: under load it declines now and then, as it may.
    #[test]
    fn only_what_was_not_in_the_cache_is_dropped() {
        let window = Window { start: 2 * WINDOW_BYTES, cached: 0b100 };
        let drops: Vec<bool> =
            (0..4).map(|piece| window.drops(window.start + piece * SAMPLE_BYTES)).collect();
        assert_eq!(drops, [true, true, false, true]);
        assert!(
            window.drops(window.start + 2 * SAMPLE_BYTES - 1)
                && !window.drops(window.start + 3 * SAMPLE_BYTES - 1)
        );
        let outside = [0, window.start - 1, window.start + WINDOW_BYTES, u64::MAX];
        assert!(outside.into_iter().all(|offset| !window.drops(offset)), "nothing is known there");
    }

    #[test]
    fn a_window_is_sampled_once_and_files_without_answers_drop_nothing() {
        let file = OwnedFd::from(tempfile::tempfile().unwrap());
        let mut care = CacheCare::new(&file);
        care.before(&file, WINDOW_BYTES + 5);
        assert_eq!(care.window.as_ref().unwrap().start, WINDOW_BYTES);
        care.window.as_mut().unwrap().cached = 7;
        care.before(&file, 2 * WINDOW_BYTES - 1);
        assert_eq!(care.window.as_ref().unwrap().cached, 7);

        let (reader, _writer) = std::io::pipe().unwrap();
        let pipe = OwnedFd::from(reader);
        let mut care = CacheCare::new(&pipe);
        care.before(&pipe, 0);
        assert!(!care.is_supported);
    }
}
