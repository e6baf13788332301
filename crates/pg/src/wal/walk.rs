//! The walk over the pages of one segment or of many: which bytes belong to which record.
//!
//! Promises: every page's header is checked against its place; a record that a crash left unfinished and the server overwrote is
//! forgotten as the server forgets it (`XLP_FIRST_IS_OVERWRITE_CONTRECORD`); after a switch record the rest of the segment is
//! not looked at; records within a page are handed out where they lie, others from one buffer. What the first segment begins
//! with and the last ends with is kept as pieces, so that segments can be walked one by one and joined later.

use crate::lsn::Lsn;
use crate::page::PAGE_BYTES;
use crate::timeline::Timeline;
use crate::wal_page::{LONG_HEADER_BYTES, SHORT_HEADER_BYTES, WalPageHeader};

use super::WalOf;
use super::assembly::{Assembly, Keep};
use super::edge::{Piece, Unfinished};
use super::page_fault::{PageFault, checked_header, is_unwritten};
use super::record::{
    RECORD_BYTES_MAX, RECORD_HEADER_BYTES, Record, RecordFault, RecordHeader, check_length, crc_with_header,
};

/// Records begin at multiples of this (`MAXALIGN`).
const ALIGNMENT: usize = 8;
const RMGR_XLOG: u8 = 0;
const XLOG_SWITCH: u8 = 0x40;

/// A whole record's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct RecordAt {
    /// Where it begins. As an inclusive recovery target this is the position after which the server stops.
    pub start: Lsn,
    /// Where its last byte ends, before alignment.
    pub end: Lsn,
}

/// Why a walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalEnded {
    /// All that was given was read to its end; a record begun in it may go on behind.
    WithTheSegments,
    /// No record or page begins here, there are zeros: nothing was written yet.
    NothingWritten {
        /// Where.
        at: Lsn,
    },
    /// What stands here is not the next record. At the end of a segment that was never filled this is ordinary (old bytes
    /// of a recycled file); before a segment that exists it is damage.
    Record {
        /// Where the record begins.
        at: Lsn,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// What stands here is not the next page. As above.
    Page {
        /// Where the page should begin.
        at: Lsn,
        /// What is wrong with it.
        fault: PageFault,
    },
}

impl WalEnded {
    /// Whether this is how a file ends that was never filled: zeros, or pages of its earlier life, as a recycled file has
    /// them. Before a segment that exists on the same timeline it is damage all the same.
    pub fn is_unfilled(&self) -> bool {
        match self {
            Self::NothingWritten { .. } => true,
            Self::Page { at, fault: PageFault::OtherAddress { found } } => found < at,
            _ => false,
        }
    }
}

/// What a walk began with: the rest of a record from an earlier segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// How many bytes of it were still missing at the start; more than the segment has, where it goes on in the next one.
    pub remaining: u32,
    /// What of it is here.
    pub piece: Piece,
    /// Where the record ends, if here.
    pub end: Option<Lsn>,
    /// The page from which on the server overwrote it, after a crash in which its rest was lost: it will never be whole.
    pub lost_at: Option<Lsn>,
}

/// What a walk found beside the records that it handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// The rest of an earlier record that the first page began with.
    pub continuation: Option<Continuation>,
    /// Whether the first page says that the record to be continued there is lost, so that the piece before is to be forgotten.
    pub begins_with_overwrite: bool,
    /// The first whole record whose beginning was seen.
    pub first: Option<RecordAt>,
    /// Where that record says that the one before it begins.
    pub first_prev: Option<Lsn>,
    /// The last whole record whose beginning was seen.
    pub last: Option<RecordAt>,
    /// How many whole records were handed out.
    pub records: u64,
    /// The last switch record: the rest of its segment is empty.
    pub switched: Option<RecordAt>,
    /// How many records were begun, or went on, and were lost in crashes before they were whole.
    pub overwritten: u32,
    /// The record that was begun and goes on behind what was given, or would if more had been written.
    pub unfinished: Option<Unfinished>,
    /// The timeline of the last page read.
    pub timeline: Option<Timeline>,
    /// Why the walk ended.
    pub ended: WalEnded,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Nothing was read yet; a record may be under way from before.
    Unknown,
    /// The rest of a record whose beginning was not seen: so many bytes.
    Rest(u32),
    /// A record begins.
    Record,
    /// A record is under way.
    Inside,
    /// Behind a switch record: nothing until the next segment.
    Switched,
    /// The walk has ended.
    Ended,
}

/// A walk over pages of WAL in order.
#[derive(Debug)]
pub struct WalWalk {
    of: WalOf,
    at: At,
    next: Lsn,
    previous: Option<Lsn>,
    assembly: Assembly,
    walked: Walked,
}

impl WalWalk {
    /// A walk that begins at `first`, the start of a segment.
    pub fn new(of: WalOf, first: Lsn, keep: Keep) -> Self {
        let walked = Walked {
            continuation: None,
            begins_with_overwrite: false,
            first: None,
            first_prev: None,
            last: None,
            records: 0,
            switched: None,
            overwritten: 0,
            unfinished: None,
            timeline: None,
            ended: WalEnded::WithTheSegments,
        };
        let assembly = Assembly::new(of.version, keep);
        Self { of, at: At::Unknown, next: first, previous: None, assembly, walked }
    }

    /// Whether the walk has ended before the end of what it was given.
    pub fn has_ended(&self) -> bool {
        self.at == At::Ended
    }

    /// Where the next page to be given begins.
    pub fn position(&self) -> Lsn {
        self.next
    }

    /// Walks the next pages, of this segment and those after it, and hands each whole record to `sink`.
    ///
    /// `bytes` are whole pages; where they are not, the last one counts as cut off.
    pub fn take(&mut self, bytes: &[u8], sink: &mut impl FnMut(&Record<'_>)) {
        for page in bytes.chunks(PAGE_BYTES) {
            if self.at == At::Switched && self.of.size.offset_of(self.next) == 0 {
                self.at = At::Record;
            }
            if !matches!(self.at, At::Ended | At::Switched) {
                self.page(page, sink);
            }
            self.next = Lsn(self.next.0.saturating_add(PAGE_BYTES as u64));
        }
    }

    /// Walks the next segment, a file as it is: what lies behind a cut counts as not there, and ends the walk.
    pub fn segment(&mut self, bytes: &[u8], sink: &mut impl FnMut(&Record<'_>)) {
        let whole = usize::try_from(self.of.size.bytes()).unwrap_or(usize::MAX);
        self.take(bytes.get(..whole).unwrap_or(bytes), sink);
        if bytes.len() < whole && !matches!(self.at, At::Ended | At::Switched) {
            self.end(WalEnded::Page { at: self.next, fault: PageFault::Short });
        }
    }

    /// What was found.
    pub fn finish(mut self) -> Walked {
        if let Some(continuation) = &mut self.walked.continuation {
            continuation.piece = std::mem::take(&mut continuation.piece).finish();
        }
        if self.at == At::Inside {
            self.walked.unfinished = Some(Unfinished::of(&self.assembly));
        }
        self.walked
    }

    fn end(&mut self, why: WalEnded) {
        // A record under way stays known: what follows it may be nothing yet.
        let under_way = self.at == At::Inside && !matches!(why, WalEnded::Record { .. });
        if under_way {
            self.walked.unfinished = Some(Unfinished::of(&self.assembly));
        }
        self.at = At::Ended;
        self.walked.ended = why;
    }

    fn page(&mut self, page: &[u8], sink: &mut impl FnMut(&Record<'_>)) {
        let address = self.next;
        if is_unwritten(page) {
            return self.end(WalEnded::NothingWritten { at: address });
        }
        let checked = checked_header(&self.of, address, page, self.walked.timeline);
        let header = match checked.and_then(|header| self.join(&header).map(|()| header)) {
            Ok(header) => header,
            Err(fault) => return self.end(WalEnded::Page { at: address, fault }),
        };
        self.walked.timeline = Some(header.timeline);
        let begin = if header.long.is_some() { LONG_HEADER_BYTES } else { SHORT_HEADER_BYTES };
        let Some(begin) = self.rest_of_earlier(page, begin, sink) else { return };
        self.records(page, begin, sink);
    }

    /// Fits the page to what went before it.
    fn join(&mut self, header: &WalPageHeader) -> Result<(), PageFault> {
        if header.overwrites_lost_record {
            self.walked.begins_with_overwrite |= self.at == At::Unknown;
            if matches!(self.at, At::Inside | At::Rest(_)) {
                self.walked.overwritten = self.walked.overwritten.saturating_add(1);
            }
            if let (At::Rest(_), Some(continuation)) = (self.at, &mut self.walked.continuation) {
                continuation.lost_at = Some(header.address);
            }
            self.at = At::Record;
            return Ok(());
        }
        let continued = if header.begins_inside_record { header.remaining } else { 0 };
        let missing = match self.at {
            At::Unknown => {
                if continued > RECORD_BYTES_MAX {
                    return Err(PageFault::NotContinued);
                }
                self.begin_unknown(continued);
                continued
            }
            At::Rest(missing) => missing,
            At::Inside => self.assembly.missing(),
            At::Record | At::Switched | At::Ended => 0,
        };
        (continued == missing).then_some(()).ok_or(PageFault::NotContinued)
    }

    fn begin_unknown(&mut self, continued: u32) {
        self.at = At::Record;
        if continued > 0 {
            self.at = At::Rest(continued);
            let piece = Piece::default();
            self.walked.continuation =
                Some(Continuation { remaining: continued, piece, end: None, lost_at: None });
        }
    }

    /// Takes what a page begins with that belongs to a record from before; returns where the next record begins, if here.
    fn rest_of_earlier(
        &mut self,
        page: &[u8],
        begin: usize,
        sink: &mut impl FnMut(&Record<'_>),
    ) -> Option<usize> {
        let rest = page.get(begin..)?;
        let after = |count: usize| begin.saturating_add(count);
        match self.at {
            At::Rest(missing) => {
                let here = rest.get(..missing as usize).unwrap_or(rest);
                let left = missing.saturating_sub(u32::try_from(here.len()).unwrap_or(u32::MAX));
                let end = self.lsn(after(here.len()));
                if let Some(continuation) = &mut self.walked.continuation {
                    continuation.piece.add(here);
                    continuation.end = (left == 0).then_some(end);
                }
                self.at = if left == 0 { At::Record } else { At::Rest(left) };
                (left == 0).then(|| after(here.len()).next_multiple_of(ALIGNMENT))
            }
            At::Inside => {
                let count = self.assembly.take(rest);
                if !self.header_is_right() || self.assembly.missing() > 0 {
                    return None;
                }
                self.complete_assembled(after(count), sink);
                (self.at == At::Record).then(|| after(count).next_multiple_of(ALIGNMENT))
            }
            At::Record => Some(begin),
            At::Unknown | At::Switched | At::Ended => None,
        }
    }

    fn lsn(&self, offset: usize) -> Lsn {
        Lsn(self.next.0.saturating_add(offset as u64))
    }

    /// The records that begin in a page.
    fn records(&mut self, page: &[u8], mut offset: usize, sink: &mut impl FnMut(&Record<'_>)) {
        while let Some(rest) = page.get(offset..) {
            let Some(length) = rest.first_chunk::<4>() else { return };
            let (here, total) = (self.lsn(offset), u32::from_le_bytes(*length));
            if total == 0 {
                return self.end(WalEnded::NothingWritten { at: here });
            }
            let step = match rest.get(..total as usize) {
                Some(whole) => self.whole(here, whole, sink),
                None => self.begin(here, total, rest),
            };
            if let Err(fault) = step {
                return self.end(WalEnded::Record { at: here, fault });
            }
            if self.at != At::Record {
                return;
            }
            offset = offset.saturating_add(total as usize).next_multiple_of(ALIGNMENT);
        }
    }

    /// A record that lies in the page.
    fn whole(
        &mut self,
        start: Lsn,
        bytes: &[u8],
        sink: &mut impl FnMut(&Record<'_>),
    ) -> Result<(), RecordFault> {
        let bad_length = || RecordFault::Length { bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX) };
        let (head, body) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>().ok_or_else(bad_length)?;
        let header = RecordHeader::decode(head);
        header.check(self.of.version, start, self.previous)?;
        if crc_with_header(crc32c::crc32c(body), head) != header.crc {
            return Err(RecordFault::Checksum);
        }
        let end = Lsn(start.0.saturating_add(bytes.len() as u64));
        let record = Record::with_body(self.of.version, start, end, header, body)?;
        sink(&record);
        let at = RecordAt { start, end };
        self.count(at, &header);
        Ok(())
    }

    /// A record that goes on in the next page.
    fn begin(&mut self, start: Lsn, total: u32, rest: &[u8]) -> Result<(), RecordFault> {
        check_length(total)?;
        self.assembly.begin(start, total)?;
        self.assembly.take(rest);
        if let Some(header) = self.assembly.header() {
            header.check(self.of.version, start, self.previous)?;
        }
        self.at = At::Inside;
        Ok(())
    }

    /// Checks the header of the record under way, which may only now be complete.
    fn header_is_right(&mut self) -> bool {
        let Some(header) = self.assembly.header() else { return true };
        let at = self.assembly.start();
        match header.check(self.of.version, at, self.previous) {
            Ok(()) => true,
            Err(fault) => {
                self.end(WalEnded::Record { at, fault });
                false
            }
        }
    }

    fn complete_assembled(&mut self, offset: usize, sink: &mut impl FnMut(&Record<'_>)) {
        let (start, end) = (self.assembly.start(), self.lsn(offset));
        let done = self.assembly.finish(end).map(|record| {
            sink(&record);
            record.header
        });
        match done {
            Ok(header) => {
                self.at = At::Record;
                self.count(RecordAt { start, end }, &header);
            }
            Err(fault) => self.end(WalEnded::Record { at: start, fault }),
        }
    }

    fn count(&mut self, record: RecordAt, header: &RecordHeader) {
        self.previous = Some(record.start);
        if self.walked.first.is_none() {
            self.walked.first = Some(record);
            self.walked.first_prev = Some(header.prev);
        }
        self.walked.last = Some(record);
        self.walked.records = self.walked.records.saturating_add(1);
        if header.rmgr == RMGR_XLOG && header.info & 0xF0 == XLOG_SWITCH {
            self.walked.switched = Some(record);
            self.at = At::Switched;
        }
    }
}
