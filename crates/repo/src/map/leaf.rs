//! Location leaves and patches: the written form of where the pages of a leaf lie.
//!
//! Promises that what is decoded keeps every limit (frames named exist in the node, pages lie within their frame and
//! within the leaf, extents do not overlap), in memory proportional to the input. Deliberately sparse: `chain` has the
//! form in which pages are looked up and compared.

use std::collections::HashMap;

use crate::bytes::{DecodeError, Reader, Writer};
use crate::map::node::{NodeKind, read_backup};
use crate::map::place::{FramePlace, LEAF_PAGES, PAGE_BYTES};
use crate::pack::PackId;

/// Least bytes of a pack, a frame and an extent in a node: what a count is checked against.
const PACK_BYTES_MIN: usize = 17;
const FRAME_BYTES_MIN: usize = 6;
const EXTENT_BYTES_MIN: usize = 3;

/// Consecutive pages of a leaf that lie one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first page, counted in the leaf.
    pub first: u16,
    /// Pages, 1 to 4096.
    pub pages: u16,
    /// Where they lie.
    pub source: Source,
}

/// Where the pages of an extent lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Nowhere: they are zeros.
    Zeros,
    /// In a frame.
    Frame {
        /// Index into the node's frames.
        frame: u32,
        /// Where the first page begins in the plain frame.
        offset: u32,
    },
}

/// A location leaf, or a patch over one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocationNode {
    /// Whether it is a patch: pages in no extent stay as they are; in a leaf they are zeros.
    pub is_patch: bool,
    /// The frames that extents name by index.
    pub frames: Vec<FramePlace>,
    /// In the order of pages, without overlap.
    pub extents: Vec<Extent>,
}

impl LocationNode {
    /// The written form.
    pub fn encode(&self) -> Vec<u8> {
        let kind = if self.is_patch { NodeKind::LocationPatch } else { NodeKind::LocationLeaf };
        let mut to = Writer::with_capacity(32 + self.frames.len() * 12 + self.extents.len() * 5);
        to.u8(kind.to_byte());
        self.write_frames(&mut to);
        to.count(self.extents.len());
        let mut page = 0;
        for extent in &self.extents {
            to.varint(u64::from(extent.first.saturating_sub(page)));
            to.varint(extent.pages.into());
            match extent.source {
                Source::Zeros => to.varint(0),
                Source::Frame { frame, offset } => {
                    to.varint(u64::from(frame) + 1);
                    to.varint(offset.into());
                }
            }
            page = extent.first.saturating_add(extent.pages);
        }
        to.into_bytes()
    }

    fn write_frames(&self, to: &mut Writer) {
        let mut packs: Vec<PackId> = Vec::new();
        let mut index_of = HashMap::new();
        for frame in &self.frames {
            index_of.entry(frame.pack).or_insert_with(|| {
                packs.push(frame.pack);
                packs.len() as u64 - 1
            });
        }
        to.count(packs.len());
        for pack in &packs {
            to.raw(&pack.backup.to_bytes());
            to.varint(pack.number.into());
        }
        to.count(self.frames.len());
        for frame in &self.frames {
            // Every pack was entered above.
            frame.write(index_of.get(&frame.pack).copied().unwrap_or_default(), to);
        }
    }

    /// Reads a whole node of either type.
    pub fn decode(node: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(node);
        let is_patch = match NodeKind::read(&mut from)? {
            NodeKind::LocationLeaf => false,
            NodeKind::LocationPatch => true,
            _ => return Err(from.invalid("not a location leaf or patch")),
        };
        let packs = read_packs(&mut from)?;
        let count = from.count(FRAME_BYTES_MIN)?;
        let frames =
            (0..count).map(|_| FramePlace::read(&packs, &mut from)).collect::<Result<Vec<_>, _>>()?;
        let count = from.count(EXTENT_BYTES_MIN)?;
        let mut extents = Vec::with_capacity(count.min(LEAF_PAGES));
        let mut page = 0;
        for _ in 0..count {
            let extent = read_extent(page, &frames, &mut from)?;
            page = u64::from(extent.first) + u64::from(extent.pages);
            extents.push(extent);
        }
        from.finish()?;
        Ok(Self { is_patch, frames, extents })
    }
}

fn read_packs(from: &mut Reader<'_>) -> Result<Vec<PackId>, DecodeError> {
    let count = from.count(PACK_BYTES_MIN)?;
    (0..count)
        .map(|_| Ok(PackId { backup: read_backup(from)?, number: from.varint_u32("pack number")? }))
        .collect()
}

/// The next extent, which begins at `page` or later.
fn read_extent(page: u64, frames: &[FramePlace], from: &mut Reader<'_>) -> Result<Extent, DecodeError> {
    let end = LEAF_PAGES as u64;
    let gap = from.varint_in("gap before an extent", 0, end.saturating_sub(page))?;
    let first = page + gap;
    let pages = from.varint_in("pages of an extent", 1, end.saturating_sub(first))?;
    let fit = |value: u64| u16::try_from(value).map_err(|_| from.invalid("page number too large"));
    let (first, pages_fit) = (fit(first)?, fit(pages)?);
    let source = match from.varint()? {
        0 => Source::Zeros,
        number => {
            let index = usize::try_from(number - 1).ok();
            let place = index.and_then(|index| frames.get(index));
            let place =
                place.ok_or_else(|| from.invalid("an extent names a frame that is not in the list"))?;
            // Only the last page of a file is short, and it has at least one byte.
            let last = (pages - 1) * PAGE_BYTES as u64;
            let offset_max = u64::from(place.at.plain_len).checked_sub(last + 1);
            let offset_max = offset_max.ok_or_else(|| from.invalid("an extent is longer than its frame"))?;
            let offset = from.varint_in("offset of an extent", 0, offset_max)?;
            let fit = |value: u64| u32::try_from(value).map_err(|_| from.invalid("frame index too large"));
            Source::Frame { frame: fit(number - 1)?, offset: fit(offset)? }
        }
    };
    Ok(Extent { first, pages: pages_fit, source })
}
