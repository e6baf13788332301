//! From a file's bytes to sealed objects, on all cores, away from the runtime's threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use seawall_repo::compress::{CompressedFrame, Compression, Compressor};
use seawall_repo::keys::Digest;
use seawall_repo::object::SealedObject;
use seawall_repo::wal_object::{Indexed, WalBuildError, WalFacts, WalSealer, frames_of};

use super::indexing::{Indexing, Plan};
use super::source::WalSource;
use crate::error::{Error, Result};
use crate::repository::{Repository, WorldEntropy};

/// Seals the objects of one WAL file.
#[derive(Debug, Clone)]
pub(super) struct Sealing {
    pub(super) repository: Repository,
    pub(super) facts: WalFacts,
}

impl Sealing {
    /// A whole file, its records indexed beside the compressing. Why it has no index, where it should have one.
    pub(super) fn seal_whole(
        &self,
        plain: &[u8],
        plan: &Plan,
        source: &WalSource,
    ) -> Result<(SealedObject, Option<String>)> {
        let index = || {
            let mut indexing = plan.begin(source);
            indexing.take(plain);
            indexing.finish()
        };
        let (frames, told) = self.compress_beside(plain, index)?;
        let mut entropy = WorldEntropy::new(self.repository.world());
        let sealed = self.sealer(&told.index)?.seal_compressed(plain, &frames, &mut entropy);
        Ok((sealed.map_err(|error| self.unsealed(error))?, told.alarm))
    }

    /// A part of a file.
    pub(super) fn seal_part(&self, plain: &[u8], part: u32, indexing: &mut Indexing) -> Result<SealedObject> {
        let (frames, ()) = self.compress_beside(plain, || indexing.take(plain))?;
        let mut entropy = WorldEntropy::new(self.repository.world());
        let not = Indexed::Not("it stands with the whole".to_owned());
        let sealed = self.sealer(&not)?.seal_part(part, plain, &frames, &mut entropy);
        sealed.map_err(|error| self.unsealed(error))
    }

    /// The object that tells of the parts.
    pub(super) fn seal_parted(
        &self,
        parts: &[Digest],
        whole: Digest,
        size: u64,
        index: &Indexed,
    ) -> Result<SealedObject> {
        let mut entropy = WorldEntropy::new(self.repository.world());
        let sealed = self.sealer(index)?.seal_parted(parts, whole, size, &mut entropy);
        sealed.map_err(|error| self.unsealed(error))
    }

    /// Compresses, and does something else meanwhile.
    fn compress_beside<'p, T: Send>(
        &self,
        plain: &'p [u8],
        beside: impl FnOnce() -> T + Send,
    ) -> Result<(Vec<CompressedFrame<'p>>, T)> {
        let compression = compression(self.repository.compression_level());
        std::thread::scope(|scope| {
            let beside = scope.spawn(beside);
            let frames = compress_on_all_cores(plain, compression)?;
            let done = beside.join();
            Ok((frames, done.map_err(|_panic| Error::bug("archive.index", "the indexing thread ended"))?))
        })
    }

    fn sealer<'a>(&'a self, index: &'a Indexed) -> Result<WalSealer<'a>> {
        Ok(WalSealer {
            facts: &self.facts,
            index,
            sealer: self.repository.sealer()?,
            key: self.repository.writer()?,
        })
    }

    fn unsealed(&self, error: WalBuildError) -> Error {
        Error::bug("archive.seal", format!("{} could not be sealed", self.facts.file)).because(error)
    }
}

fn compression(level: i32) -> Compression {
    if level == 0 { Compression::None } else { Compression::Zstd(level) }
}

/// The frames of `plain` in order; threads take the next one as they finish one.
fn compress_on_all_cores(plain: &[u8], compression: Compression) -> Result<Vec<CompressedFrame<'_>>> {
    let frames: Vec<&[u8]> = frames_of(plain).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || -> std::result::Result<_, seawall_repo::compress::CompressError> {
        let mut compressor = Compressor::new(compression)?;
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(frame) = frames.get(index) else { return Ok(done) };
            done.push((index, compressor.compress_frame(frame)?));
        }
    };
    let finished: Vec<_> = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..cores.min(frames.len())).map(|_| scope.spawn(work)).collect();
        let own = work();
        std::iter::once(Ok(own)).chain(helpers.into_iter().map(|helper| helper.join())).collect()
    });
    let mut compressed = Vec::with_capacity(frames.len());
    for outcome in finished {
        let done = outcome.map_err(|_panic| Error::bug("archive.compress", "a compressing thread ended"))?;
        compressed.extend(
            done.map_err(|error| {
                Error::bug("archive.compress", "WAL could not be compressed").because(error)
            })?,
        );
    }
    compressed.sort_by_key(|(index, _)| *index);
    Ok(compressed.into_iter().map(|(_, frame)| frame).collect())
}
