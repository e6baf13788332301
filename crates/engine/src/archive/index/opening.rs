//! What a segment begins with: the rest of a record from before it, put together with what is known of that record.
//!
//! Promises that the record is gathered before all that begin in the segment, so that everything stays in the order of positions.

use seawall_pg::Lsn;
use seawall_pg::wal::resource_manager;
use seawall_pg::wal::{Continuation, Keep, WalOf, WalWalk, Walked};
use seawall_pg::wal_page::{LONG_HEADER_BYTES, SHORT_HEADER_BYTES};
use seawall_repo::wal_index::Begins;

use super::carry::Carry;
use super::gather::Gather;
use super::open_record::OpenRecord;
use super::segment::NotIndexed;

const XLOG_SWITCH: u8 = 0x40;
const PAGE_BYTES: usize = seawall_pg::PAGE_BYTES;

/// The beginning of a segment while it is taken.
#[derive(Debug)]
pub(super) struct Opening {
    of: WalOf,
    /// Where the record begins that is open before the segment, if one is and it is known.
    start: Option<Lsn>,
    /// What of it was put together; none once it is whole.
    carry: Option<Carry>,
    joined: Joined,
}

/// What became of the open record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joined {
    Not,
    Whole,
    /// It is a switch, and ends where the segment has hardly begun: nothing follows.
    Switch,
}

impl Opening {
    pub(super) fn new(of: WalOf, carry: Option<Carry>) -> Self {
        Self { of, start: carry.as_ref().map(Carry::start), carry, joined: Joined::Not }
    }

    /// Takes as much of the next pages as belongs to the open record. One that was only kept and does not fit is forgotten.
    pub(super) fn take(&mut self, at: Lsn, bytes: &[u8], gather: &mut Gather) -> Result<(), NotIndexed> {
        let Some(sure) = self.carry.as_ref().map(|carry| carry.sure) else { return Ok(()) };
        match self.go_on(at, bytes, gather) {
            Err(NotIndexed::Rest { .. }) if !sure => {
                (self.carry, self.start) = (None, None);
                Ok(())
            }
            done => done,
        }
    }

    fn go_on(&mut self, at: Lsn, bytes: &[u8], gather: &mut Gather) -> Result<(), NotIndexed> {
        let Some(carry) = &mut self.carry else { return Ok(()) };
        let pages = pages_of_rest(carry.joiner.missing(), self.of.size.offset_of(at) == 0);
        let mut walk = WalWalk::new(self.of, at, Keep::Meaning);
        walk.take(bytes.get(..pages.saturating_mul(PAGE_BYTES)).unwrap_or(bytes), &mut |_| {});
        let walked = walk.finish();
        let start = carry.start();
        let unfit = |why: &dyn std::fmt::Display| NotIndexed::Rest { at: start, why: why.to_string() };
        if walked.begins_with_overwrite || walked.overwritten > 0 {
            self.carry = None;
            return Ok(());
        }
        let Some(Continuation { remaining, piece, end, .. }) = walked.continuation else {
            return Err(unfit(&"it is left open, and the segment begins with another one"));
        };
        carry.joiner.add(remaining, &piece).map_err(|fault| unfit(&fault))?;
        if let Some(end) = end {
            let record = carry.joiner.finish(end).map_err(|fault| unfit(&fault))?;
            gather.record(&record).map_err(|fault| NotIndexed::Meaning { at: start, fault })?;
            let is_switch = record.header.rmgr == resource_manager::XLOG && record.operation() == XLOG_SWITCH;
            self.joined = if is_switch { Joined::Switch } else { Joined::Whole };
            self.carry = None;
        }
        Ok(())
    }

    /// How many records ended with it.
    pub(super) fn joined(&self) -> u64 {
        u64::from(self.joined != Joined::Not)
    }

    /// Where the switch begins that ends here.
    pub(super) fn switch(&self) -> Option<Lsn> {
        self.start.filter(|_| self.joined == Joined::Switch)
    }

    /// What is open at the end of the segment, as far as it is known.
    pub(super) fn left_open(&self, walked: &Walked) -> Option<OpenRecord> {
        if let Some(open) = &walked.unfinished {
            return Some(OpenRecord::begun(open.clone()));
        }
        let carry = self.carry.as_ref().filter(|_| is_filled(walked))?;
        Some(carry.record.clone().behind(walked.continuation.as_ref()?))
    }

    /// How the segment begins.
    pub(super) fn begins(&self, walked: &Walked, given_up: Option<Lsn>) -> Result<Begins, NotIndexed> {
        let given_up_here = walked.begins_with_overwrite || is_given_up(walked);
        Ok(match (given_up_here, &walked.continuation, self.start) {
            (true, _, _) => Begins::Overwritten { of: given_up.ok_or(NotIndexed::Overwrite)? },
            (false, None, _) => Begins::Record,
            (false, Some(_), Some(of)) => Begins::Rest { of },
            (false, Some(_), None) => Begins::UnknownRest,
        })
    }
}

/// Whether the record that goes on at the start of a walk is given up within it.
pub(super) fn is_given_up(walked: &Walked) -> bool {
    walked.continuation.as_ref().is_some_and(|rest| rest.lost_at.is_some())
}

/// Whether that record fills all that was walked.
pub(super) fn is_filled(walked: &Walked) -> bool {
    walked.continuation.as_ref().is_some_and(|rest| rest.end.is_none() && rest.lost_at.is_none())
}

/// How many pages, from here on, so many bytes of a record take.
pub(super) fn pages_of_rest(missing: u32, long_header: bool) -> usize {
    let first = PAGE_BYTES - if long_header { LONG_HEADER_BYTES } else { SHORT_HEADER_BYTES };
    let behind = (missing as usize).saturating_sub(first);
    1 + behind.div_ceil(PAGE_BYTES - SHORT_HEADER_BYTES)
}
