//! A band: leaves collected until memory is used up, then read pack by pack ([`super::lane`]).
//!
//! Promises: what is held is bounded by the band and by one comparison a CPU. Comparing with an older life of the target goes on
//! while the next leaves are read from the map.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use seawall_repo::keys::DigestKey;
use seawall_repo::map::chain::{DigestPages, LeafPages, resolve_digests, resolve_locations};
use seawall_repo::map::file_block::LeafChains;
use seawall_repo::map::inverse::{BAND_BYTES, Band, InversePlanner};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::lane::{Shared, panicked, run_lanes};
use super::leaf::{Compared, compare};
use super::{Transfer, Transferred, local_error, tree_error};
use crate::error::{Error, Result};
use crate::monitor::Monitor;
use crate::repository::Maps;
use crate::target::external::ExternalFile;
use crate::target::names::Spot;

/// Digests held for the pages of a band.
const DIGEST_BYTES_MAX: usize = 64 << 20;
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
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Tree { size, .. } | Self::External { size, .. } => *size,
        }
    }
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
    comparing: VecDeque<Comparing>,
    cpus: usize,
}

/// A leaf of a file: where its pages lie and what they are.
#[derive(Debug)]
struct Leaf {
    file: u32,
    number: u32,
    pages: LeafPages,
    digests: DigestPages,
}

/// A leaf that is being compared with the target.
#[derive(Debug)]
struct Comparing {
    file: u32,
    work: JoinHandle<Result<(Leaf, Compared)>>,
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
            comparing: VecDeque::new(),
            cpus: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
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
        for (number, chains) in (0u32..).zip(leaves) {
            let pages =
                resolve_locations(&maps.chain(&chains.locations).await?).map_err(|e| damaged_leaf(&e))?;
            let digests =
                resolve_digests(&maps.chain(&chains.digests).await?).map_err(|e| damaged_leaf(&e))?;
            let leaf = Leaf { file, number, pages, digests };
            match self.sinks.get(&file) {
                Some(Sink::Tree { spot, is_new: false, size }) => {
                    let comparing = self.compare(leaf, spot.clone(), *size);
                    self.comparing.push_back(comparing);
                    while self.comparing.len() > self.cpus {
                        self.take_compared(done, monitor).await?;
                    }
                }
                _ => self.add(leaf, done, monitor).await?,
            }
        }
        Ok(())
    }

    /// Begins to look which pages of a leaf the target has right, on a thread of its own.
    fn compare(&self, mut leaf: Leaf, spot: Spot, size: u64) -> Comparing {
        let (tree, key) = (Arc::clone(&self.transfer.tree), Arc::clone(&self.key));
        let file = leaf.file;
        let work = tokio::task::spawn_blocking(move || {
            let target = tree.open_file(&spot).map_err(tree_error)?;
            let compared = compare(&target, leaf.number, size, &mut leaf.pages, &leaf.digests, &key);
            compared.map(|compared| (leaf, compared)).map_err(local_error)
        });
        Comparing { file, work }
    }

    /// Waits for the oldest comparison and adds what it left to be fetched.
    async fn take_compared(&mut self, done: &mut Transferred, monitor: &dyn Monitor) -> Result<()> {
        // Its file's sink must outlive a band that runs meanwhile, so it leaves the queue only afterwards.
        let Some(oldest) = self.comparing.front_mut() else { return Ok(()) };
        let (leaf, compared) = (&mut oldest.work).await.map_err(|error| panicked(&error))??;
        done.bytes_kept = done.bytes_kept.saturating_add(compared.kept);
        monitor.advance(compared.kept);
        self.add(leaf, done, monitor).await?;
        self.comparing.pop_front();
        Ok(())
    }

    /// Adds a leaf; runs the band that it does not fit into any more.
    async fn add(&mut self, leaf: Leaf, done: &mut Transferred, monitor: &dyn Monitor) -> Result<()> {
        if leaf.pages.extents().next().is_none() {
            return Ok(());
        }
        let is_full = self.digest_bytes >= DIGEST_BYTES_MAX;
        let band = if is_full { self.planner.take_band() } else { None };
        let band = match (band, self.planner.add_leaf(leaf.file, leaf.number, &leaf.pages)) {
            (Some(band), _) | (None, Some(band)) => Some(band),
            (None, None) => None,
        };
        if let Some(band) = band {
            self.run(band, done, monitor).await?;
        }
        self.digest_bytes += std::mem::size_of_val(leaf.digests.as_slice());
        self.digests.insert((leaf.file, leaf.number), leaf.digests);
        Ok(())
    }

    /// Runs what is left.
    pub(super) async fn finish(&mut self, done: &mut Transferred, monitor: &dyn Monitor) -> Result<()> {
        while !self.comparing.is_empty() {
            self.take_compared(done, monitor).await?;
        }
        match self.planner.take_band() {
            Some(band) => self.run(band, done, monitor).await,
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

    async fn run(&mut self, band: Band, done: &mut Transferred, monitor: &dyn Monitor) -> Result<()> {
        // The file at hand and those that are being compared go on in the next band.
        let last = self.next_file.saturating_sub(1);
        let go_on = self.comparing.iter().map(|comparing| comparing.file).chain([last]);
        let kept: Vec<(u32, Sink)> =
            go_on.filter_map(|file| Some((file, self.sinks.get(&file)?.clone()))).collect();
        let shared = Arc::new(Shared {
            repository: self.transfer.repository.clone(),
            place: self.transfer.place.clone(),
            tree: Arc::clone(&self.transfer.tree),
            key: Arc::clone(&self.key),
            sinks: std::mem::take(&mut self.sinks),
            digests: std::mem::take(&mut self.digests),
            external: Arc::clone(&self.external),
            cpus: Semaphore::new(self.cpus),
        });
        self.digest_bytes = 0;
        self.sinks.extend(kept);
        run_lanes(&Arc::new(band), self.transfer.parallel, &shared, |read, written| {
            done.bytes_read = done.bytes_read.saturating_add(read);
            done.bytes_written = done.bytes_written.saturating_add(written);
            monitor.advance(written);
        })
        .await
    }
}

fn damaged_leaf(error: &seawall_repo::map::chain::ChainError) -> Error {
    Error::data("restore.map-damaged", "the map of a file cannot be read").fact("reason", error)
}
