//! Lanes: stretches of a band that are read side by side, each through its packs in order.
//!
//! Promises: reads in flight are one a lane; opening, comparing and writing happen on at most one thread a CPU, frame by frame in
//! buffers used again, so memory does not grow with how well content compresses; a page is written only after its digest fitted.
//! Lanes lie far apart, so that two threads seldom write to the same file and wait for its lock.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use seawall_repo::keys::DigestKey;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::map::chain::DigestPages;
use seawall_repo::map::inverse::{Band, FrameRead, Joining, Piece, Read};
use seawall_repo::map::place::{LEAF_PAGES, PAGE_BYTES};
use seawall_repo::object::FrameAt;
use seawall_repo::pack::PackId;
use seawall_store::durable::FileHandle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::band::Sink;
use super::leaf::digest_of;
use super::{local_error, tree_error};
use crate::error::{Error, Result};
use crate::repository::{ObjectReader, Repository};
use crate::target::external::ExternalFile;
use crate::target::tree::TargetTree;

/// Longest read.
const READ_BYTES_MAX: u64 = 2 << 20;

/// What the lanes of a band share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) repository: Repository,
    pub(super) place: Place,
    pub(super) tree: Arc<TargetTree>,
    pub(super) key: Arc<DigestKey>,
    pub(super) sinks: HashMap<u32, Sink>,
    pub(super) digests: HashMap<(u32, u32), DigestPages>,
    pub(super) external: Arc<Mutex<HashMap<u32, ExternalFile>>>,
    /// How many threads may work at once.
    pub(super) cpus: Semaphore,
}

/// Runs a band in `parallel` lanes; `count` hears of each read's bytes read and written.
pub(super) async fn run_lanes(
    band: &Arc<Band>,
    parallel: usize,
    shared: &Arc<Shared>,
    mut count: impl FnMut(u64, u64),
) -> Result<()> {
    let (told, mut hears) = mpsc::unbounded_channel();
    let mut lanes: JoinSet<Result<()>> = JoinSet::new();
    for lane in band.lanes(parallel.max(1)) {
        lanes.spawn(run_lane(Arc::clone(band), lane, Arc::clone(shared), told.clone()));
    }
    drop(told);
    while let Some((read, written)) = hears.recv().await {
        count(read, written);
        // A lane that failed ends the restore at once; the others are aborted when the set is dropped.
        while let Some(ended) = lanes.try_join_next() {
            ended.map_err(|error| panicked(&error))??;
        }
    }
    while let Some(ended) = lanes.join_next().await {
        ended.map_err(|error| panicked(&error))??;
    }
    Ok(())
}

async fn run_lane(
    band: Arc<Band>,
    lane: Range<usize>,
    shared: Arc<Shared>,
    told: mpsc::UnboundedSender<(u64, u64)>,
) -> Result<()> {
    let joining = Joining { read_bytes_max: READ_BYTES_MAX, ..Joining::default() };
    let mut pack = None;
    for read in band.reads_of(lane, joining) {
        let reader = match pack.take() {
            Some((id, reader)) if id == read.pack => reader,
            _ => Arc::new(shared.open(read.pack).await?),
        };
        let id = read.pack;
        let counted = fetch(&shared, &reader, read).await?;
        pack = Some((id, reader));
        // Nobody listens any more where another lane failed; this one is about to be aborted.
        let _gone = told.send(counted);
    }
    Ok(())
}

/// One read: fetched, opened, compared, written. Bytes read and written.
async fn fetch(shared: &Arc<Shared>, reader: &Arc<ObjectReader>, read: Read) -> Result<(u64, u64)> {
    let (offset, length) = (read.offset, read.length);
    let stored = reader.stored(offset, length).await?;
    let read = Arc::new(read);
    let (work, of_reader, of_read) = (Arc::clone(shared), Arc::clone(reader), Arc::clone(&read));
    let written = shared.on_cpu(move || work.write_stored(&of_reader, &of_read, &stored)).await?;
    if let Some(written) = written {
        return Ok((length, written));
    }
    // This copy is damaged: read with care, which says so and asks the other regions.
    let opened = reader.frames(offset, length, &places(&read)).await?.value;
    let work = Arc::clone(shared);
    let written = shared.on_cpu(move || work.write_opened(&read, &opened)).await?;
    Ok((length, written))
}

fn places(read: &Read) -> Vec<FrameAt> {
    read.frames.iter().map(|frame| frame.place.at).collect()
}

pub(super) fn panicked(error: &tokio::task::JoinError) -> Error {
    Error::bug("restore.worker-ended", "a worker of the restore ended unexpectedly").fact("reason", error)
}

/// The file that was written last: most pieces of a read go to one. What was written begins its way to the disk when the next
/// file's turn comes, so that the sync at the end does not have to do it all.
#[derive(Default)]
struct LastFile(Option<(u32, FileHandle, Range<u64>)>);

impl LastFile {
    fn write(
        &mut self,
        file: u32,
        bytes: &[u8],
        offset: u64,
        open: impl FnOnce() -> Result<FileHandle>,
    ) -> Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        let (handle, written) = match self.0.take() {
            Some((last, handle, written)) if last == file => {
                (handle, written.start.min(offset)..written.end.max(end))
            }
            other => {
                drop(Self(other));
                (open()?, offset..end)
            }
        };
        handle.write_at(bytes, offset).map_err(local_error)?;
        self.0 = Some((file, handle, written));
        Ok(())
    }
}

impl Drop for LastFile {
    fn drop(&mut self) {
        if let Some((_, handle, written)) = self.0.take() {
            handle.start_writing_back(written);
        }
    }
}

impl Shared {
    /// Runs `work` on a blocking thread, no more of them than there are CPUs.
    async fn on_cpu<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _permit = self.cpus.acquire().await.map_err(|error| {
            Error::bug("restore.permits", "the restore ended under its workers").because(error)
        })?;
        tokio::task::spawn_blocking(work).await.map_err(|error| panicked(&error))?
    }

    async fn open(&self, pack: PackId) -> Result<ObjectReader> {
        let named = Named::Pack { place: self.place.clone(), backup: pack.backup, number: pack.number };
        self.repository.open_object(&ObjectName::from(named)).await
    }

    /// Bytes written; `None` where a frame does not open.
    fn write_stored(&self, reader: &ObjectReader, read: &Read, stored: &Bytes) -> Result<Option<u64>> {
        let (mut written, mut open) = (0, LastFile::default());
        let opened = reader.open_each(read.offset, stored, &places(read), |index, plain| {
            let Some(frame) = read.frames.get(index) else { return Ok(()) };
            written += self.write_frame(frame, plain, &mut open)?;
            Ok(())
        })?;
        Ok(opened.then_some(written))
    }

    fn write_opened(&self, read: &Read, opened: &[Vec<u8>]) -> Result<u64> {
        let (mut written, mut open) = (0, LastFile::default());
        for (frame, plain) in read.frames.iter().zip(opened) {
            written += self.write_frame(frame, plain, &mut open)?;
        }
        Ok(written)
    }

    fn write_frame(&self, frame: &FrameRead, plain: &[u8], open: &mut LastFile) -> Result<u64> {
        let mut written = 0;
        for piece in &frame.pieces {
            written += self.write_piece(piece, frame, plain, open)?;
        }
        Ok(written)
    }

    fn write_piece(
        &self,
        piece: &Piece,
        frame: &FrameRead,
        plain: &[u8],
        open: &mut LastFile,
    ) -> Result<u64> {
        let Some(sink) = self.sinks.get(&piece.file) else {
            return Err(Error::bug("restore.lost-file", "a page was read for a file that is not known"));
        };
        let offset = piece.page * PAGE_BYTES as u64;
        let length = (u64::from(piece.pages) * PAGE_BYTES as u64).min(sink.size().saturating_sub(offset));
        let from = piece.offset as usize;
        let bytes = plain.get(from..from.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)));
        let bytes = bytes.ok_or_else(|| wrong_page(sink, piece.page, frame, "its frame is too short"))?;
        self.check(piece, sink, frame, bytes)?;
        match sink {
            Sink::Tree { spot, .. } => {
                open.write(piece.file, bytes, offset, || self.tree.open_file(spot).map_err(tree_error))?;
            }
            Sink::External { .. } => {
                let mut external = self.external.lock().unwrap_or_else(PoisonError::into_inner);
                let at = usize::try_from(offset).unwrap_or(usize::MAX);
                let content = external.get_mut(&piece.file).map(|file| &mut file.content);
                let room = content.and_then(|content| content.get_mut(at..)).unwrap_or_default();
                room.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            }
        }
        Ok(length)
    }

    fn check(&self, piece: &Piece, sink: &Sink, frame: &FrameRead, bytes: &[u8]) -> Result<()> {
        for (page, bytes) in (piece.page..).zip(bytes.chunks(PAGE_BYTES)) {
            let leaf = u32::try_from(page / LEAF_PAGES as u64).unwrap_or(u32::MAX);
            let in_leaf = usize::try_from(page % LEAF_PAGES as u64).unwrap_or(usize::MAX);
            let wanted = self.digests.get(&(piece.file, leaf)).map(|digests| digests.digest(in_leaf));
            if wanted != Some(digest_of(bytes, &self.key)) {
                return Err(wrong_page(sink, page, frame, "its digest is not the one that the backup lists"));
            }
        }
        Ok(())
    }
}

fn wrong_page(sink: &Sink, page: u64, frame: &FrameRead, why: &str) -> Error {
    let file = match sink {
        Sink::Tree { spot, .. } => format!("{spot:?}"),
        Sink::External { path, .. } => path.display().to_string(),
    };
    Error::data("restore.page-wrong", format!("page {page} of {file} cannot be restored: {why}"))
        .fact("pack", frame.place.pack)
        .fact("frame", frame.place.at.number)
        .hint("Restore another backup (`seawall list`); this one contradicts itself.")
}
