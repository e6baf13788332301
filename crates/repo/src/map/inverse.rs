//! Maps turned around, for restore: from "which frame holds this page" to "which pages does this frame hold", so that
//! packs are read in order and each frame once.
//!
//! Files are taken leaf by leaf until the band is full (64 MiB of entries, some two million extents); a band becomes
//! reads, one pack after the other, near frames joined. A frame that two bands need is read twice: with the frames
//! of one file mostly together that is rare, and it is the price of bounded memory.
//!
//! Promises that every page given is in exactly one read, at most `budget_bytes` of entries (and once the room that
//! sorting them needs), and reads no longer than asked for unless a single frame is. Deliberately fetches nothing.

use std::collections::HashMap;
use std::ops::Range;

use crate::compress::Encoding;
use crate::map::chain::LeafPages;
use crate::map::leaf::Source;
use crate::map::place::{FramePlace, LEAF_PAGES};
use crate::object::FrameAt;
use crate::pack::PackId;

/// Memory for the entries of a band.
pub const BAND_BYTES: usize = 64 * 1024 * 1024;

/// Up to this many bytes between two wanted frames are read and thrown away: about what a second request costs.
pub const GAP_BYTES_MAX: u64 = 256 * 1024;

/// Where joining ends: a read that others must wait for should not be longer.
pub const READ_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Consecutive pages of a file that lie one after the other in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The caller's number of the file.
    pub file: u32,
    /// The first page, counted in the file.
    pub page: u64,
    /// Pages.
    pub pages: u16,
    /// Where the first begins in the plain frame.
    pub offset: u32,
}

/// A frame within a read, and what it holds for this band.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameRead {
    /// Which frame and how to open it; its `offset` counts from the beginning of the pack's body.
    pub place: FramePlace,
    /// Its pieces, by file and page.
    pub pieces: Vec<Piece>,
}

/// One ranged read of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// The pack.
    pub pack: PackId,
    /// Where to begin, from the beginning of the pack's body.
    pub offset: u64,
    /// Bytes to read.
    pub length: u64,
    /// The wanted frames in it, in order.
    pub frames: Vec<FrameRead>,
}

/// How reads are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joining {
    /// Longest gap that is read over.
    pub gap_bytes_max: u64,
    /// Longest read (a single longer frame is still one read).
    pub read_bytes_max: u64,
}

impl Default for Joining {
    fn default() -> Self {
        Self { gap_bytes_max: GAP_BYTES_MAX, read_bytes_max: READ_BYTES_MAX }
    }
}

/// One extent with its frame, packed: there are millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    pack: u32,
    frame_offset: u32,
    file: u32,
    leaf: u32,
    page: u16,
    pages: u16,
    offset: u32,
    frame: u32,
    stored_len: u32,
    plain_len: u32,
    encoding: Encoding,
}

impl Entry {
    fn order(&self) -> (u32, u32, u32, u32, u16) {
        (self.pack, self.frame_offset, self.file, self.leaf, self.page)
    }

    fn same_frame(&self, other: &Self) -> bool {
        (self.pack, self.frame_offset, self.frame) == (other.pack, other.frame_offset, other.frame)
    }
}

/// Collects leaves into bands.
#[derive(Debug)]
pub struct InversePlanner {
    entries_max: usize,
    entries: Vec<Entry>,
    packs: Vec<PackId>,
    pack_index: HashMap<PackId, u32>,
}

impl InversePlanner {
    /// With room for `budget_bytes` of entries ([`BAND_BYTES`]).
    pub fn new(budget_bytes: usize) -> Self {
        let entries_max = (budget_bytes / size_of::<Entry>()).max(LEAF_PAGES);
        Self { entries_max, entries: Vec::new(), packs: Vec::new(), pack_index: HashMap::new() }
    }

    /// Adds leaf number `leaf` of the file that the caller knows as `file`. When the band has no room for another
    /// leaf it comes back, without this leaf, which begins the next.
    pub fn add_leaf(&mut self, file: u32, leaf: u32, pages: &LeafPages) -> Option<Band> {
        let added = pages.extents().count();
        let full = self.entries.len() + added > self.entries_max;
        let band = if full { self.take_band() } else { None };
        for extent in pages.extents() {
            let Source::Frame { frame, offset } = extent.source else { continue };
            let Some(place) = pages.frames().get(frame as usize) else { continue };
            let pack = self.pack_number(place.pack);
            self.entries.push(Entry {
                pack,
                // The format keeps bodies under 2^28 bytes.
                frame_offset: place.at.offset as u32,
                file,
                leaf,
                page: extent.first,
                pages: extent.pages,
                offset,
                frame: place.at.number,
                stored_len: place.at.stored_len,
                plain_len: place.at.plain_len,
                encoding: place.at.encoding,
            });
        }
        band
    }

    /// What was added since the last band; `None` if nothing.
    pub fn take_band(&mut self) -> Option<Band> {
        if self.entries.is_empty() {
            return None;
        }
        let mut entries = std::mem::take(&mut self.entries);
        let packs = std::mem::take(&mut self.packs);
        self.pack_index.clear();
        // Packs in the order of their ids: the numbers were given in the order of files.
        let mut order: Vec<_> = (0..packs.len() as u32).zip(&packs).collect();
        order.sort_by_key(|(_, pack)| **pack);
        let mut rank = vec![0; packs.len()];
        for (place, (number, _)) in (0u32..).zip(&order) {
            if let Some(slot) = rank.get_mut(*number as usize) {
                *slot = place;
            }
        }
        for entry in &mut entries {
            entry.pack = rank.get(entry.pack as usize).copied().unwrap_or_default();
        }
        entries.sort_unstable_by_key(Entry::order);
        let packs = order.into_iter().map(|(_, pack)| *pack).collect();
        Some(Band { entries, packs })
    }

    fn pack_number(&mut self, pack: PackId) -> u32 {
        *self.pack_index.entry(pack).or_insert_with(|| {
            self.packs.push(pack);
            self.packs.len() as u32 - 1
        })
    }
}

/// Sorted entries, from which reads are made one at a time.
#[derive(Debug)]
pub struct Band {
    entries: Vec<Entry>,
    packs: Vec<PackId>,
}

impl Band {
    /// The reads, pack by pack, from the beginning of each to its end.
    pub fn reads(&self, joining: Joining) -> impl Iterator<Item = Read> + '_ {
        self.reads_of(0..self.entries.len(), joining)
    }

    /// The band cut into at most `count` stretches of about as many pages each, never within a frame: for readers side by side,
    /// each of which goes through packs in order.
    pub fn lanes(&self, count: usize) -> Vec<Range<usize>> {
        let pages: u64 = self.entries.iter().map(|entry| u64::from(entry.pages)).sum();
        let of_lane = pages.div_ceil(count.max(1) as u64).max(1);
        let mut lanes = Vec::with_capacity(count);
        let (mut begin, mut taken, mut at) = (0, 0, 0);
        for group in self.entries.chunk_by(Entry::same_frame) {
            taken += group.iter().map(|entry| u64::from(entry.pages)).sum::<u64>();
            at += group.len();
            if taken >= of_lane {
                lanes.push(begin..at);
                (begin, taken) = (at, 0);
            }
        }
        if begin < at {
            lanes.push(begin..at);
        }
        lanes
    }

    /// The reads of one of the [`Band::lanes`].
    pub fn reads_of(&self, lane: Range<usize>, joining: Joining) -> impl Iterator<Item = Read> + '_ {
        let mut frames = self.frames(lane).peekable();
        std::iter::from_fn(move || {
            let first = frames.next()?;
            let (pack, offset) = (first.place.pack, first.place.at.offset);
            let mut end = first.place.end();
            let mut joined = vec![first];
            while let Some(next) = frames.next_if(|next| {
                let near = next.place.at.offset.saturating_sub(end) <= joining.gap_bytes_max;
                let short = next.place.end().saturating_sub(offset) <= joining.read_bytes_max;
                next.place.pack == pack && near && short
            }) {
                end = end.max(next.place.end());
                joined.push(next);
            }
            Some(Read { pack, offset, length: end - offset, frames: joined })
        })
    }

    fn frames(&self, lane: Range<usize>) -> impl Iterator<Item = FrameRead> + '_ {
        let entries = self.entries.get(lane).unwrap_or_default();
        entries.chunk_by(Entry::same_frame).filter_map(|group| {
            let first = group.first()?;
            let at = FrameAt {
                number: first.frame,
                offset: first.frame_offset.into(),
                stored_len: first.stored_len,
                plain_len: first.plain_len,
                encoding: first.encoding,
            };
            let place = FramePlace { pack: *self.packs.get(first.pack as usize)?, at };
            let pieces = group.iter().map(|entry| Piece {
                file: entry.file,
                page: u64::from(entry.leaf) * LEAF_PAGES as u64 + u64::from(entry.page),
                pages: entry.pages,
                offset: entry.offset,
            });
            Some(FrameRead { place, pieces: pieces.collect() })
        })
    }
}

#[cfg(test)]
#[path = "inverse_tests.rs"]
mod tests;
