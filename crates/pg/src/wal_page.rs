//! Headers of WAL pages, and what a segment's first forty bytes say about it.
//!
//! Promises: [`identify_segment`] tells whether a file is the segment its name claims, with an error of its own
//! for each way in which it is not. Deliberately does not read records: a segment that is identified may still be
//! damaged further on.

use crate::bytes::{u16_at, u32_at, u64_at};
use crate::lsn::Lsn;
use crate::page::PAGE_BYTES_U32;
use crate::segment::{SegmentError, SegmentName, WalSegmentSize};
use crate::system_identifier::SystemIdentifier;
use crate::timeline::{History, Timeline};
use crate::version::Version;

/// The length of the header on a segment's first page, in bytes: what [`identify_segment`] needs.
pub const LONG_HEADER_BYTES: usize = 40;
/// The length of the header on every other page.
pub const SHORT_HEADER_BYTES: usize = 24;

const INFO_FIRST_IS_CONTRECORD: u16 = 0x1;
const INFO_LONG_HEADER: u16 = 0x2;
// 0x4 says that backup blocks may be removed; nothing here depends on it.
const INFO_FIRST_IS_OVERWRITE_CONTRECORD: u16 = 0x8;
const INFO_ALL: u16 = 0xF;

/// The header of a WAL page (`src/include/access/xlog_internal.h`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalPageHeader {
    /// The version that wrote it.
    pub version: Version,
    /// The timeline of the first record on the page.
    pub timeline: Timeline,
    /// The page's own address.
    pub address: Lsn,
    /// Whether the page begins with the rest of a record from the page before.
    pub begins_inside_record: bool,
    /// Whether the record that was to be continued here is lost and overwritten (after a crash).
    pub overwrites_lost_record: bool,
    /// How many bytes of that record were still missing at the beginning of the page.
    pub remaining: u32,
    /// What only the first page of a segment says.
    pub long: Option<LongHeader>,
}

/// The part of the header that only the first page of a segment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LongHeader {
    /// The cluster that wrote it.
    pub system_identifier: SystemIdentifier,
    /// The size of its segments, in bytes, unchecked.
    pub segment_bytes: u32,
    /// The size of its WAL pages, in bytes, unchecked.
    pub block_bytes: u32,
}

/// What a segment has to be.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedSegment<'a> {
    /// Its name.
    pub name: SegmentName,
    /// The size of the cluster's segments.
    pub size: WalSegmentSize,
    /// The cluster.
    pub system_identifier: SystemIdentifier,
    /// The cluster's version.
    pub version: Version,
    /// The ancestry of the timeline in the name; [`History::root`] where it has no history file.
    pub history: &'a History,
}

/// Why bytes are not the beginning of the expected segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum WalPageError {
    #[error("it is not WAL: {reason}")]
    NotWal { reason: &'static str },
    #[error(
        "it is not WAL of PostgreSQL {expected}: its first bytes are {magic:04X}, as no supported version writes"
    )]
    UnknownMagic { expected: Version, magic: u16 },
    #[error("it was written by PostgreSQL {found}, not {expected}")]
    OtherVersion { expected: Version, found: Version },
    #[error("it belongs to another cluster: its system identifier is {found}, not {expected}")]
    ForeignSystem { expected: SystemIdentifier, found: SystemIdentifier },
    #[error("its segments are {found} bytes long, not {}", .expected.bytes())]
    WrongSegmentSize { expected: WalSegmentSize, found: u32 },
    #[error("its WAL pages are {found} bytes long; only 8192 is supported")]
    WrongBlockSize { found: u32 },
    #[error("its content begins at {found}, but its name stands for {expected}")]
    WrongAddress { expected: Lsn, found: Lsn },
    #[error("its content begins on timeline {found}, which has no part in this segment of timeline {named}")]
    WrongTimeline { named: Timeline, found: Timeline },
    #[error("the history given is that of timeline {given}, but the name says timeline {named}")]
    HistoryOfOther { named: Timeline, given: Timeline },
    #[error("its name cannot be right")]
    Name(#[from] SegmentError),
}

impl WalPageHeader {
    /// Reads the header of a page: 24 bytes, or 40 where the header says that it is a long one.
    ///
    /// `expected` is the version that should have written it; the bits of another one may mean other things.
    pub fn decode(bytes: &[u8], expected: Version) -> Result<Self, WalPageError> {
        let header = bytes.first_chunk::<SHORT_HEADER_BYTES>();
        let header = header.ok_or(WalPageError::NotWal { reason: "it is shorter than a page header" })?;
        if header.iter().all(|byte| *byte == 0) {
            return Err(WalPageError::NotWal {
                reason: "it begins with zeros, as a segment not yet written does",
            });
        }
        let version = check_magic(u16_at(header, 0).unwrap_or_default(), expected)?;
        let info = u16_at(header, 2).unwrap_or_default();
        if info & !INFO_ALL != 0 {
            return Err(WalPageError::NotWal { reason: "its page header has flags that no server sets" });
        }
        let timeline = Timeline::new(u32_at(header, 4).unwrap_or_default());
        let is_long = info & INFO_LONG_HEADER != 0;
        Ok(Self {
            version,
            timeline: timeline.ok_or(WalPageError::NotWal { reason: "its page header names timeline 0" })?,
            address: Lsn(u64_at(header, 8).unwrap_or_default()),
            begins_inside_record: info & INFO_FIRST_IS_CONTRECORD != 0,
            overwrites_lost_record: info & INFO_FIRST_IS_OVERWRITE_CONTRECORD != 0,
            remaining: u32_at(header, 16).unwrap_or_default(),
            long: is_long.then(|| LongHeader::decode(bytes)).transpose()?,
        })
    }
}

impl LongHeader {
    fn decode(bytes: &[u8]) -> Result<Self, WalPageError> {
        let read = || {
            Some(Self {
                system_identifier: SystemIdentifier(u64_at(bytes, 24)?),
                segment_bytes: u32_at(bytes, 32)?,
                block_bytes: u32_at(bytes, 36)?,
            })
        };
        read().ok_or(WalPageError::NotWal { reason: "it ends inside its page header" })
    }
}

fn check_magic(magic: u16, expected: Version) -> Result<Version, WalPageError> {
    match Version::from_wal_magic(magic) {
        Some(found) if found == expected => Ok(found),
        Some(found) => Err(WalPageError::OtherVersion { expected, found }),
        None => Err(WalPageError::UnknownMagic { expected, magic }),
    }
}

/// Whether a file that begins with `first` (at least 40 bytes) is the segment its name says.
///
/// The timeline on the first page may be an ancestor's: the first segment of a timeline begins with a copy of its
/// parent's. Any other timeline that has no part in this stretch of WAL is refused.
pub fn identify_segment(first: &[u8], expected: &ExpectedSegment<'_>) -> Result<WalPageHeader, WalPageError> {
    let header = WalPageHeader::decode(first, expected.version)?;
    let long =
        header.long.ok_or(WalPageError::NotWal { reason: "it does not begin at a segment's first page" })?;
    if long.system_identifier != expected.system_identifier {
        let found = long.system_identifier;
        return Err(WalPageError::ForeignSystem { expected: expected.system_identifier, found });
    }
    if long.segment_bytes != expected.size.bytes_u32() {
        return Err(WalPageError::WrongSegmentSize { expected: expected.size, found: long.segment_bytes });
    }
    if long.block_bytes != PAGE_BYTES_U32 {
        return Err(WalPageError::WrongBlockSize { found: long.block_bytes });
    }
    let address = expected.name.first_lsn(expected.size)?;
    if header.address != address {
        return Err(WalPageError::WrongAddress { expected: address, found: header.address });
    }
    check_timeline(header.timeline, expected)?;
    Ok(header)
}

/// The page's timeline must have a part in the segment: begun before its end, and not left before its start.
fn check_timeline(found: Timeline, expected: &ExpectedSegment<'_>) -> Result<(), WalPageError> {
    let (named, given) = (expected.name.timeline(), expected.history.timeline());
    if named != given {
        return Err(WalPageError::HistoryOfOther { named, given });
    }
    let range = expected.name.range(expected.size)?;
    let has_part = |timeline| {
        expected
            .history
            .span(timeline)
            .is_some_and(|span| span.begin < range.end && span.end.is_none_or(|end| end > range.start))
    };
    // A name on a timeline that begins only after the segment is as wrong as a page of a foreign one.
    let fits = has_part(named) && has_part(found);
    fits.then_some(()).ok_or(WalPageError::WrongTimeline { named, found })
}

#[cfg(test)]
mod tests;
