//! The headers inside a record: which blocks it names, with an image or data, and how its bytes are shared out.
//!
//! Promises: the checks of `DecodeXLogRecord`; the same bytes are read once to check them and again, without a copy, by
//! whoever asks for the blocks. Layout: `src/include/access/xlogrecord.h`.

use serde::{Deserialize, Serialize};

use crate::page::{PAGE_BYTES, PAGE_BYTES_U32};
use crate::relation::Fork;
use crate::version::WalFacts;

use super::record::Record;

/// `XLR_MAX_BLOCK_ID`, and so 33 blocks at most.
const BLOCK_ID_MAX: u8 = 32;
const ID_MAIN_SHORT: u8 = 255;
const ID_MAIN_LONG: u8 = 254;
const ID_ORIGIN: u8 = 253;
const ID_TOP_XID: u8 = 252;

/// No record's part headers are longer: 33 blocks of at most 27 bytes, an origin, a transaction and long main data.
pub(super) const PART_HEADERS_BYTES_MAX: usize = 33 * 27 + 3 + 5 + 5;

const FORK_MASK: u8 = 0x0F;
const HAS_IMAGE: u8 = 0x10;
const HAS_DATA: u8 = 0x20;
const WILL_INIT: u8 = 0x40;
const SAME_RELATION: u8 = 0x80;
const IMAGE_HAS_HOLE: u8 = 0x01;

/// Which relation's file a block belongs to, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RelationId {
    /// The tablespace.
    pub tablespace: u32,
    /// The database; zero for shared relations.
    pub database: u32,
    /// The relation's file number; not its OID, though often equal.
    pub number: u32,
}

/// How the image of a page is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are PostgreSQL's")]
pub enum ImageCompression {
    Pglz,
    Lz4,
    Zstd,
}

/// What a record says about an image of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageHeader {
    /// Its length in the record.
    pub length: u16,
    /// Where the hole begins: zeros that were left out.
    pub hole_offset: u16,
    /// How long the hole is; zero for none.
    pub hole_length: u16,
    /// Whether replay puts the image in place; else it is there for comparison only.
    pub apply: bool,
    /// How what is left of the page is compressed.
    pub compression: Option<ImageCompression>,
}

/// A block that a record changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef<'a> {
    /// Its number in the record; rises, not always by one.
    pub id: u8,
    /// The relation.
    pub relation: RelationId,
    /// The fork.
    pub fork: Fork,
    /// The block's number in the whole fork.
    pub block: u32,
    /// Whether replay makes the page anew without reading it.
    pub will_init: bool,
    /// The image of the page, if there is one.
    pub image: Option<ImageHeader>,
    /// The image's bytes, where they were kept.
    pub image_bytes: Option<&'a [u8]>,
    /// How much data the record has for the block.
    pub data_length: u16,
    /// That data, where it was kept.
    pub data: Option<&'a [u8]>,
}

/// Why the parts of a record do not make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum LayoutFault {
    #[error("its part headers are cut off")]
    Cut,
    #[error("it has a part of kind {id}, which there is not")]
    UnknownPart { id: u8 },
    #[error("its block {id} does not come after the one before")]
    OutOfOrder { id: u8 },
    #[error("its block {id} is of a fork that there is not")]
    NoSuchFork { id: u8 },
    #[error("its block {id} is of the relation before it, and none is before it")]
    NoRelation { id: u8 },
    #[error("its block {id} says both that it has data and that it has none")]
    Data { id: u8 },
    #[error("the image of its block {id} cannot be one: {why}")]
    Image { id: u8, why: &'static str },
    #[error("its parts are {parts} bytes long, the room for them is {room}")]
    Sum { parts: u64, room: u32 },
}

/// How the bytes behind a record's header are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Layout {
    /// Bytes of part headers.
    pub(super) headers: u32,
    /// Bytes of images and block data behind them.
    pub(super) payload: u32,
    /// Bytes of main data behind those.
    pub(super) main: u32,
    pub(super) blocks: u8,
    pub(super) origin: Option<u16>,
    pub(super) top_xid: Option<u32>,
}

/// The blocks of a record.
#[derive(Debug, Clone)]
pub struct BlockRefs<'a> {
    cursor: Cursor<'a>,
    left: u8,
    relation: Option<RelationId>,
    payload: Option<&'a [u8]>,
    facts: &'static WalFacts,
}

#[derive(Debug, Clone)]
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], LayoutFault> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(LayoutFault::Cut)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, LayoutFault> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, LayoutFault> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, LayoutFault> {
        self.take().map(u32::from_le_bytes)
    }
}

impl Layout {
    /// Reads the part headers at the start of a record's body, which is `length` bytes long in the record; `body` may be
    /// cut behind them.
    pub(super) fn read(body: &[u8], length: u32, facts: &WalFacts) -> Result<Self, LayoutFault> {
        let mut layout = Self::default();
        let (mut cursor, mut relation, mut last) = (Cursor(body), None, None);
        let mut parts = 0u64;
        loop {
            let read = body.len().saturating_sub(cursor.0.len()) as u64;
            if read.saturating_add(parts) >= u64::from(length) {
                return layout.settled(read, parts, length);
            }
            match cursor.u8()? {
                ID_MAIN_SHORT => layout.main = u32::from(cursor.u8()?),
                ID_MAIN_LONG => layout.main = cursor.u32()?,
                ID_ORIGIN => layout.origin = Some(cursor.u16()?),
                ID_TOP_XID => layout.top_xid = Some(cursor.u32()?),
                id if id <= BLOCK_ID_MAX => {
                    if last.is_some_and(|last| last >= id) {
                        return Err(LayoutFault::OutOfOrder { id });
                    }
                    let block = read_block(&mut cursor, id, relation, facts)?;
                    (relation, last) = (Some(block.relation), Some(id));
                    layout.blocks = layout.blocks.saturating_add(1);
                    layout.payload = layout.payload.saturating_add(block.payload());
                }
                id => return Err(LayoutFault::UnknownPart { id }),
            }
            parts = u64::from(layout.payload).saturating_add(u64::from(layout.main));
        }
    }

    fn settled(self, headers: u64, parts: u64, length: u32) -> Result<Self, LayoutFault> {
        let sum = headers.saturating_add(parts);
        match u32::try_from(headers) {
            Ok(headers) if sum == u64::from(length) => Ok(Self { headers, ..self }),
            _ => Err(LayoutFault::Sum { parts: sum, room: length }),
        }
    }
}

/// A block without the bytes that belong to it.
fn read_block<'a>(
    cursor: &mut Cursor<'_>,
    id: u8,
    before: Option<RelationId>,
    facts: &WalFacts,
) -> Result<BlockRef<'a>, LayoutFault> {
    let flags = cursor.u8()?;
    let data_length = cursor.u16()?;
    let fork = Fork::from_number(flags & FORK_MASK).ok_or(LayoutFault::NoSuchFork { id })?;
    if (flags & HAS_DATA != 0) != (data_length > 0) {
        return Err(LayoutFault::Data { id });
    }
    let image = match flags & HAS_IMAGE {
        0 => None,
        _ => Some(read_image(cursor, id, facts)?),
    };
    let relation = match flags & SAME_RELATION {
        0 => RelationId { tablespace: cursor.u32()?, database: cursor.u32()?, number: cursor.u32()? },
        _ => before.ok_or(LayoutFault::NoRelation { id })?,
    };
    let (block, will_init) = (cursor.u32()?, flags & WILL_INIT != 0);
    Ok(BlockRef { id, relation, fork, block, will_init, image, image_bytes: None, data_length, data: None })
}

fn read_image(cursor: &mut Cursor<'_>, id: u8, facts: &WalFacts) -> Result<ImageHeader, LayoutFault> {
    let (length, hole_offset, info) = (cursor.u16()?, cursor.u16()?, cursor.u8()?);
    let has_hole = info & IMAGE_HAS_HOLE != 0;
    let bits = &facts.image_bits;
    let mut known = bits.compression.iter().filter(|(bit, _)| info & bit != 0);
    let compression = known.next().map(|(_, way)| *way);
    let hole_length = match (has_hole, compression) {
        (false, _) => 0,
        (true, Some(_)) => cursor.u16()?,
        (true, None) => u16::try_from(PAGE_BYTES_U32.saturating_sub(u32::from(length))).unwrap_or_default(),
    };
    let why = if known.next().is_some() {
        Some("it says to be compressed in two ways")
    } else if usize::from(length) > PAGE_BYTES {
        Some("it is longer than a page")
    } else if has_hole != (hole_length > 0) || has_hole != (hole_offset > 0) {
        Some("it has half a hole")
    } else if usize::from(hole_offset).saturating_add(usize::from(hole_length)) > PAGE_BYTES {
        Some("its hole ends behind the page")
    } else if !has_hole && (usize::from(length) == PAGE_BYTES) == compression.is_some() {
        Some("its length is not that of a page")
    } else {
        None
    };
    if let Some(why) = why {
        return Err(LayoutFault::Image { id, why });
    }
    Ok(ImageHeader { length, hole_offset, hole_length, apply: info & bits.apply != 0, compression })
}

impl BlockRef<'_> {
    /// How many bytes of the record belong to it beside its header.
    fn payload(&self) -> u32 {
        let image = self.image.map_or(0, |image| u32::from(image.length));
        image.saturating_add(u32::from(self.data_length))
    }
}

impl<'a> BlockRefs<'a> {
    pub(super) fn new(record: &Record<'a>) -> Self {
        Self {
            cursor: Cursor(record.headers),
            left: record.layout.blocks,
            relation: None,
            payload: record.payload,
            facts: &record.version.facts().wal,
        }
    }

    fn take_payload(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.payload?.split_at_checked(bytes)?;
        self.payload = Some(rest);
        Some(taken)
    }
}

impl<'a> Iterator for BlockRefs<'a> {
    type Item = BlockRef<'a>;

    fn next(&mut self) -> Option<BlockRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        // Blocks come before the other parts, in all that servers write; the others are passed over all the same.
        let id = loop {
            match self.cursor.u8().ok()? {
                ID_MAIN_SHORT => drop(self.cursor.u8().ok()?),
                ID_MAIN_LONG | ID_TOP_XID => drop(self.cursor.u32().ok()?),
                ID_ORIGIN => drop(self.cursor.u16().ok()?),
                id => break id,
            }
        };
        // These bytes were read once before the record was handed out, so this cannot fail.
        let mut block: BlockRef<'a> = read_block(&mut self.cursor, id, self.relation, self.facts).ok()?;
        self.relation = Some(block.relation);
        if let Some(image) = block.image {
            block.image_bytes = self.take_payload(usize::from(image.length));
        }
        block.data = self.take_payload(usize::from(block.data_length));
        Some(block)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

impl ExactSizeIterator for BlockRefs<'_> {}
