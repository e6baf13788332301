//! What is told of a segment's records while it passes.
//!
//! Promises that nothing here keeps a segment from being stored: what cannot be read makes no index, and the reason goes into the
//! object's header and is told.

use std::path::PathBuf;
use std::sync::Arc;

use seawall_pg::wal::WalOf;
use seawall_pg::{History, SegmentName, WalFileName};
use seawall_repo::wal_object::Indexed;

use super::identity::Identity;
use super::source::WalSource;
use crate::archive::index::{Ahead, Indexer, find_carry};

/// A header has room for a sentence, not for whatever a damaged file makes an error say.
const REASON_CHARS_MAX: usize = 300;

/// What will be told of a file.
#[derive(Debug)]
pub(super) enum Plan {
    /// Nothing is to be told of a file of this kind.
    NotASegment,
    /// Nothing can be told.
    Unparsed(String),
    /// A segment, by the history of its timeline.
    Segment(SegmentName, History),
}

/// An index on its way.
#[derive(Debug)]
pub(super) enum Indexing {
    Not(Told),
    Segment(Box<(Indexer, Ahead)>),
}

/// What is told in the end.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// For the object.
    pub(super) index: Indexed,
    /// Why a segment has none, where it should have one.
    pub(super) alarm: Option<String>,
}

impl Told {
    /// The reader of records failed: a fault of this program.
    pub(super) fn panicked() -> Self {
        Self::failed("the reader of records panicked")
    }

    fn failed(why: &str) -> Self {
        let reason: String = why.chars().take(REASON_CHARS_MAX).collect();
        Self { index: Indexed::Not(reason.clone()), alarm: Some(reason) }
    }
}

impl Plan {
    pub(super) fn new(file: WalFileName, identity: Identity, history: Option<History>) -> Self {
        match (identity, file, history) {
            (Identity::Unparsed(why), _, _) => Self::Unparsed(why),
            (Identity::Right, WalFileName::Segment(name), Some(history)) => Self::Segment(name, history),
            (Identity::Right, WalFileName::Segment(name), None) => {
                Self::Segment(name, History::root(name.timeline()))
            }
            (Identity::Right, _, _) => Self::NotASegment,
        }
    }

    /// Begins. Looks into the files beside the segment.
    pub(super) fn begin(&self, source: &WalSource) -> Indexing {
        let told = |why: &str| Indexing::Not(Told { alarm: None, ..Told::failed(why) });
        let (name, history) = match self {
            Self::NotASegment => return told("not a whole segment"),
            // That it could not be identified is told already.
            Self::Unparsed(why) => return told(why),
            Self::Segment(name, history) => (*name, history),
        };
        let control = &source.control;
        let of = WalOf {
            version: control.version,
            system: control.system_identifier,
            size: control.wal_segment_size,
        };
        let first = match name.first_lsn(of.size) {
            Ok(first) => first,
            Err(error) => return Indexing::Not(Told::failed(&error.to_string())),
        };
        let beside = source.path.parent().map(PathBuf::from).unwrap_or_default();
        let indexer = Indexer::new(of, first, find_carry(of, &beside, name, history));
        let ahead = Ahead { of, directory: beside, segment: name, clock: Arc::clone(&source.clock) };
        Indexing::Segment(Box::new((indexer, ahead)))
    }
}

impl Indexing {
    /// Takes the next bytes of the file.
    pub(super) fn take(&mut self, plain: &[u8]) {
        if let Self::Segment(segment) = self {
            segment.0.take(plain);
        }
    }

    /// What is told, once all was taken.
    pub(super) fn finish(self) -> Told {
        let (indexer, ahead) = match self {
            Self::Not(told) => return told,
            Self::Segment(segment) => *segment,
        };
        let made = indexer.finish(Some(&ahead)).map_err(|error| error.to_string()).and_then(|made| {
            let front = made.index.encode().map_err(|error| error.to_string())?;
            Ok(Indexed::Index { front, transactions: made.transactions })
        });
        match made {
            Ok(index) => Told { index, alarm: None },
            Err(why) => Told::failed(&why),
        }
    }
}
