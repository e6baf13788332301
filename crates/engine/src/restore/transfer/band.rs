//! A band: leaves collected until memory is used up, then read pack by pack.
//!
//! Promises: reads in flight are bounded; pages reach the disk on blocking threads; a page is written only after its digest fitted.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use seawall_repo::keys::DigestKey;
use seawall_repo::layout::{Named, ObjectName};
use seawall_repo::map::chain::{DigestPages, resolve_digests, resolve_locations};
use seawall_repo::map::file_block::LeafChains;
use seawall_repo::map::inverse::{BAND_BYTES, Band, FrameRead, InversePlanner, Joining, Piece, Read};
use seawall_repo::map::place::{LEAF_PAGES, PAGE_BYTES};
use seawall_repo::object::FrameAt;
use seawall_repo::pack::PackId;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

use super::leaf::{compare, digest_of};
use super::{Transfer, Transferred, local_error, tree_error};
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::repository::{Maps, ObjectReader, Repository};
use crate::target::external::ExternalFile;
use crate::target::names::Spot;
use crate::target::tree::TargetTree;

/// Digests held for the pages of a band.
const DIGEST_BYTES_MAX: usize = 64 << 20;
/// Longest read: what is opened from it is in memory at once, for each read in flight.
const READ_BYTES_MAX: u64 = 2 << 20;

/// Where a file's pages go.
#[derive(Debug, Clone)]
pub(super) enum Sink {
    /// Into the target.
    Tree {
        /// Where.
        spot: Spot,
        /// The file's bytes.
        size: u64,
        /// Whether it was made just now, all zeros.
        is_new: bool,
    },
    /// Into memory.
    External {
        /// Its absolute path on the source.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
        /// Its bytes.
        size: u64,
    },
}

impl Sink {
    fn size(&self) -> u64 {
        match self {
            Self::Tree { size, .. } | Self::External { size, .. } => *size,
        }
    }
}

/// What the tasks of a band share.
#[derive(Debug)]
struct Shared {
    tree: Arc<TargetTree>,
    key: Arc<DigestKey>,
    sinks: HashMap<u32, Sink>,
    digests: HashMap<(u32, u32), DigestPages>,
    external: Arc<Mutex<HashMap<u32, ExternalFile>>>,
}

/// Collects leaves and runs bands.
#[derive(Debug)]
pub(super) struct BandRunner<'a> {
    transfer: &'a Transfer<'a>,
    key: Arc<DigestKey>,
    planner: InversePlanner,
    next_file: u32,
    sinks: HashMap<u32, Sink>,
    digests: HashMap<(u32, u32), DigestPages>,
    digest_bytes: usize,
    external: Arc<Mutex<HashMap<u32, ExternalFile>>>,
    packs: Packs,
}

impl<'a> BandRunner<'a> {
    pub(super) fn new(transfer: &'a Transfer<'a>, key: Arc<DigestKey>) -> Self {
        Self {
            transfer,
            key,
            planner: InversePlanner::new(BAND_BYTES),
            next_file: 0,
            sinks: HashMap::new(),
            digests: HashMap::new(),
            digest_bytes: 0,
            external: Arc::default(),
            packs: Packs::default(),
        }
    }

    /// A number for the next file.
    pub(super) fn begin(&mut self, sink: Sink) -> Result<u32> {
        let file = self.next_file;
        self.next_file = file
            .checked_add(1)
            .ok_or_else(|| Error::data("restore.too-many-files", "the backup has more than 2^32 files"))?;
        if let Sink::External { path, mode, size } = &sink {
            let content = vec![0; usize::try_from(*size).unwrap_or(0)];
            let empty = ExternalFile { path: path.clone(), content, mode: *mode };
            self.external.lock().unwrap_or_else(PoisonError::into_inner).insert(file, empty);
        }
        self.sinks.insert(file, sink);
        Ok(file)
    }

    /// Adds the leaves of a file; runs a band when one is full.
    pub(super) async fn leaves(
        &mut self,
        maps: &Maps,
        file: u32,
        leaves: &[LeafChains],
        done: &mut Transferred,
        monitor: &dyn Monitor,
    ) -> Result<()> {
        let size = self.sinks.get(&file).map_or(0, Sink::size);
        for (number, chains) in (0u32..).zip(leaves) {
            let mut pages =
                resolve_locations(&maps.chain(&chains.locations).await?).map_err(|e| damaged_leaf(&e))?;
            let digests =
                resolve_digests(&maps.chain(&chains.digests).await?).map_err(|e| damaged_leaf(&e))?;
            if let Some(Sink::Tree { spot, is_new: false, .. }) = self.sinks.get(&file) {
                let (tree, spot) = (Arc::clone(&self.transfer.tree), spot.clone());
                let (key, of_leaf) = (Arc::clone(&self.key), digests.clone());
                let work = move || {
                    let target = tree.open_file(&spot).map_err(tree_error)?;
                    let compared =
                        compare(&target, number, size, &mut pages, &of_leaf, &key).map_err(local_error)?;
                    Ok::<_, Error>((pages, compared))
                };
                let (left, compared) = blocking(work).await?;
                pages = left;
                done.bytes_kept = done.bytes_kept.saturating_add(compared.kept);
                monitor.advance(compared.kept);
            }
            if pages.extents().next().is_none() {
                continue;
            }
            let is_full = self.digest_bytes >= DIGEST_BYTES_MAX;
            let band = if is_full { self.planner.take_band() } else { None };
            let band = match (band, self.planner.add_leaf(file, number, &pages)) {
                (Some(band), _) | (None, Some(band)) => Some(band),
                (None, None) => None,
            };
            if let Some(band) = band {
                self.run(&band, done, monitor).await?;
            }
            self.digest_bytes += std::mem::size_of_val(digests.as_slice());
            self.digests.insert((file, number), digests);
        }
        Ok(())
    }

    /// Runs what is left.
    pub(super) async fn finish(&mut self, done: &mut Transferred, monitor: &dyn Monitor) -> Result<()> {
        match self.planner.take_band() {
            Some(band) => self.run(&band, done, monitor).await,
            None => Ok(()),
        }
    }

    /// The files outside the data directory, in the order of paths.
    pub(super) fn into_external(self) -> Vec<ExternalFile> {
        let mut held = self.external.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files: Vec<ExternalFile> = std::mem::take(&mut *held).into_values().collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    async fn run(&mut self, band: &Band, done: &mut Transferred, monitor: &dyn Monitor) -> Result<()> {
        let last = self.next_file.saturating_sub(1);
        // The file at hand goes on in the next band.
        let current = self.sinks.get(&last).cloned();
        let shared = Arc::new(Shared {
            tree: Arc::clone(&self.transfer.tree),
            key: Arc::clone(&self.key),
            sinks: std::mem::take(&mut self.sinks),
            digests: std::mem::take(&mut self.digests),
            external: Arc::clone(&self.external),
        });
        self.digest_bytes = 0;
        self.sinks.extend(current.map(|sink| (last, sink)));
        let joining = Joining { read_bytes_max: READ_BYTES_MAX, ..Joining::default() };
        let mut tasks: JoinSet<Result<(u64, u64)>> = JoinSet::new();
        for read in band.reads(joining) {
            while tasks.len() >= self.transfer.parallel.max(1) {
                count(tasks.join_next().await, done, monitor)?;
            }
            let pack = self.packs.reader(self.transfer, read.pack);
            tasks.spawn(fetch(Arc::clone(&shared), pack, read));
        }
        while let Some(ended) = tasks.join_next().await {
            count(Some(ended), done, monitor)?;
        }
        Ok(())
    }
}

fn count(
    ended: Option<std::result::Result<Result<(u64, u64)>, tokio::task::JoinError>>,
    done: &mut Transferred,
    monitor: &dyn Monitor,
) -> Result<()> {
    let Some(ended) = ended else { return Ok(()) };
    let (read, written) = ended.map_err(|error| panicked(&error))??;
    done.bytes_read = done.bytes_read.saturating_add(read);
    done.bytes_written = done.bytes_written.saturating_add(written);
    monitor.advance(written);
    Ok(())
}

/// One read: fetched, opened, compared, written. Bytes read and written.
async fn fetch(shared: Arc<Shared>, pack: Pack, read: Read) -> Result<(u64, u64)> {
    let reader = pack.open().await?;
    let places: Vec<FrameAt> = read.frames.iter().map(|frame| frame.place.at).collect();
    let opened = reader.frames(read.offset, read.length, &places).await?.value;
    let written = blocking(move || write(&shared, &read.frames, &opened)).await?;
    Ok((read.length, written))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| panicked(&error))?
}

fn panicked(error: &tokio::task::JoinError) -> Error {
    Error::bug("restore.worker-ended", "a worker of the restore ended unexpectedly").fact("reason", error)
}

fn write(shared: &Shared, frames: &[FrameRead], opened: &[Vec<u8>]) -> Result<u64> {
    let mut written = 0u64;
    for (frame, plain) in frames.iter().zip(opened) {
        for piece in &frame.pieces {
            written += shared.write_piece(piece, frame, plain)?;
        }
    }
    Ok(written)
}

impl Shared {
    fn write_piece(&self, piece: &Piece, frame: &FrameRead, plain: &[u8]) -> Result<u64> {
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
                let file = self.tree.open_file(spot).map_err(tree_error)?;
                file.write_at(bytes, offset).map_err(local_error)?;
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

fn damaged_leaf(error: &seawall_repo::map::chain::ChainError) -> Error {
    Error::data("restore.map-damaged", "the map of a file cannot be read").fact("reason", error)
}

/// A pack whose head is read once, by whoever comes first.
#[derive(Debug, Clone)]
struct Pack {
    repository: Repository,
    name: ObjectName,
    reader: Arc<OnceCell<ObjectReader>>,
}

impl Pack {
    async fn open(&self) -> Result<&ObjectReader> {
        self.reader.get_or_try_init(|| self.repository.open_object(&self.name)).await
    }
}

/// The packs of the band at hand; reads come pack by pack, so only the last few are worth keeping.
#[derive(Debug, Default)]
struct Packs {
    kept: HashMap<PackId, Arc<OnceCell<ObjectReader>>>,
}

/// Heads kept; each is a few hundred bytes.
const PACKS_KEPT: usize = 4096;

impl Packs {
    fn reader(&mut self, transfer: &Transfer<'_>, pack: PackId) -> Pack {
        if self.kept.len() >= PACKS_KEPT && !self.kept.contains_key(&pack) {
            self.kept.clear();
        }
        let reader = Arc::clone(self.kept.entry(pack).or_default());
        let named = Named::Pack { place: transfer.place.clone(), backup: pack.backup, number: pack.number };
        let name = named.into();
        Pack { repository: transfer.repository.clone(), name, reader }
    }
}
