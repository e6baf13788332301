//! WAL segments: sizes, numbers and names, and (in [`file_name`]) every kind of name that is archived.
//!
//! Promises: names are read strictly (one spelling) and printed as PostgreSQL does for every segment size
//! (`src/include/access/xlog_internal.h`); arithmetic at the end of the address space saturates or says no.
//! Deliberately does not say what a file holds: that is `wal_page`'s question.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::lsn::Lsn;
use crate::timeline::{Timeline, parse_hex8};

pub mod file_name;
mod folder;

pub use file_name::{WalFileName, WalFileNameError};
pub use folder::WalFolder;

/// The size of WAL segments of a cluster, in bytes: a power of two from 1 MiB to 1 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct WalSegmentSize(u32);

/// The number of a segment in the WAL stream: its first LSN divided by the segment size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SegmentNo(pub u64);

/// The name of a WAL segment: 24 hexadecimal digits. Sorts by timeline, then position.
///
/// A name can be read without knowing the segment size; what it stands for cannot, so everything about
/// positions asks for the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    timeline: Timeline,
    /// The upper half of the LSNs in the segment.
    high: u32,
    /// Which segment within those 4 GiB.
    within: u32,
}

/// Why a segment, its name or its size is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what the fields are")]
pub enum SegmentError {
    #[error("{bytes} is not a WAL segment size; PostgreSQL knows powers of two from 1 MiB to 1 GiB")]
    Size { bytes: u64 },
    #[error("{text:?} is not the name of a WAL segment, which has 24 digits 0-9A-F and a timeline above 0")]
    Name { text: String },
    #[error(
        "{text:?} is not the name of a folder of WAL segments, which has 16 digits 0-9A-F and a timeline above 0"
    )]
    Folder { text: String },
    #[error("{name} is not the name of a segment of {} MiB; was the cluster made with another size?", .size.mebibytes())]
    NotOfSize { name: SegmentName, size: WalSegmentSize },
    #[error("segment number {} lies beyond the last WAL position", .number.0)]
    BeyondEnd { number: SegmentNo },
}

impl WalSegmentSize {
    /// 16 MiB, what `initdb` takes unless told otherwise.
    pub const DEFAULT: Self = Self(16 << 20);

    /// A segment size in bytes, checked.
    pub fn new(bytes: u32) -> Result<Self, SegmentError> {
        let allowed = bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes);
        allowed.then_some(Self(bytes)).ok_or(SegmentError::Size { bytes: u64::from(bytes) })
    }

    /// The size in bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0)
    }

    /// The size in bytes, as `pg_control` and WAL headers hold it.
    pub fn bytes_u32(self) -> u32 {
        self.0
    }

    /// The size in MiB.
    pub fn mebibytes(self) -> u32 {
        self.0 >> 20
    }

    /// The number of the segment that holds the byte at `lsn`.
    pub fn segment_of(self, lsn: Lsn) -> SegmentNo {
        SegmentNo(lsn.0 >> self.0.trailing_zeros())
    }

    /// The number of the segment that holds the last byte before `end` (`XLByteToPrevSeg`).
    pub fn segment_before(self, end: Lsn) -> SegmentNo {
        self.segment_of(Lsn(end.0.saturating_sub(1)))
    }

    /// How far into its segment the byte at `lsn` lies.
    pub fn offset_of(self, lsn: Lsn) -> u32 {
        lsn.halves().1 & self.0.wrapping_sub(1)
    }
}

impl<'de> Deserialize<'de> for WalSegmentSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl SegmentNo {
    /// The first position in the segment, or `None` for a number beyond the address space.
    pub fn first_lsn(self, size: WalSegmentSize) -> Option<Lsn> {
        self.0.checked_mul(size.bytes()).map(Lsn)
    }

    /// The last position in the segment; the last of all for a number beyond the address space.
    pub fn last_lsn(self, size: WalSegmentSize) -> Lsn {
        Lsn(self.0.saturating_mul(size.bytes()).saturating_add(size.bytes().wrapping_sub(1)))
    }

    /// The positions in the segment, end exclusive. The end of the very last segment is one byte short,
    /// because the address after it does not exist.
    pub fn range(self, size: WalSegmentSize) -> Result<Range<Lsn>, SegmentError> {
        let first = self.first_lsn(size).ok_or(SegmentError::BeyondEnd { number: self })?;
        Ok(first..Lsn(self.last_lsn(size).0.saturating_add(1)))
    }

    /// The number after this one; at the end of all numbers, `None`.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// The number before this one; `None` before the first.
    pub fn prev(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }
}

impl SegmentName {
    /// The name of segment `number` on `timeline`.
    pub fn new(timeline: Timeline, number: SegmentNo, size: WalSegmentSize) -> Result<Self, SegmentError> {
        let first = number.first_lsn(size).ok_or(SegmentError::BeyondEnd { number })?;
        Ok(Self::of(timeline, first, size))
    }

    /// The name of the segment that holds the byte at `lsn`.
    pub fn of(timeline: Timeline, lsn: Lsn, size: WalSegmentSize) -> Self {
        let (high, low) = lsn.halves();
        Self { timeline, high, within: low >> size.bytes_u32().trailing_zeros() }
    }

    /// The timeline in the name.
    pub fn timeline(self) -> Timeline {
        self.timeline
    }

    /// The segment's number; an error when there is no such name for this segment size.
    pub fn number(self, size: WalSegmentSize) -> Result<SegmentNo, SegmentError> {
        self.first_lsn(size).map(|first| size.segment_of(first))
    }

    /// The first position in the segment.
    pub fn first_lsn(self, size: WalSegmentSize) -> Result<Lsn, SegmentError> {
        let low = self.within.checked_mul(size.bytes_u32());
        low.map(|low| Lsn::from_halves(self.high, low)).ok_or(SegmentError::NotOfSize { name: self, size })
    }

    /// The positions in the segment, end exclusive.
    pub fn range(self, size: WalSegmentSize) -> Result<Range<Lsn>, SegmentError> {
        self.number(size)?.range(size)
    }

    /// The segment after this one on the same timeline.
    pub fn next(self, size: WalSegmentSize) -> Result<Self, SegmentError> {
        let number = self.number(size)?;
        let next = number.next().ok_or(SegmentError::BeyondEnd { number })?;
        Self::new(self.timeline, next, size)
    }

    /// The segment before this one on the same timeline; `None` before the first.
    pub fn prev(self, size: WalSegmentSize) -> Result<Option<Self>, SegmentError> {
        match self.number(size)?.prev() {
            Some(number) => Self::new(self.timeline, number, size).map(Some),
            None => Ok(None),
        }
    }

    /// The folder of the repository it belongs to: the first 16 digits of the name.
    pub fn folder(self) -> String {
        WalFolder::of(self).to_string()
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline, self.high, self.within)
    }
}

impl FromStr for SegmentName {
    type Err = SegmentError;

    fn from_str(text: &str) -> Result<Self, SegmentError> {
        parse_name(text).ok_or_else(|| SegmentError::Name { text: text.to_owned() })
    }
}

fn parse_name(text: &str) -> Option<SegmentName> {
    if text.len() != 24 {
        return None;
    }
    let timeline = Timeline::from_name(text.get(0..8)?)?;
    Some(SegmentName {
        timeline,
        high: parse_hex8(text.get(8..16)?)?,
        within: parse_hex8(text.get(16..24)?)?,
    })
}

impl Serialize for SegmentName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SegmentName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
