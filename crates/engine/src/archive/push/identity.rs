//! Whether a segment belongs where its name says.
//!
//! Promises: only what is certainly wrong refuses: another system identifier, another address or segment size, a timeline
//! outside the history. What cannot be read is let through with the reason: PostgreSQL keeps every segment until it is
//! stored, so a mistake of ours must not fill `pg_wal`.
//! Deliberately does not read records.

use seawall_pg::{
    ExpectedSegment, History, HistoryFile, SegmentName, Timeline, WalPageError, identify_segment,
};

use super::source::WalSource;

/// What is known of where a timeline came from.
#[derive(Debug)]
pub(super) enum Ancestry {
    Known(History),
    /// Not read, and why.
    Unknown(String),
}

impl Ancestry {
    /// The history, if it is known.
    pub(super) fn known(self) -> Option<History> {
        match self {
            Self::Known(history) => Some(history),
            Self::Unknown(_) => None,
        }
    }

    /// From the content of a history file.
    pub(super) fn parse(timeline: Timeline, content: &[u8]) -> Self {
        match HistoryFile::parse(timeline, content) {
            Ok(file) => Self::Known(History::from_file(&file)),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }
}

/// What became of the look at a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// It is what its name says.
    Right,
    /// It could not be told; stored all the same.
    Unparsed(String),
}

/// Compares the first bytes of a segment with its name and the cluster it comes from.
pub(super) fn identify(
    first: &[u8],
    name: SegmentName,
    source: &WalSource,
    ancestry: &Ancestry,
) -> Result<Identity, WalPageError> {
    let alone = History::root(name.timeline());
    let history = match ancestry {
        Ancestry::Known(history) => history,
        Ancestry::Unknown(_) => &alone,
    };
    let control = &source.control;
    let expected = ExpectedSegment {
        name,
        size: control.wal_segment_size,
        system_identifier: control.system_identifier,
        version: control.version,
        history,
    };
    match (identify_as_any_version(first, expected), ancestry) {
        (Err(WalPageError::WrongTimeline { .. }), Ancestry::Unknown(why)) => {
            Ok(Identity::Unparsed(why.clone()))
        }
        (Err(error), _) if refuses(&error) => Err(error),
        (Err(error), _) => Ok(Identity::Unparsed(error.to_string())),
        (Ok(()), _) => Ok(Identity::Right),
    }
}

/// WAL of another version is no reason to refuse, but what else is wrong with it may be.
fn identify_as_any_version(first: &[u8], expected: ExpectedSegment<'_>) -> Result<(), WalPageError> {
    match identify_segment(first, &expected) {
        Err(WalPageError::OtherVersion { expected: wanted, found }) => {
            identify_segment(first, &ExpectedSegment { version: found, ..expected })?;
            Err(WalPageError::OtherVersion { expected: wanted, found })
        }
        other => other.map(drop),
    }
}

fn refuses(error: &WalPageError) -> bool {
    match error {
        WalPageError::ForeignSystem { .. }
        | WalPageError::WrongSegmentSize { .. }
        | WalPageError::WrongAddress { .. }
        | WalPageError::WrongTimeline { .. }
        | WalPageError::Name(_) => true,
        WalPageError::NotWal { .. }
        | WalPageError::UnknownMagic { .. }
        | WalPageError::OtherVersion { .. }
        | WalPageError::WrongBlockSize { .. }
        | WalPageError::HistoryOfOther { .. } => false,
    }
}
