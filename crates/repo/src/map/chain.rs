//! Chains resolved: leaf and patches laid over each other, page by page.
//!
//! Promises that a page lies where the last member that mentions it says, whatever the order and overlap of patches,
//! and that the written form of a resolved leaf resolves to itself. Deliberately holds one leaf, not a file: a leaf is
//! 32 KiB here at most, and a file of any size is walked leaf by leaf. Time and memory follow the pages that the leaf has: most
//! files of a cluster have one or two.

use std::collections::HashMap;

use crate::bytes::DecodeError;
use crate::keys::PageDigest;
use crate::map::digest_leaf::DigestNode;
use crate::map::leaf::{Extent, LocationNode, Source};
use crate::map::place::{FramePlace, LEAF_PAGES, PAGE_BYTES};

/// The most patches over a leaf.
pub const PATCHES_MAX: usize = 4;

/// The digest that stands for a page of zeros.
pub const ZERO_PAGE: PageDigest = [0; 16];

/// Why a chain could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A member cannot be decoded.
    #[error("member {member} of the chain is damaged")]
    Member {
        /// Which, from 0.
        member: usize,
        /// How.
        source: DecodeError,
    },
    /// A patch at the beginning, or a leaf behind it.
    #[error("member {member} of the chain is a {found}, where a chain is a leaf and then patches")]
    Order {
        /// Which, from 0.
        member: usize,
        /// What stands there.
        found: &'static str,
    },
    /// No member, or more than a leaf and four patches.
    #[error("a chain of {members} members, where 1 to 5 are allowed")]
    Length {
        /// How many.
        members: usize,
    },
}

/// Where one page lies: the index of its frame plus one, or 0 for zeros, and its offset in the plain frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Slot {
    frame: u32,
    offset: u32,
}

/// Where each of a leaf's 4,096 pages lies. Pages that nothing says anything about, and those past the end of the file,
/// are zeros.
#[derive(Debug, Clone, Default)]
pub struct LeafPages {
    frames: Vec<FramePlace>,
    /// By all that is said of a frame: two members of a chain may (wrongly) say different things of one, and an extent was checked
    /// against what its own member says.
    index: HashMap<FramePlace, u32>,
    /// Up to the last page that was said to lie anywhere: [`LEAF_PAGES`] at most.
    slots: Vec<Slot>,
}

impl PartialEq for LeafPages {
    /// Whether every page lies in the same frame at the same offset.
    fn eq(&self, other: &Self) -> bool {
        (0..self.slots.len().max(other.slots.len())).all(|page| self.same_place(other, page))
    }
}

impl LeafPages {
    /// Where a page lies: its frame and its offset in the plain frame; `None` for zeros.
    pub fn place(&self, page: usize) -> Option<(&FramePlace, u32)> {
        let slot = self.slots.get(page)?;
        let index = slot.frame.checked_sub(1)? as usize;
        self.frames.get(index).map(|frame| (frame, slot.offset))
    }

    /// Puts `pages` consecutive pages from `first` on one after the other into `frame`, beginning at `offset` of the
    /// plain frame. Pages past the end of the leaf are not taken.
    pub fn set(&mut self, first: usize, pages: usize, frame: &FramePlace, offset: u32) {
        let index = self.intern(frame);
        let end = first.saturating_add(pages).min(LEAF_PAGES);
        if end > self.slots.len() {
            self.slots.resize(end, Slot::default());
        }
        let offsets = (u64::from(offset)..).step_by(PAGE_BYTES);
        for (slot, offset) in self.slots.iter_mut().skip(first).take(pages).zip(offsets) {
            *slot = Slot { frame: index, offset: u32::try_from(offset).unwrap_or(u32::MAX) };
        }
    }

    /// Makes pages zeros.
    pub fn set_zeros(&mut self, first: usize, pages: usize) {
        self.slots.iter_mut().skip(first).take(pages).for_each(|slot| *slot = Slot::default());
    }

    /// Cuts the leaf off behind its first `pages` pages, as when a file became shorter.
    pub fn truncate(&mut self, pages: usize) {
        self.slots.truncate(pages);
    }

    /// Lays a leaf (replacing everything) or a patch over this.
    pub fn apply(&mut self, node: &LocationNode) {
        if !node.is_patch {
            *self = Self::default();
        }
        for extent in &node.extents {
            let (first, pages) = (extent.first.into(), extent.pages.into());
            match extent.source {
                Source::Zeros => self.set_zeros(first, pages),
                Source::Frame { frame, offset } => {
                    // Decoding made sure of the index.
                    if let Some(place) = node.frames.get(frame as usize) {
                        self.set(first, pages, place, offset);
                    }
                }
            }
        }
    }

    /// The pages as extents in the order of pages, without those of zeros; indices count in `frames()`.
    pub fn extents(&self) -> impl Iterator<Item = Extent> + '_ {
        self.extents_where(self.slots.len(), |_, slot| slot.frame != 0)
    }

    /// The frames that extents name by index. Some may no longer hold a page.
    pub fn frames(&self) -> &[FramePlace] {
        &self.frames
    }

    /// This as a leaf.
    pub fn to_leaf(&self) -> LocationNode {
        self.to_node(false, self.extents())
    }

    /// This as a patch over `older`; `None` where both are the same.
    pub fn to_patch(&self, older: &Self) -> Option<LocationNode> {
        let pages = self.slots.len().max(older.slots.len());
        let mut changed = self.extents_where(pages, |page, _| !self.same_place(older, page)).peekable();
        changed.peek()?;
        Some(self.to_node(true, changed))
    }

    fn same_place(&self, other: &Self, page: usize) -> bool {
        match (self.place(page), other.place(page)) {
            (Some((mine, at)), Some((theirs, there))) => at == there && mine.identity() == theirs.identity(),
            (None, None) => true,
            _ => false,
        }
    }

    fn intern(&mut self, frame: &FramePlace) -> u32 {
        // Runs of pages come frame by frame: the last one is nearly always the one.
        if let Some(last) = self.frames.last()
            && last == frame
        {
            return self.frames.len() as u32;
        }
        *self.index.entry(*frame).or_insert_with(|| {
            self.frames.push(*frame);
            self.frames.len() as u32
        })
    }

    /// Runs of those of the first `pages` pages that are wanted and lie one after the other.
    fn extents_where<'a>(
        &'a self,
        pages: usize,
        is_wanted: impl Fn(usize, &Slot) -> bool + 'a,
    ) -> impl Iterator<Item = Extent> + 'a {
        let slot = |page: usize| self.slots.get(page).copied().unwrap_or_default();
        let mut wanted = (0..pages)
            .map(move |page| (page, slot(page)))
            .filter(move |(page, slot)| is_wanted(*page, slot))
            .peekable();
        std::iter::from_fn(move || {
            let (first, start) = wanted.next()?;
            let mut pages = 1u16;
            while wanted
                .next_if(|(page, slot)| *page == first + usize::from(pages) && follows(&start, slot, pages))
                .is_some()
            {
                pages += 1;
            }
            let source = match start.frame.checked_sub(1) {
                None => Source::Zeros,
                Some(frame) => Source::Frame { frame, offset: start.offset },
            };
            Some(Extent { first: first as u16, pages, source })
        })
    }

    /// A node of these extents, with only the frames they name, in the order of first use.
    fn to_node(&self, is_patch: bool, extents: impl Iterator<Item = Extent>) -> LocationNode {
        let mut frames = Vec::new();
        let mut renumbered: Vec<Option<u32>> = vec![None; self.frames.len()];
        let extents = extents.map(|extent| match extent.source {
            Source::Zeros => extent,
            Source::Frame { frame, offset } => {
                let new = renumbered.get_mut(frame as usize).zip(self.frames.get(frame as usize));
                let frame = new.map_or(frame, |(number, place)| {
                    *number.get_or_insert_with(|| {
                        frames.push(*place);
                        frames.len() as u32 - 1
                    })
                });
                Extent { source: Source::Frame { frame, offset }, ..extent }
            }
        });
        let extents = extents.collect();
        LocationNode { is_patch, frames, extents }
    }
}

/// Whether a slot lies where the page `pages` after `start` would.
fn follows(start: &Slot, slot: &Slot, pages: u16) -> bool {
    let distance = u32::from(pages) * PAGE_BYTES as u32;
    slot.frame == start.frame && (slot.frame == 0 || slot.offset == start.offset.saturating_add(distance))
}

/// The digests of a leaf's pages, from page 0; those past the end of the list are of zeros.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DigestPages {
    digests: Vec<PageDigest>,
}

impl DigestPages {
    /// From digests, page 0 first; at most a leaf's.
    pub fn new(mut digests: Vec<PageDigest>) -> Self {
        digests.truncate(LEAF_PAGES);
        let used = digests.iter().rposition(|digest| *digest != ZERO_PAGE).map_or(0, |last| last + 1);
        digests.truncate(used);
        Self { digests }
    }

    /// The digest of a page: [`ZERO_PAGE`] for zeros.
    pub fn digest(&self, page: usize) -> PageDigest {
        self.digests.get(page).copied().unwrap_or(ZERO_PAGE)
    }

    /// The digests up to the last page that is not of zeros.
    pub fn as_slice(&self) -> &[PageDigest] {
        &self.digests
    }

    /// Lays a leaf or a patch over this.
    pub fn apply(&mut self, node: &DigestNode) {
        let mut digests = std::mem::take(&mut self.digests);
        match node {
            DigestNode::Leaf(leaf) => digests.clone_from(leaf),
            DigestNode::Patch(entries) => {
                for &(page, digest) in entries {
                    let page = usize::from(page);
                    digests.resize(digests.len().max(page + 1), ZERO_PAGE);
                    if let Some(slot) = digests.get_mut(page) {
                        *slot = digest;
                    }
                }
            }
        }
        *self = Self::new(digests);
    }

    /// This as a leaf.
    pub fn to_leaf(&self) -> DigestNode {
        DigestNode::Leaf(self.digests.clone())
    }

    /// This as a patch over `older`; `None` where both are the same.
    pub fn to_patch(&self, older: &Self) -> Option<DigestNode> {
        let pages = self.digests.len().max(older.digests.len());
        let changed = (0..pages).filter(|&page| self.digest(page) != older.digest(page));
        let entries: Vec<_> = changed.map(|page| (page as u16, self.digest(page))).collect();
        (!entries.is_empty()).then_some(DigestNode::Patch(entries))
    }
}

/// Resolves a chain of location nodes, oldest first.
pub fn resolve_locations<T: AsRef<[u8]>>(chain: &[T]) -> Result<LeafPages, ChainError> {
    check_length(chain.len())?;
    let mut pages = LeafPages::default();
    for (member, node) in chain.iter().enumerate() {
        let node =
            LocationNode::decode(node.as_ref()).map_err(|source| ChainError::Member { member, source })?;
        check_order(member, node.is_patch)?;
        pages.apply(&node);
    }
    Ok(pages)
}

/// Resolves a chain of digest nodes, oldest first.
pub fn resolve_digests<T: AsRef<[u8]>>(chain: &[T]) -> Result<DigestPages, ChainError> {
    check_length(chain.len())?;
    let mut pages = DigestPages::default();
    for (member, node) in chain.iter().enumerate() {
        let node =
            DigestNode::decode(node.as_ref()).map_err(|source| ChainError::Member { member, source })?;
        check_order(member, matches!(node, DigestNode::Patch(_)))?;
        pages.apply(&node);
    }
    Ok(pages)
}

fn check_length(members: usize) -> Result<(), ChainError> {
    if (1..=PATCHES_MAX + 1).contains(&members) { Ok(()) } else { Err(ChainError::Length { members }) }
}

fn check_order(member: usize, is_patch: bool) -> Result<(), ChainError> {
    match (member, is_patch) {
        (0, true) => Err(ChainError::Order { member, found: "patch" }),
        (1.., false) => Err(ChainError::Order { member, found: "leaf" }),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
