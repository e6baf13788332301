//! What is told of a segment's records while it passes.
//!
//! Promises that nothing here keeps a segment from being stored, in parts or whole: what cannot be read, a panic of the reader and an
//! index too long for its object make no index, and the reason goes into the object's header and is told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use seawall_pg::wal::WalOf;
use seawall_pg::{History, SegmentName, WalFileName};
use seawall_repo::wal_object::Indexed;

use super::identity::Identity;
use super::source::WalSource;
use crate::archive::index::{Ahead, Indexer, OpenRecord, find_carry, kept_open_record};

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
    /// The record that goes on behind it, for the push of the next segment.
    pub(super) open: Option<OpenRecord>,
}

impl Told {
    fn panicked() -> Self {
        Self::failed("the reader of records panicked")
    }

    fn failed(why: &str) -> Self {
        let reason: String = why.chars().take(REASON_CHARS_MAX).collect();
        Self { index: Indexed::Not(reason.clone()), alarm: Some(reason), open: None }
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
        guarded(|| self.look(source)).unwrap_or_else(|| Indexing::Not(Told::panicked()))
    }

    fn look(&self, source: &WalSource) -> Indexing {
        let told = |why: &str| Indexing::Not(Told { alarm: None, ..Told::failed(why) });
        let (name, history) = match self {
            Self::NotASegment => return told("not a whole segment"),
            // That it could not be identified is told already.
            Self::Unparsed(why) => return told(why),
            Self::Segment(name, history) => (*name, history),
        };
        let of = WalOf::by(&source.control);
        let first = match name.first_lsn(of.size) {
            Ok(first) => first,
            Err(error) => return Indexing::Not(Told::failed(&error.to_string())),
        };
        let beside = source.path.parent().map(PathBuf::from).unwrap_or_default();
        let carry = find_carry(of, &beside, name, history);
        let carry = carry.or_else(|| kept_open_record(&source.data_directory, of, name, history));
        let indexer = Indexer::new(of, first, carry);
        let ahead = Ahead { of, directory: beside, segment: name, clock: Arc::clone(&source.clock) };
        Indexing::Segment(Box::new((indexer, ahead)))
    }
}

impl Indexing {
    /// Takes the next bytes of the file.
    pub(super) fn take(&mut self, plain: &[u8]) {
        if let Self::Segment(segment) = self
            && guarded(|| segment.0.take(plain)).is_none()
        {
            *self = Self::Not(Told::panicked());
        }
    }

    /// What is told, once all was taken. Blocking: it may wait for the next segment's first bytes.
    pub(super) fn finish(self) -> Told {
        let (indexer, ahead) = match self {
            Self::Not(told) => return told,
            Self::Segment(segment) => *segment,
        };
        match guarded(|| encoded(indexer, &ahead)) {
            Some(Ok((index, open))) => Told { index, alarm: None, open },
            Some(Err(why)) => Told::failed(&why),
            None => Told::panicked(),
        }
    }
}

fn encoded(indexer: Indexer, ahead: &Ahead) -> Result<(Indexed, Option<OpenRecord>), String> {
    let made = indexer.finish(Some(ahead)).map_err(|error| error.to_string())?;
    let front = made.index.encode().map_err(|error| error.to_string())?;
    let index = Indexed::new(front, made.transactions).map_err(|error| error.to_string())?;
    Ok((index, made.open))
}

/// What `work` gives; none where it panicked, which is a fault of this program.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    // Whatever it left half done is thrown away by the callers.
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_reader_is_an_answer() {
        assert_eq!(guarded(|| 7), Some(7));
        assert_eq!(guarded(|| panic!("a fault of this program")), None::<()>);
        let told = Told::panicked();
        assert_eq!(told.alarm.as_deref(), Some("the reader of records panicked"));
        assert!(matches!(told.index, Indexed::Not(_)));
    }
}
