//! Folders of segments: 4 GiB of WAL of one timeline, called by the first 16 digits of its segments' names.
//!
//! Promises: read strictly and printed in one spelling, as segments' names are; a folder's segments are told for every size.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{SegmentError, SegmentName, SegmentNo, WalSegmentSize};
use crate::lsn::Lsn;
use crate::timeline::{Timeline, parse_hex8};

/// The segments whose positions have one upper half, on one timeline. Sorts by timeline, then position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalFolder {
    timeline: Timeline,
    high: u32,
}

impl WalFolder {
    /// The folder that a segment lies in.
    pub fn of(segment: SegmentName) -> Self {
        Self { timeline: segment.timeline, high: segment.high }
    }

    /// The timeline.
    pub fn timeline(self) -> Timeline {
        self.timeline
    }

    /// How many segments it has when it is full: 4 to 4,096.
    pub fn count(size: WalSegmentSize) -> u32 {
        u32::MAX.checked_shr(size.bytes_u32().trailing_zeros()).unwrap_or(0).saturating_add(1)
    }

    /// The numbers of its first and last segment.
    pub fn numbers(self, size: WalSegmentSize) -> (SegmentNo, SegmentNo) {
        let number = |low| size.segment_of(Lsn::from_halves(self.high, low));
        (number(0), number(u32::MAX))
    }

    /// The names of its segments, in order.
    pub fn segments(self, size: WalSegmentSize) -> impl ExactSizeIterator<Item = SegmentName> {
        (0..Self::count(size)).map(move |within| SegmentName {
            timeline: self.timeline,
            high: self.high,
            within,
        })
    }

    /// The folder before it on the same timeline; none before the first.
    pub fn prev(self) -> Option<Self> {
        self.high.checked_sub(1).map(|high| Self { high, ..self })
    }
}

impl fmt::Display for WalFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}", self.timeline, self.high)
    }
}

impl FromStr for WalFolder {
    type Err = SegmentError;

    fn from_str(text: &str) -> Result<Self, SegmentError> {
        let halves = || {
            let (timeline, high) = text.split_at_checked(8).filter(|_| text.len() == 16)?;
            Some(Self { timeline: Timeline::from_name(timeline)?, high: parse_hex8(high)? })
        };
        halves().ok_or_else(|| SegmentError::Folder { text: text.to_owned() })
    }
}

impl Serialize for WalFolder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WalFolder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_every_segment_that_says_it_lies_there() {
        for (mebibytes, count) in [(1, 4096), (16, 256), (64, 64), (256, 16), (1024, 4)] {
            let size = WalSegmentSize::new(mebibytes << 20).unwrap();
            let folder: WalFolder = "0000000200000A2B".parse().unwrap();
            let segments: Vec<SegmentName> = folder.segments(size).collect();
            assert_eq!((segments.len(), WalFolder::count(size)), (count as usize, count));
            let (first, last) = folder.numbers(size);
            assert_eq!(
                (segments[0].number(size), segments[segments.len() - 1].number(size)),
                (Ok(first), Ok(last))
            );
            assert_eq!(last.0 - first.0 + 1, u64::from(count));
            assert!(
                segments.iter().all(
                    |segment| WalFolder::of(*segment) == folder && segment.folder() == folder.to_string()
                )
            );
            assert_ne!(WalFolder::of(segments[segments.len() - 1].next(size).unwrap()), folder);
        }
    }

    #[test]
    fn other_spellings_are_no_folders() {
        for text in [
            "",
            "0000000200000A2",
            "0000000200000a2b",
            "0000000000000A2B",
            "0000000200000A2B0",
            "00000002/0000A2B",
            "é000000200000A2",
        ] {
            assert!(text.parse::<WalFolder>().is_err(), "{text}");
        }
        assert_eq!(
            "0000000200000001".parse::<WalFolder>().unwrap().prev().unwrap().to_string(),
            "0000000200000000"
        );
        assert_eq!("0000000200000000".parse::<WalFolder>().unwrap().prev(), None);
    }
}
