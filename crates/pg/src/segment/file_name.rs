//! Every kind of name that PostgreSQL gives to its archiver.
//!
//! Promises: four kinds, one spelling each, nothing else: what is not one of them is refused before it can
//! become a path or an object's name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::lsn::Lsn;
use crate::segment::{SegmentError, SegmentName, WalSegmentSize};
use crate::timeline::{Timeline, parse_hex8};

/// The name of a file in the WAL archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalFileName {
    /// A whole segment.
    Segment(SegmentName),
    /// `<segment>.partial`: the last, unfinished segment of a timeline that was left by a promotion.
    Partial(SegmentName),
    /// `<segment>.<offset>.backup`: written on the primary at the end of a backup.
    BackupHistory {
        /// The segment in which the backup starts.
        segment: SegmentName,
        /// Where in that segment, in bytes.
        offset: u32,
    },
    /// `<timeline>.history`: which timelines this one grew from.
    TimelineHistory(Timeline),
}

/// Why a name is not one that PostgreSQL archives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a name that PostgreSQL archives; expected a segment such as 00000001000000A200000041, \
     or one ending in .partial, .backup or .history"
)]
pub struct WalFileNameError {
    /// What was given.
    pub text: String,
}

impl WalFileName {
    /// The segment in the name; history files have none.
    pub fn segment(self) -> Option<SegmentName> {
        match self {
            Self::Segment(segment) | Self::Partial(segment) | Self::BackupHistory { segment, .. } => {
                Some(segment)
            }
            Self::TimelineHistory(_) => None,
        }
    }

    /// The timeline in the name.
    pub fn timeline(self) -> Timeline {
        match self {
            Self::TimelineHistory(timeline) => timeline,
            Self::Segment(segment) | Self::Partial(segment) | Self::BackupHistory { segment, .. } => {
                segment.timeline()
            }
        }
    }

    /// The position at which the backup of a backup history file starts; `None` for other kinds.
    pub fn backup_start(self, size: WalSegmentSize) -> Result<Option<Lsn>, SegmentError> {
        let Self::BackupHistory { segment, offset } = self else { return Ok(None) };
        let first = segment.first_lsn(size)?;
        let inside = size.bytes_u32() > offset;
        let start = inside.then(|| first.checked_add(u64::from(offset))).flatten();
        start.map(Some).ok_or(SegmentError::NotOfSize { name: segment, size })
    }
}

impl fmt::Display for WalFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(segment) => write!(f, "{segment}"),
            Self::Partial(segment) => write!(f, "{segment}.partial"),
            Self::BackupHistory { segment, offset } => write!(f, "{segment}.{offset:08X}.backup"),
            Self::TimelineHistory(timeline) => write!(f, "{timeline:08X}.history"),
        }
    }
}

impl FromStr for WalFileName {
    type Err = WalFileNameError;

    fn from_str(text: &str) -> Result<Self, WalFileNameError> {
        parse(text).ok_or_else(|| WalFileNameError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<WalFileName> {
    let Some((stem, ending)) = text.split_once('.') else {
        return text.parse().ok().map(WalFileName::Segment);
    };
    match ending {
        "partial" => stem.parse().ok().map(WalFileName::Partial),
        "history" => Timeline::from_name(stem).map(WalFileName::TimelineHistory),
        _ => {
            let offset = parse_hex8(ending.strip_suffix(".backup")?)?;
            Some(WalFileName::BackupHistory { segment: stem.parse().ok()?, offset })
        }
    }
}

impl Serialize for WalFileName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WalFileName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_four_kinds_are_read() {
        let segment: SegmentName = "00000001000000A200000041".parse().unwrap();
        let read = |text: &str| text.parse::<WalFileName>().unwrap();
        assert_eq!(read("00000001000000A200000041"), WalFileName::Segment(segment));
        assert_eq!(read("00000001000000A200000041.partial"), WalFileName::Partial(segment));
        assert_eq!(read("0000000A.history"), WalFileName::TimelineHistory(Timeline::new(10).unwrap()));
        let backup = read("00000001000000A200000041.00000028.backup");
        assert_eq!(backup, WalFileName::BackupHistory { segment, offset: 0x28 });
        assert_eq!(backup.backup_start(WalSegmentSize::DEFAULT), Ok(Some(Lsn(0xA2_4100_0028))));
        assert_eq!(backup.segment(), Some(segment));
        assert_eq!(read("0000000A.history").segment(), None);
    }

    #[test]
    fn offset_beyond_the_segment_is_no_start() {
        let name: WalFileName = "000000010000000000000001.01000000.backup".parse().unwrap();
        assert!(name.backup_start(WalSegmentSize::DEFAULT).is_err());
        assert!(name.backup_start(WalSegmentSize::new(64 << 20).unwrap()).is_ok());
    }

    #[test]
    fn what_the_server_never_archives_is_refused() {
        for bad in [
            "",
            "RECOVERYXLOG",
            "xlogtemp.123",
            "00000000.history",
            "0000000a.history",
            "0000000A.history.tmp",
            "../00000001000000A200000041",
            "00000001000000A200000041.",
            "00000001000000A200000041.done",
            "00000001000000A200000041.partial.partial",
            "00000001000000A200000041.28.backup",
            "00000001000000A200000041.00000028.backup\n",
            "00000001000000A200000041.backup",
        ] {
            assert_eq!(bad.parse::<WalFileName>(), Err(WalFileNameError { text: bad.to_owned() }));
        }
    }

    fn any_name() -> impl Strategy<Value = WalFileName> {
        let segment = (1u32.., any::<u64>(), 20u32..=30).prop_map(|(timeline, lsn, shift)| {
            let size = WalSegmentSize::new(1 << shift).unwrap();
            SegmentName::of(Timeline::new(timeline).unwrap(), Lsn(lsn), size)
        });
        (segment, any::<u32>(), 0..4).prop_map(|(segment, offset, kind)| match kind {
            0 => WalFileName::Segment(segment),
            1 => WalFileName::Partial(segment),
            2 => WalFileName::BackupHistory { segment, offset },
            _ => WalFileName::TimelineHistory(segment.timeline()),
        })
    }

    proptest! {
        #[test]
        fn text_round_trips(name in any_name()) {
            prop_assert_eq!(name.to_string().parse::<WalFileName>(), Ok(name));
            let json = serde_json::to_string(&name).unwrap();
            prop_assert_eq!(serde_json::from_str::<WalFileName>(&json).unwrap(), name);
        }

        #[test]
        fn what_is_read_prints_the_same(text in "[0-9A-F]{8,24}(\\.(partial|history|[0-9A-F]{8}\\.backup))?") {
            if let Ok(name) = text.parse::<WalFileName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
