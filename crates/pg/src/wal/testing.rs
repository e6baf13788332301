//! Writes WAL as a server does, for tests: records laid over pages and segments, switches, and records lost in a crash.
//!
//! Promises: what it writes is right to the last byte (headers, links, CRC, lengths, alignment); tests then break it.

use crate::lsn::Lsn;
use crate::page::PAGE_BYTES;
use crate::relation::Fork;
use crate::segment::SegmentNo;
use crate::timeline::Timeline;
use crate::wal_page::{LONG_HEADER_BYTES, SHORT_HEADER_BYTES};

use super::WalOf;
use super::block::{ImageCompression, RelationId};
use super::record::RECORD_HEADER_BYTES;

/// An image to be put into a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSpec {
    /// Its bytes, compressed if so.
    pub bytes: Vec<u8>,
    /// Where the hole begins.
    pub hole_offset: u16,
    /// How long it is; zero for none.
    pub hole_length: u16,
    /// Whether replay applies it.
    pub apply: bool,
    /// How the bytes are compressed.
    pub compression: Option<ImageCompression>,
}

/// A block to be put into a record.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of a block reference")]
pub struct BlockSpec {
    pub id: u8,
    pub relation: RelationId,
    pub fork: Fork,
    pub block: u32,
    pub will_init: bool,
    pub image: Option<ImageSpec>,
    pub data: Vec<u8>,
}

/// A record to be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the names are those of a record")]
pub struct RecordSpec {
    pub xid: u32,
    pub rmgr: u8,
    pub info: u8,
    pub blocks: Vec<BlockSpec>,
    pub origin: Option<u16>,
    pub top_xid: Option<u32>,
    pub main: Vec<u8>,
}

impl RecordSpec {
    /// A record without blocks.
    pub fn of(rmgr: u8, info: u8, main: &[u8]) -> Self {
        Self { xid: 9, rmgr, info, main: main.to_vec(), ..Self::default() }
    }

    /// Everything behind the fixed header.
    pub fn body(&self, of: &WalOf) -> Vec<u8> {
        let mut out = Vec::new();
        let mut before = None;
        for block in &self.blocks {
            block.header(of, before, &mut out);
            before = Some(block.relation);
        }
        if let Some(origin) = self.origin {
            out.push(253);
            out.extend(origin.to_le_bytes());
        }
        if let Some(top) = self.top_xid {
            out.push(252);
            out.extend(top.to_le_bytes());
        }
        match self.main.len() {
            0 => {}
            short @ ..256 => out.extend([255, short as u8]),
            long => {
                out.push(254);
                out.extend((long as u32).to_le_bytes());
            }
        }
        for block in &self.blocks {
            out.extend(block.image.iter().flat_map(|image| &image.bytes));
            out.extend(&block.data);
        }
        out.extend(&self.main);
        out
    }
}

impl BlockSpec {
    fn header(&self, of: &WalOf, before: Option<RelationId>, out: &mut Vec<u8>) {
        let same = before == Some(self.relation);
        let fork = match self.fork {
            Fork::Main => 0,
            Fork::Fsm => 1,
            Fork::Vm => 2,
            Fork::Init => 3,
        };
        let flags = u8::from(self.image.is_some()) << 4
            | u8::from(!self.data.is_empty()) << 5
            | u8::from(self.will_init) << 6
            | u8::from(same) << 7;
        out.extend([self.id, fork | flags]);
        out.extend((self.data.len() as u16).to_le_bytes());
        if let Some(image) = &self.image {
            image.header(of, out);
        }
        if !same {
            let RelationId { tablespace, database, number } = self.relation;
            [tablespace, database, number].iter().for_each(|n| out.extend(n.to_le_bytes()));
        }
        out.extend(self.block.to_le_bytes());
    }
}

impl ImageSpec {
    fn header(&self, of: &WalOf, out: &mut Vec<u8>) {
        let bits = &of.version.facts().wal.image_bits;
        let way = bits.compression.iter().find(|(_, way)| Some(*way) == self.compression);
        let has_hole = self.hole_length > 0;
        let info =
            u8::from(has_hole) | way.map_or(0, |(bit, _)| *bit) | if self.apply { bits.apply } else { 0 };
        out.extend((self.bytes.len() as u16).to_le_bytes());
        out.extend(self.hole_offset.to_le_bytes());
        out.push(info);
        if has_hole && way.is_some() {
            out.extend(self.hole_length.to_le_bytes());
        }
    }
}

/// Writes WAL from the start of a segment on.
#[derive(Debug, Clone)]
pub struct WalWriter {
    /// Whose WAL.
    pub of: WalOf,
    /// What is written so far.
    pub bytes: Vec<u8>,
    /// Where the record before begins.
    pub previous: Lsn,
    /// The timeline in page headers.
    pub timeline: Timeline,
    first: Lsn,
}

impl WalWriter {
    /// A writer at the start of this segment.
    pub fn new(of: WalOf, segment: SegmentNo) -> Self {
        let first = segment.first_lsn(of.size).unwrap_or(Lsn(0));
        let previous = Lsn(first.0.saturating_sub(0x100));
        let mut writer = Self { of, bytes: Vec::new(), previous, timeline: Timeline::FIRST, first };
        writer.page_header(0, false);
        writer
    }

    /// Where the next byte goes.
    pub fn position(&self) -> Lsn {
        Lsn(self.first.0.saturating_add(self.bytes.len() as u64))
    }

    /// A page header: so many bytes of a record from before follow, or that record is lost.
    pub fn page_header(&mut self, remaining: u32, overwrites: bool) {
        let address = self.position();
        let long = self.of.size.offset_of(address) == 0;
        let info = u16::from(remaining > 0) | u16::from(long) << 1 | u16::from(overwrites) << 3;
        self.bytes.extend(self.of.version.facts().wal_magic.to_le_bytes());
        self.bytes.extend(info.to_le_bytes());
        self.bytes.extend(self.timeline.get().to_le_bytes());
        self.bytes.extend(address.0.to_le_bytes());
        self.bytes.extend(remaining.to_le_bytes());
        self.bytes.extend([0; 4]);
        if long {
            self.bytes.extend(self.of.system.0.to_le_bytes());
            self.bytes.extend(self.of.size.bytes_u32().to_le_bytes());
            self.bytes.extend((PAGE_BYTES as u32).to_le_bytes());
        }
    }

    /// Writes a record; returns where it begins.
    pub fn record(&mut self, spec: &RecordSpec) -> Lsn {
        let body = spec.body(&self.of);
        self.raw(spec.xid, spec.rmgr, spec.info, &body)
    }

    /// Writes a record with this body, whether or not that is one.
    pub fn raw(&mut self, xid: u32, rmgr: u8, info: u8, body: &[u8]) -> Lsn {
        if self.bytes.len().is_multiple_of(PAGE_BYTES) {
            self.page_header(0, false);
        }
        let start = self.position();
        let record = whole_record(self.previous, (xid, rmgr, info), body);
        self.previous = start;
        self.spread(&record);
        start
    }

    fn spread(&mut self, mut record: &[u8]) {
        while !record.is_empty() {
            let room = self.bytes.len().next_multiple_of(PAGE_BYTES).saturating_sub(self.bytes.len());
            let (now, later) = record.split_at(room.min(record.len()));
            self.bytes.extend(now);
            record = later;
            if !record.is_empty() {
                self.page_header(record.len() as u32, false);
            }
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
    }

    /// Writes a switch record and leaves the rest of the segment empty.
    pub fn switch(&mut self) -> Lsn {
        let start = self.record(&RecordSpec { xid: 0, ..RecordSpec::of(0, 0x40, &[]) });
        let segment = self.of.size.bytes() as usize;
        self.bytes.resize(self.bytes.len().next_multiple_of(segment), 0);
        start
    }

    /// Writes a record, and then forgets all of it that lies behind `pages` page ends, as a crash does that comes too early:
    /// the server writes on there. Returns where the lost record begins and where the record that tells of it does.
    pub fn lost(&mut self, spec: &RecordSpec, pages: usize) -> (Lsn, Lsn) {
        let previous = self.previous;
        let lost = self.record(spec);
        self.previous = previous;
        let from = lost.0.saturating_sub(self.first.0) as usize;
        let keep = from.next_multiple_of(PAGE_BYTES).saturating_add(pages.saturating_mul(PAGE_BYTES));
        self.bytes.truncate(keep);
        assert!(self.bytes.len() == keep, "the lost record must reach behind these pages");
        self.page_header(0, true);
        let main = [lost.0.to_le_bytes(), [0; 8]].concat();
        (lost, self.record(&RecordSpec { xid: 0, ..RecordSpec::of(0, 0xD0, &main) }))
    }

    /// The segments written, the last one filled with zeros.
    pub fn segments(&self) -> Vec<Vec<u8>> {
        let segment = self.of.size.bytes() as usize;
        let mut bytes = self.bytes.clone();
        bytes.resize(bytes.len().next_multiple_of(segment), 0);
        bytes.chunks(segment).map(<[u8]>::to_vec).collect()
    }

    /// How many bytes of records a page can hold at this place.
    pub fn room_in_page(&self) -> usize {
        let at = self.bytes.len() % PAGE_BYTES;
        let long = self.of.size.offset_of(self.position()) == 0;
        let header = if long { LONG_HEADER_BYTES } else { SHORT_HEADER_BYTES };
        PAGE_BYTES.saturating_sub(if at == 0 { header } else { at })
    }
}

/// A record, header first, with the right CRC. `xid_rmgr_info` are these three.
pub fn whole_record(previous: Lsn, xid_rmgr_info: (u32, u8, u8), body: &[u8]) -> Vec<u8> {
    let (xid, rmgr, info) = xid_rmgr_info;
    let mut record = Vec::with_capacity(RECORD_HEADER_BYTES.saturating_add(body.len()));
    record.extend((RECORD_HEADER_BYTES.saturating_add(body.len()) as u32).to_le_bytes());
    record.extend(xid.to_le_bytes());
    record.extend(previous.0.to_le_bytes());
    record.extend([info, rmgr, 0, 0]);
    let crc = crc32c::crc32c_append(crc32c::crc32c(body), &record);
    record.extend(crc.to_le_bytes());
    record.extend(body);
    record
}
