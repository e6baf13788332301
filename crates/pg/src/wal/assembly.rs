//! A record that does not lie in one page, put together from its pieces in a buffer that is used again.
//!
//! Promises: what is kept has a bound whatever length the record claims: its part headers, [`MAIN_DATA_BYTES_KEPT`] of main
//! data, and with [`Keep::Everything`] images and block data (which the format bounds, [`BLOCK_BYTES_MAX`]). The CRC runs over
//! everything, kept or not.

use crate::lsn::Lsn;
use crate::version::Version;

use super::block::{Layout, LayoutFault, PART_HEADERS_BYTES_MAX};
use super::record::{RECORD_HEADER_BYTES, Record, RecordFault, RecordHeader, check_length, crc_with_header};

/// How much main data is kept of a record that crosses pages: 1 MiB. Large main data that must be understood is in commits: of
/// this size are 260,000 subtransactions, or 7,000 dropped tables each with two indexes, TOAST and 8 invalidations a relation.
pub const MAIN_DATA_BYTES_KEPT: usize = 1 << 20;
/// The most that images and data of all blocks of one record can come to: 33 of either, their lengths having 16 bits.
pub const BLOCK_BYTES_MAX: usize = 33 * 2 * 65535;

/// What is kept of a record that crosses pages. Of a record within one page everything is there, whatever is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Part headers and main data: which blocks change, and what it means.
    #[default]
    Meaning,
    /// Images and block data too.
    Everything,
}

/// A record on its way.
#[derive(Debug)]
pub(super) struct Assembly {
    version: Version,
    keep: Keep,
    start: Lsn,
    total: u32,
    taken: u32,
    header: [u8; RECORD_HEADER_BYTES],
    /// The body from its start: part headers, then images and block data as far as they are kept.
    front: Vec<u8>,
    /// Main data from its start.
    main: Vec<u8>,
    /// Where main data begins in the body, once the part headers are known.
    main_at: Option<usize>,
    layout: Result<Layout, LayoutFault>,
    /// Something was skipped: what follows in the same area is not kept, for it would stand at a wrong place.
    gap: bool,
    /// CRC of the body so far.
    crc: u32,
}

impl Assembly {
    pub(super) fn new(version: Version, keep: Keep) -> Self {
        Self {
            version,
            keep,
            start: Lsn(0),
            total: 0,
            taken: 0,
            header: [0; RECORD_HEADER_BYTES],
            front: Vec::new(),
            main: Vec::new(),
            main_at: None,
            layout: Err(LayoutFault::Cut),
            gap: false,
            crc: 0,
        }
    }

    /// Begins a record of this length; an earlier one is forgotten.
    pub(super) fn begin(&mut self, start: Lsn, total: u32) -> Result<(), RecordFault> {
        check_length(total)?;
        (self.start, self.total, self.taken, self.crc) = (start, total, 0, 0);
        (self.main_at, self.layout, self.gap) = (None, Err(LayoutFault::Cut), false);
        self.header = [0; RECORD_HEADER_BYTES];
        self.front.clear();
        self.main.clear();
        Ok(())
    }

    pub(super) fn start(&self) -> Lsn {
        self.start
    }

    /// Bytes still missing.
    pub(super) fn missing(&self) -> u32 {
        self.total.saturating_sub(self.taken)
    }

    /// The fixed header, once all of it is there.
    pub(super) fn header(&self) -> Option<RecordHeader> {
        (self.taken as usize >= RECORD_HEADER_BYTES).then(|| RecordHeader::decode(&self.header))
    }

    /// Takes the next bytes, at most those that are missing; returns how many it took.
    pub(super) fn take(&mut self, bytes: &[u8]) -> usize {
        let bytes = bytes.get(..self.missing() as usize).unwrap_or(bytes);
        let into_header = RECORD_HEADER_BYTES.saturating_sub(self.taken as usize);
        self.crc = crc32c::crc32c_append(self.crc, bytes.get(into_header..).unwrap_or_default());
        self.keep(bytes);
        bytes.len()
    }

    /// As [`Self::take`], without the CRC.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        let at = self.taken as usize;
        self.advance(bytes.len());
        let body = if at < RECORD_HEADER_BYTES {
            let room = self.header.get_mut(at..).unwrap_or_default();
            let (head, body) = bytes.split_at(room.len().min(bytes.len()));
            room.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
            body
        } else {
            bytes
        };
        if !body.is_empty() {
            self.keep_body(at.saturating_sub(RECORD_HEADER_BYTES), body);
        }
    }

    /// Passes over bytes that nobody kept.
    pub(super) fn skip(&mut self, bytes: u32) {
        self.settle_layout();
        self.advance(bytes as usize);
        self.gap |= bytes > 0;
    }

    fn advance(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX)).min(self.total);
    }

    fn body_length(&self) -> usize {
        (self.total as usize).saturating_sub(RECORD_HEADER_BYTES)
    }

    fn keep_body(&mut self, mut at: usize, mut bytes: &[u8]) {
        let headers_end = self.body_length().min(PART_HEADERS_BYTES_MAX);
        if self.main_at.is_none() {
            let (now, later) = bytes.split_at(headers_end.saturating_sub(at).min(bytes.len()));
            self.front.extend_from_slice(now);
            at = at.saturating_add(now.len());
            bytes = later;
            if at >= headers_end {
                self.settle_layout();
            }
        }
        let Some(main_at) = self.main_at else { return };
        let (blocks, main) = bytes.split_at(main_at.saturating_sub(at).min(bytes.len()));
        if self.keep == Keep::Everything && !self.gap && self.front.len() == at {
            self.front.extend_from_slice(blocks);
        }
        let main_here = at.saturating_add(blocks.len()).saturating_sub(main_at);
        if self.main.len() == main_here {
            let room = MAIN_DATA_BYTES_KEPT.saturating_sub(self.main.len());
            self.main.extend_from_slice(main.get(..room).unwrap_or(main));
        }
    }

    /// Reads the part headers out of what is there, once; what of main data came with them moves to its place.
    fn settle_layout(&mut self) {
        if self.main_at.is_some() {
            return;
        }
        let length = self.total.saturating_sub(RECORD_HEADER_BYTES as u32);
        self.layout = Layout::read(&self.front, length, &self.version.facts().wal);
        let main = self.layout.map_or(0, |layout| layout.main as usize);
        let main_at = self.body_length().saturating_sub(main);
        // Of what cannot be shared out nothing is kept: there is no bound to it but the claimed length.
        self.gap |= self.layout.is_err();
        self.main_at = Some(main_at);
        if let Some(main) = self.front.get(main_at..) {
            self.main.extend_from_slice(main);
        }
        self.front.truncate(main_at);
    }

    /// The record, which is whole. The caller checked the header.
    pub(super) fn finish(&mut self, end: Lsn) -> Result<Record<'_>, RecordFault> {
        let crc = self.crc;
        self.finish_with(end, crc)
    }

    /// The same with another word on what the CRC of the body is.
    pub(super) fn finish_with(&mut self, end: Lsn, body_crc: u32) -> Result<Record<'_>, RecordFault> {
        self.settle_layout();
        let header = RecordHeader::decode(&self.header);
        if crc_with_header(body_crc, &self.header) != header.crc {
            return Err(RecordFault::Checksum);
        }
        let layout = self.layout?;
        let (headers, payload) =
            self.front.split_at_checked(layout.headers as usize).ok_or(LayoutFault::Cut)?;
        let payload = payload.get(..layout.payload as usize);
        let (start, version, main) = (self.start, self.version, self.main.as_slice());
        Ok(Record { start, end, header, version, layout, headers, payload, main })
    }

    /// Whatever was kept of a record that is not whole: its first bytes, then where in the record main data begins, and main data.
    pub(super) fn kept(&self) -> (Vec<u8>, usize, &[u8]) {
        let header = self.header.get(..self.taken as usize).unwrap_or(&self.header);
        let main_at = self.main_at.map_or(0, |at| at.saturating_add(RECORD_HEADER_BYTES));
        ([header, &self.front].concat(), main_at, &self.main)
    }

    /// How many bytes were taken.
    pub(super) fn taken(&self) -> u32 {
        self.taken
    }

    /// CRC of all bytes taken, header first.
    pub(super) fn crc_of_taken(&self) -> u32 {
        let header = self.header.get(..self.taken as usize).unwrap_or(&self.header);
        let body = (self.taken as usize).saturating_sub(RECORD_HEADER_BYTES);
        crc32c::crc32c_combine(crc32c::crc32c(header), self.crc, body)
    }
}
