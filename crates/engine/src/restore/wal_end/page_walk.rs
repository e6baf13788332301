//! The walk over the pages of segments: which bytes belong to which record.
//!
//! Promises: every page's header is checked against its place; a record that a crash left unfinished and the server
//! overwrote is forgotten as the server forgets it (`XLP_FIRST_IS_OVERWRITE_CONTRECORD`); after a switch record the rest
//! of the segment is not looked at.

use seawall_pg::wal_page::{LONG_HEADER_BYTES, SHORT_HEADER_BYTES, WalPageHeader};
use seawall_pg::{Lsn, PAGE_BYTES};
use seawall_repo::time::Time;

use super::record::{Assembly, Whole, u32_at};
use super::{PageFault, RecordAt, WalEnd, WalEnded, WalOf};

/// Records begin at multiples of this (`MAXALIGN`).
const ALIGNMENT: usize = 8;

/// What the next byte belongs to.
#[derive(Debug)]
enum At {
    /// Nothing was read yet; a record may be under way from before.
    Unknown,
    /// The rest of a record whose beginning was not seen.
    Rest(u32),
    /// A record begins.
    Record,
    /// A record is under way.
    Inside(Box<Assembly>),
    /// Behind a switch record: nothing until the next segment.
    Switched,
    /// The walk has ended.
    Ended,
}

#[derive(Debug)]
pub(super) struct PageWalk {
    of: WalOf,
    at: At,
    previous: Option<Lsn>,
    first: Option<RecordAt>,
    last: Option<RecordAt>,
    latest_commit: Option<Time>,
    ended: WalEnded,
}

impl PageWalk {
    pub(super) fn new(of: WalOf) -> Self {
        Self {
            of,
            at: At::Unknown,
            previous: None,
            first: None,
            last: None,
            latest_commit: None,
            ended: WalEnded::WithTheSegments,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.at, At::Ended)
    }

    pub(super) fn finish(self) -> WalEnd {
        WalEnd { last: self.last, first: self.first, latest_commit: self.latest_commit, ended: self.ended }
    }

    pub(super) fn segment(&mut self, first: Lsn, bytes: &[u8]) {
        if matches!(self.at, At::Switched) {
            self.at = At::Record;
        }
        let whole = usize::try_from(self.of.size.bytes()).unwrap_or(usize::MAX);
        let pages = bytes.get(..whole).unwrap_or(bytes).chunks(PAGE_BYTES);
        let mut address = first;
        for page in pages {
            if matches!(self.at, At::Ended | At::Switched) {
                return;
            }
            self.page(address, page, address == first);
            address = Lsn(address.0.saturating_add(PAGE_BYTES as u64));
        }
        if bytes.len() < whole && !matches!(self.at, At::Ended | At::Switched) {
            self.end(WalEnded::Page { at: address, fault: PageFault::Short });
        }
    }

    fn end(&mut self, why: WalEnded) {
        self.at = At::Ended;
        self.ended = why;
    }

    fn page(&mut self, address: Lsn, page: &[u8], opens_segment: bool) {
        let header = match self.checked_header(address, page, opens_segment) {
            Ok(header) => header,
            Err(fault) => return self.end(WalEnded::Page { at: address, fault }),
        };
        if let Err(fault) = self.join(&header) {
            return self.end(WalEnded::Page { at: address, fault });
        }
        let header_bytes = if opens_segment { LONG_HEADER_BYTES } else { SHORT_HEADER_BYTES };
        let mut position = header_bytes;
        while position < page.len() {
            let here = Lsn(address.0.saturating_add(position as u64));
            let rest = page.get(position..).unwrap_or_default();
            match self.step(here, rest) {
                Some(count) => position = aligned(position.saturating_add(count)),
                None => return,
            }
        }
    }

    fn checked_header(
        &self,
        address: Lsn,
        page: &[u8],
        opens_segment: bool,
    ) -> Result<WalPageHeader, PageFault> {
        if page.len() < PAGE_BYTES {
            return Err(PageFault::Short);
        }
        let header = WalPageHeader::decode(page, self.of.version)?;
        if header.address != address {
            return Err(PageFault::OtherAddress { found: header.address });
        }
        if header.long.is_some() != opens_segment {
            return Err(PageFault::WrongHeaderLength);
        }
        match header.long {
            Some(long) if long.system_identifier != self.of.system => {
                Err(PageFault::ForeignSystem { found: long.system_identifier })
            }
            _ => Ok(header),
        }
    }

    /// Fits the page to what went before it.
    fn join(&mut self, header: &WalPageHeader) -> Result<(), PageFault> {
        if header.overwrites_lost_record {
            self.at = At::Record;
            return Ok(());
        }
        let missing = match &self.at {
            At::Unknown if header.begins_inside_record => {
                self.at = At::Rest(header.remaining);
                return Ok(());
            }
            At::Unknown | At::Record => {
                self.at = At::Record;
                0
            }
            At::Rest(missing) => *missing,
            At::Inside(assembly) => assembly.missing(),
            At::Switched | At::Ended => 0,
        };
        let continued = if header.begins_inside_record { header.remaining } else { 0 };
        (continued == missing).then_some(()).ok_or(PageFault::NotContinued)
    }

    /// Takes what belongs together from `rest`; returns how many bytes, or `None` when nothing more is to be read here.
    fn step(&mut self, here: Lsn, rest: &[u8]) -> Option<usize> {
        match &mut self.at {
            At::Rest(missing) => {
                let count = rest.len().min(usize::try_from(*missing).unwrap_or(usize::MAX));
                *missing = missing.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
                if *missing == 0 {
                    self.at = At::Record;
                }
                Some(count)
            }
            At::Record => self.begin(here, rest),
            At::Inside(assembly) => {
                let count = assembly.take(rest);
                if assembly.missing() > 0 {
                    return Some(count);
                }
                let end = Lsn(here.0.saturating_add(count as u64));
                self.complete(end).then_some(count)
            }
            At::Unknown | At::Switched | At::Ended => None,
        }
    }

    fn begin(&mut self, here: Lsn, rest: &[u8]) -> Option<usize> {
        let total = u32_at(rest, 0);
        if total == 0 {
            self.end(WalEnded::NothingWritten { at: here });
            return None;
        }
        match Assembly::begin(here, total) {
            Ok(assembly) => {
                self.at = At::Inside(Box::new(assembly));
                Some(0)
            }
            Err(fault) => {
                self.end(WalEnded::Record { at: here, fault });
                None
            }
        }
    }

    /// A record is whole: checks and counts it. Whether the walk goes on in this page.
    fn complete(&mut self, end: Lsn) -> bool {
        let At::Inside(assembly) = std::mem::replace(&mut self.at, At::Record) else { return false };
        let start = assembly.start;
        match assembly.finish(self.previous) {
            Ok(Whole { is_switch, commit_time }) => {
                let record = RecordAt { start, end };
                self.previous = Some(start);
                self.first = self.first.or(Some(record));
                self.last = Some(record);
                self.latest_commit = self.latest_commit.max(commit_time);
                if is_switch {
                    self.at = At::Switched;
                }
                !is_switch
            }
            Err(fault) => {
                self.end(WalEnded::Record { at: start, fault });
                false
            }
        }
    }
}

fn aligned(position: usize) -> usize {
    position.next_multiple_of(ALIGNMENT)
}
