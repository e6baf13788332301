//! One reading of a WAL file: frame by frame, used in order by the caller while other threads compress.
//!
//! Promises: every use of a byte is of the same reading, so a file that changes meanwhile cannot make an object whose content,
//! digest and index tell different stories; memory is that of a few frames, however long the file is. Buffers go round because a
//! fresh page of memory costs about as much as compressing what is read into it.
//! Deliberately blocking: callers run it away from the runtime's threads.

use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io, thread};

use seawall_repo::compress::{CompressError, CompressedFrame, Compression, Compressor};
use seawall_repo::wal_object::WAL_FRAME_BYTES;

use crate::error::{Error, Result};

/// A frame that waits to be compressed, by its number.
type Job = (usize, Arc<Vec<u8>>);
/// Frames of one thread.
type Done = Vec<(usize, CompressedFrame<'static>)>;

/// The stretch of a file that is read.
#[derive(Debug)]
pub(super) struct Stretch<'a> {
    pub(super) file: &'a fs::File,
    /// Where it begins, in bytes.
    pub(super) from: u64,
    /// How long it is, in bytes.
    pub(super) bytes: u64,
}

/// Why a reading failed.
#[derive(Debug)]
pub(super) enum ReadFault {
    Io(io::Error),
    Bug(Error),
}

impl Stretch<'_> {
    /// Reads all of it; `each` gets the plain frames in order. The frames, compressed, in order.
    pub(super) fn read(
        &self,
        compression: Compression,
        each: &mut dyn FnMut(&[u8]),
    ) -> std::result::Result<Vec<CompressedFrame<'static>>, ReadFault> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let frames = self.bytes.div_ceil(WAL_FRAME_BYTES as u64);
        // This thread reads, and compresses what is left over.
        let helpers = (cores - 1).min(usize::try_from(frames).unwrap_or(usize::MAX));
        let (jobs, waiting) = mpsc::channel();
        let waiting = Mutex::new(waiting);
        let (used, free) = mpsc::channel();
        let mut done = thread::scope(|scope| {
            let helping: Vec<_> = (0..helpers)
                .map(|_| (used.clone(), &waiting))
                .map(|(used, waiting)| scope.spawn(move || help(compression, waiting, &used)))
                .collect();
            // Only helpers hold it from here on: when they are gone, waiting for them ends.
            drop(used);
            let buffers = Buffers { free, spare: Vec::new(), made: 0, most: 2 * helpers + 2 };
            let mut own = Own { compression, compressor: None, waiting: &waiting, done: Vec::new(), buffers };
            let read = self.read_frames(frames, &jobs, &mut own, each);
            drop(jobs);
            let mut done = read.and_then(|()| own.rest().map_err(ReadFault::Bug))?;
            for helper in helping {
                let of_helper = helper.join().map_err(|_panic| ended())?;
                done.extend(of_helper.map_err(|error| ReadFault::Bug(failed(error)))?);
            }
            Ok(done)
        })?;
        done.sort_unstable_by_key(|(number, _)| *number);
        Ok(done.into_iter().map(|(_, frame)| frame).collect())
    }

    fn read_frames(
        &self,
        frames: u64,
        jobs: &Sender<Job>,
        own: &mut Own<'_>,
        each: &mut dyn FnMut(&[u8]),
    ) -> std::result::Result<(), ReadFault> {
        for (number, frame) in (0..frames).zip(0..) {
            let at = number * WAL_FRAME_BYTES as u64;
            let length = (self.bytes - at).min(WAL_FRAME_BYTES as u64);
            let mut buffer = own.buffer().map_err(ReadFault::Bug)?;
            buffer
                .resize(usize::try_from(length).map_err(|error| ReadFault::Io(io::Error::other(error)))?, 0);
            self.file.read_exact_at(&mut buffer, self.from + at).map_err(ReadFault::Io)?;
            let buffer = Arc::new(buffer);
            jobs.send((frame, Arc::clone(&buffer))).map_err(|_gone| ended())?;
            each(&buffer);
            own.buffers.spare.extend(Arc::into_inner(buffer));
        }
        Ok(())
    }
}

/// Compresses what waits until nothing comes any more.
fn help(
    compression: Compression,
    waiting: &Mutex<Receiver<Job>>,
    used: &Sender<Vec<u8>>,
) -> std::result::Result<Done, CompressError> {
    let mut compressor = Compressor::new(compression)?;
    let mut done = Vec::new();
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((number, buffer)) = job else { return Ok(done) };
        done.push((number, compressor.compress_frame(&buffer)?.into_owned()));
        if let Some(buffer) = Arc::into_inner(buffer) {
            // The reader may have failed meanwhile, and wants no buffers then.
            let _unwanted = used.send(buffer);
        }
    }
}

/// Buffers that go round.
struct Buffers {
    free: Receiver<Vec<u8>>,
    spare: Vec<Vec<u8>>,
    made: usize,
    most: usize,
}

/// The reading thread's own part in compressing.
struct Own<'a> {
    compression: Compression,
    compressor: Option<Compressor>,
    waiting: &'a Mutex<Receiver<Job>>,
    done: Done,
    buffers: Buffers,
}

impl Own<'_> {
    /// A buffer to read into. While none is free a frame is compressed here.
    fn buffer(&mut self) -> Result<Vec<u8>> {
        loop {
            let buffers = &mut self.buffers;
            if let Some(buffer) = buffers.spare.pop().or_else(|| buffers.free.try_recv().ok()) {
                return Ok(buffer);
            }
            if buffers.made < buffers.most {
                buffers.made += 1;
                return Ok(Vec::with_capacity(WAL_FRAME_BYTES));
            }
            // A helper that waits for a job holds the lock: then there is none.
            let job = self.waiting.try_lock().ok().and_then(|waiting| waiting.try_recv().ok());
            match job {
                Some(job) => self.compress(job)?,
                None => return self.buffers.free.recv().map_err(|_gone| compressing_ended()),
            }
        }
    }

    /// Compresses what still waits; all that was compressed here.
    fn rest(mut self) -> Result<Done> {
        loop {
            let job = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match job {
                Ok(job) => self.compress(job)?,
                Err(_no_more) => return Ok(self.done),
            }
        }
    }

    fn compress(&mut self, (number, buffer): Job) -> Result<()> {
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            none => none.insert(Compressor::new(self.compression).map_err(failed)?),
        };
        let frame = compressor.compress_frame(&buffer).map_err(failed)?.into_owned();
        self.done.push((number, frame));
        self.buffers.spare.extend(Arc::into_inner(buffer));
        Ok(())
    }
}

fn failed(error: CompressError) -> Error {
    Error::bug("archive.compress", "WAL could not be compressed").because(error)
}

fn compressing_ended() -> Error {
    Error::bug("archive.compress", "a compressing thread ended")
}

fn ended() -> ReadFault {
    ReadFault::Bug(compressing_ended())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use seawall_repo::compress::Decompressor;

    use super::*;

    /// Bytes of which every frame is different, some that shrink and some that do not.
    fn content(bytes: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut byte = |at: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if at / WAL_FRAME_BYTES % 3 == 1 { (state >> 33) as u8 } else { (at / 1000) as u8 }
        };
        (0..bytes).map(&mut byte).collect()
    }

    #[test]
    fn frames_come_in_order_and_hold_what_was_read() {
        for bytes in [0, 1, WAL_FRAME_BYTES - 1, WAL_FRAME_BYTES, 21 * WAL_FRAME_BYTES + 77] {
            let plain = content(bytes);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"before").unwrap();
            file.write_all(&plain).unwrap();
            let mut taken = Vec::new();
            let stretch = Stretch { file: &file, from: 6, bytes: bytes as u64 };
            let frames =
                stretch.read(Compression::Zstd(1), &mut |piece| taken.extend_from_slice(piece)).unwrap();
            assert!(taken == plain, "{bytes}");
            let mut joined: Vec<u8> = Vec::new();
            let mut decompressor = Decompressor::new().unwrap();
            for (frame, wanted) in frames.iter().zip(plain.chunks(WAL_FRAME_BYTES)) {
                joined.extend(frame.plain(&mut decompressor).unwrap());
                assert_eq!(frame.plain_len(), wanted.len());
            }
            assert!(joined == plain, "{bytes}");
        }
    }

    #[test]
    fn a_file_that_is_shorter_than_it_was_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content(5 * WAL_FRAME_BYTES)).unwrap();
        let stretch = Stretch { file: &file, from: 0, bytes: 6 * WAL_FRAME_BYTES as u64 };
        let fault = stretch.read(Compression::Zstd(1), &mut |_| {}).unwrap_err();
        assert!(matches!(fault, ReadFault::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof));
    }
}
