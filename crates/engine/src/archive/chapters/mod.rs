//! What archived segments say, by the chapter of their folder where there is one to be believed, else by their own indexes.
//!
//! Promises: an answer is the same with and without chapters. One counts for full folders only, and only where its writer may be
//! believed about these segments ([`Whose`]); one that is missing, damaged or somebody else's costs the reading of its segments and
//! nothing more. Deliberately lists nothing: which segments there are is the caller's knowledge (`inventory`), and where a chapter tells of
//! a segment that is gone, nobody asks for it.

mod make;
#[cfg(test)]
mod tests;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use seawall_pg::{SegmentName, WalFileName, WalFolder, WalSegmentSize};
use seawall_repo::chapter::Chapter;
use seawall_repo::id::WriterId;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::wal_index::SegmentIndex;

pub(crate) use make::write_missing;

use crate::error::{Error, Kind};
use crate::monitor::Finding;
use crate::repository::Repository;

/// Indexes that are read ahead.
const AHEAD: usize = 16;
/// Chapters of one folder at most: each takes the place of one that is damaged.
const NUMBERS: u32 = 4;

/// Whose chapters are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Those that this host signed itself: what decides which pages a backup reads. A segment's index is the word of who archived the
    /// segment, and a chapter of another host could say something else of it.
    Own,
    /// Those of every host that may write: what is shown to people.
    Anyones,
}

/// What WAL says, in the order of positions.
#[derive(Debug)]
pub(crate) enum Told {
    /// All segments of a folder at once: all that was asked for lies in it, and all that lies in it was asked for.
    Folder(Box<Chapter>),
    /// One segment.
    Segment {
        /// Which.
        segment: SegmentName,
        /// Its index; else why it tells nothing.
        index: Result<Box<SegmentIndex>, Untold>,
    },
}

/// Why a segment tells nothing.
#[derive(Debug)]
pub(crate) enum Untold {
    /// It is in the archive without an index.
    NotIndexed(String),
    /// It could not be read.
    Unread(Error),
}

/// Reads what segments say.
#[derive(Debug, Clone)]
pub(crate) struct WalSays<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) place: &'a Place,
    pub(crate) size: WalSegmentSize,
    pub(crate) whose: Whose,
}

/// Consecutive segments that are read in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// All segments of a folder.
    Full(WalFolder),
    /// Others.
    Segments(Vec<SegmentName>),
}

impl<'a> WalSays<'a> {
    /// What these segments say. They may be of several timelines; a folder all of whose segments are among them, side by side and in order, is
    /// answered by its chapter. Read while they are asked for, never all at once.
    pub(crate) fn of(self, segments: impl IntoIterator<Item = SegmentName>) -> BoxStream<'a, Told> {
        let pieces = pieces(segments, self.size);
        let read = move |piece: Piece| {
            let this = self.clone();
            async move {
                match piece {
                    Piece::Segments(segments) => this.each(segments),
                    Piece::Full(folder) => match this.chapter(folder).await {
                        Some(chapter) => futures::stream::iter([Told::Folder(Box::new(chapter))]).boxed(),
                        None => this.each(folder.segments(this.size).collect()),
                    },
                }
            }
        };
        futures::stream::iter(pieces).then(read).flatten().boxed()
    }

    fn each(&self, segments: Vec<SegmentName>) -> BoxStream<'a, Told> {
        let this = self.clone();
        let read = move |segment: SegmentName| {
            let this = this.clone();
            async move { Told::Segment { segment, index: this.segment(segment).await.map(Box::new) } }
        };
        futures::stream::iter(segments).map(read).buffered(AHEAD).boxed()
    }

    /// What one segment says itself.
    pub(crate) async fn segment(&self, segment: SegmentName) -> Result<SegmentIndex, Untold> {
        match self.repository.segment_index(&segment_name(self.place, segment)).await {
            Ok(Ok(index)) => Ok(index),
            Ok(Err(none)) => Err(Untold::NotIndexed(none.to_string())),
            Err(error) => Err(Untold::Unread(error)),
        }
    }

    /// The chapter of a folder, if there is one to be believed. A damaged one is told as a finding, unless another took its place.
    pub(crate) async fn chapter(&self, folder: WalFolder) -> Option<Chapter> {
        let mut damaged = None;
        for number in 0..NUMBERS {
            let name: ObjectName = Named::Chapter { place: self.place.clone(), folder, number }.into();
            match self.repository.chapter(&name).await {
                Ok((chapter, writer)) if self.believes(&chapter, &writer) => return Some(chapter),
                Ok(_) => {}
                Err(error) if is_damage(&error) => damaged = Some((name, error)),
                // Nobody has put it yet, or the region is down: reading the segments tells which.
                Err(_) => break,
            }
        }
        if let Some((name, error)) = damaged {
            self.repository.notice(Finding {
                id: "archive.chapter-unusable",
                what: format!("{name} cannot be used: {error}"),
                hint: Some(
                    "nothing depends on it: its segments are read instead, and a later backup puts another beside it"
                        .to_owned(),
                ),
            });
        }
        None
    }

    fn believes(&self, chapter: &Chapter, writer: &WriterId) -> bool {
        let own = || self.repository.writer().is_ok_and(|key| key.id() == *writer);
        (self.whose == Whose::Anyones || own()) && chapter.segment_size() == self.size
    }
}

/// Whether there is a chapter, and it is damaged in every region that has it.
pub(crate) fn is_damage(error: &Error) -> bool {
    error.kind() == Kind::Data && error.id() != "repository.object-missing"
}

impl std::fmt::Display for Untold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotIndexed(why) => write!(f, "in the archive without an index ({why})"),
            Self::Unread(error) => write!(f, "{error}"),
        }
    }
}

/// The name of a segment's object.
pub(crate) fn segment_name(place: &Place, segment: SegmentName) -> ObjectName {
    Named::Wal { place: place.clone(), file: WalFileName::Segment(segment) }.into()
}

/// Full folders, and what lies between them.
pub(crate) fn pieces(segments: impl IntoIterator<Item = SegmentName>, size: WalSegmentSize) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut open: Vec<SegmentName> = Vec::new();
    for segment in segments {
        if open.last().is_some_and(|last| WalFolder::of(*last) != WalFolder::of(segment)) {
            close(&mut pieces, std::mem::take(&mut open), size);
        }
        open.push(segment);
    }
    close(&mut pieces, open, size);
    pieces
}

fn close(pieces: &mut Vec<Piece>, open: Vec<SegmentName>, size: WalSegmentSize) {
    let Some(folder) = open.first().map(|first| WalFolder::of(*first)) else { return };
    let full =
        open.len() == WalFolder::count(size) as usize && open.iter().copied().eq(folder.segments(size));
    match (full, pieces.last_mut()) {
        (true, _) => pieces.push(Piece::Full(folder)),
        (false, Some(Piece::Segments(before))) => before.extend(open),
        (false, _) => pieces.push(Piece::Segments(open)),
    }
}
