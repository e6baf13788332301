//! A leaf on its way through a worker: what the parent has of it, what was read, and what is to be written of it in the end. Pure.
//!
//! Promises that pages which were not read stay where the parent has them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use seawall_repo::keys::PageDigest;
use seawall_repo::map::chain::{DigestPages, LeafPages};
use seawall_repo::map::diff::{Update, digest_update, location_update};
use seawall_repo::map::file_block::LeafChains;
use seawall_repo::map::leaf::Source;
use seawall_repo::map::place::{LEAF_PAGES, PAGE_BYTES};
use seawall_repo::pack::{PackId, StoredRun};

use super::jobs::FileWork;
use super::worker::{Broken, LeafDone};
use crate::error::{Error, Result};
use crate::monitor::Monitor;

/// A leaf that was read, whose stored pages do not all have their places yet.
pub(super) struct Pending {
    pub(super) file: Arc<FileWork>,
    pub(super) leaf: u32,
    pub(super) bytes: u64,
    pub(super) older: Option<Older>,
    pub(super) locations: LeafPages,
    pub(super) digests: Vec<PageDigest>,
    pub(super) changed: u64,
    pub(super) rewritten: u64,
    pub(super) broken: Vec<Broken>,
}

/// What the parent has of a leaf.
pub(super) struct Older {
    pub(super) chains: LeafChains,
    pub(super) locations: LeafPages,
    /// None where no page is read and none is new: all stay as they are.
    pub(super) digests: Option<DigestPages>,
}

impl Older {
    pub(super) fn has(&self, page: usize, digest: &PageDigest) -> bool {
        self.digests.as_ref().is_some_and(|digests| digests.digest(page) == *digest)
    }
}

impl Pending {
    pub(super) fn new(file: &Arc<FileWork>, leaf: u32, older: Option<Older>) -> Self {
        Self {
            file: Arc::clone(file),
            leaf,
            bytes: 0,
            locations: older.as_ref().map_or_else(LeafPages::default, |older| older.locations.clone()),
            older,
            digests: Vec::new(),
            changed: 0,
            rewritten: 0,
            broken: Vec::new(),
        }
    }

    /// Takes pages of the file over from the parent, unread: they come next behind those there are. `first` is the leaf's first page.
    pub(super) fn keep(&mut self, pages: Range<u64>, first: u64, monitor: &dyn Monitor) {
        let bytes = pages.end.saturating_sub(pages.start) * PAGE_BYTES as u64;
        self.bytes += bytes;
        if let Some(digests) = self.older.as_ref().and_then(|older| older.digests.as_ref()) {
            self.digests.extend(pages.map(|page| digests.digest((page - first) as usize)));
        }
        monitor.advance(bytes);
    }
}

/// The pages of a leaf in a file of this many bytes, counted in the file.
pub(super) fn pages_of(leaf: u32, size: u64) -> Range<u64> {
    let first = u64::from(leaf) * LEAF_PAGES as u64;
    first..(first + LEAF_PAGES as u64).min(size.div_ceil(PAGE_BYTES as u64)).max(first)
}

/// Enters where pages were stored.
pub(super) fn settle(pending: &mut [Pending], stored: &[StoredRun]) -> Result<()> {
    let mut by_leaf: HashMap<(u32, u32), &mut Pending> =
        pending.iter_mut().map(|leaf| ((leaf.file.number, leaf.leaf), leaf)).collect();
    for run in stored {
        let leaf = u32::try_from(run.first_page / LEAF_PAGES as u64).unwrap_or(u32::MAX);
        let first = (run.first_page % LEAF_PAGES as u64) as usize;
        let Some(pending) = by_leaf.get_mut(&(run.file, leaf)) else {
            return Err(Error::bug("backup.stored-run-lost", "a stored run belongs to no leaf of this job"));
        };
        pending.locations.set(first, run.pages as usize, &run.place, run.offset);
    }
    Ok(())
}

pub(super) fn finish_leaf(pending: Pending) -> LeafDone {
    let older = pending.older;
    let locations = location_update(
        older.as_ref().map(|older| (&older.chains.locations, &older.locations)),
        &pending.locations,
    );
    let digests = match &older {
        Some(Older { digests: None, .. }) => Update::Keep,
        _ => digest_update(
            older.as_ref().and_then(|older| Some((&older.chains.digests, older.digests.as_ref()?))),
            &DigestPages::new(pending.digests),
        ),
    };
    LeafDone {
        leaf: pending.leaf,
        bytes: pending.bytes,
        parent: older.map(|older| older.chains),
        locations,
        digests,
        uses: uses(&pending.locations),
        changed: pending.changed,
        rewritten: pending.rewritten,
        broken: pending.broken,
    }
}

fn uses(pages: &LeafPages) -> Vec<(PackId, u64)> {
    let mut uses: BTreeMap<PackId, u64> = BTreeMap::new();
    for extent in pages.extents() {
        if let Source::Frame { frame, .. } = extent.source
            && let Some(place) = pages.frames().get(frame as usize)
        {
            *uses.entry(place.pack).or_default() += u64::from(extent.pages);
        }
    }
    uses.into_iter().collect()
}
