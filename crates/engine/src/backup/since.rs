//! What WAL tells of the time from a parent's start to this backup's start: the pages that changed.
//!
//! Why that is enough: copying of the parent began when everything before its start was on disk, so a page that no record since then
//! names is in the parent as it is now; what changes after this backup's start is replayed from WAL. That needs every record
//! between the two on this server's way through the timelines, proven by their links from one segment to the next, and rests on
//! the indexes of segments, or on segments still in `pg_wal`. Folders that lie in between as a whole are told by their chapters, where
//! this host wrote them itself: then at most two folders are read segment by segment. Anything less than certain is an answer too:
//! why every page is read.
//!
//! A name does not say whose WAL stands under it: another server may write the same timeline (a split brain). Links of records tell
//! most of that; for the rest, the segment that is being written is read from `pg_wal` first, and the newest one of the archive is
//! compared with the file here. One is enough: a server hands segments over in order, and keeps those it could not.

use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use seawall_pg::wal::WalOf;
use seawall_pg::{ControlFile, History, Lsn, SegmentName, SegmentNo, WalLevel};
use seawall_repo::chapter::Chapter;
use seawall_repo::layout::Place;
use seawall_repo::manifest::Manifest;
use seawall_repo::wal_index::{Changes, MarkWhat, SegmentIndex};

use crate::archive::chapters::{Piece, WalSays, Whose, pieces};
use crate::archive::index::index_of_file;
use crate::archive::{Beside, Held};
use crate::error::Error;
use crate::repository::Repository;

/// Indexes that are read ahead.
const AHEAD: usize = 16;

/// What is asked.
pub(super) struct Since<'a> {
    pub(super) repository: &'a Repository,
    pub(super) place: &'a Place,
    pub(super) parent: &'a Manifest,
    pub(super) control: &'a ControlFile,
    /// The ancestry of the timeline that this backup starts on.
    pub(super) history: &'a History,
    /// Where this backup starts.
    pub(super) start: Lsn,
    pub(super) data_directory: &'a Path,
    /// On a standby the file of a segment may lack what the archive has of it already.
    pub(super) on_standby: bool,
}

/// Why it is not known what changed.
#[derive(Debug)]
pub(super) enum Unknown {
    /// It is not certain; why, for a person.
    Uncertain(String),
    /// The WAL in the archive is another server's: nothing can be built on it.
    Conflict(Error),
}

impl From<String> for Unknown {
    fn from(why: String) -> Self {
        Self::Uncertain(why)
    }
}

/// A segment's index, and where it was found.
struct Found {
    segment: SegmentName,
    index: SegmentIndex,
    archived: bool,
}

/// What is known.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) changes: Changes,
    /// How many segments told it.
    pub(super) segments: u64,
    /// How many chapters told of folders of these segments.
    pub(super) chapters: u64,
}

/// What was told so far, joined.
#[derive(Debug, Default)]
struct Joined {
    all: Option<SegmentIndex>,
    segments: u64,
    chapters: u64,
}

impl Joined {
    fn segment(&mut self, segment: SegmentName, index: SegmentIndex) -> Result<(), String> {
        self.segments += 1;
        let Some(all) = &mut self.all else {
            self.all = Some(index);
            return Ok(());
        };
        all.then(&index).map_err(|error| {
            format!("segment {segment} does not go on where the one before it ends: {error}")
        })
    }

    /// All segments of a folder, every one of which has its index there.
    fn chapter(&mut self, chapter: &Chapter) -> Result<(), String> {
        for told in chapter.segments() {
            let index =
                told.index.clone().ok_or_else(|| format!("segment {} tells nothing", told.segment))?;
            self.segment(told.segment, index)?;
        }
        if let Some(all) = &mut self.all {
            all.changes.join(chapter.changes());
        }
        self.chapters += 1;
        Ok(())
    }

    fn finish(self) -> Result<Known, String> {
        let Self { all, segments, chapters } = self;
        let Some(all) = all else { return Ok(Known { changes: Changes::default(), segments, chapters }) };
        if let Some(start) = all.untold.first() {
            return Err(format!(
                "nobody knows what the record at {start} changed: its segments were archived apart"
            ));
        }
        let minimal = MarkWhat::WalLevel { level: WalLevel::Minimal };
        if let Some(mark) = all.marks.iter().find(|mark| mark.what == minimal) {
            return Err(format!(
                "wal_level was minimal at {}: WAL does not tell of every change then",
                mark.start
            ));
        }
        Ok(Known { changes: all.changes, segments, chapters })
    }
}

impl Since<'_> {
    /// What changed.
    ///
    /// # Errors
    /// Why that is not certain, for a person; a conflict, where the archive's WAL is another server's.
    pub(super) async fn known(&self) -> Result<Known, Unknown> {
        self.parent_fits()?;
        let (mut joined, mut newest) = (Joined::default(), None);
        for piece in pieces(self.segments()?, self.control.wal_segment_size) {
            let segments = match piece {
                Piece::Segments(segments) => segments,
                Piece::Full(folder) => match self.says().chapter(folder).await.filter(Chapter::is_told) {
                    Some(chapter) => {
                        newest = chapter.segments().last().map(|told| told.segment);
                        joined.chapter(&chapter)?;
                        continue;
                    }
                    None => folder.segments(self.control.wal_segment_size).collect(),
                },
            };
            let mut indexes =
                futures::stream::iter(segments).map(|segment| self.index(segment)).buffered(AHEAD);
            while let Some(found) = indexes.next().await {
                let Found { segment, index, archived } = found?;
                newest = Some(segment).filter(|_| archived && self.is_whole_here(segment)).or(newest);
                joined.segment(segment, index)?;
            }
        }
        if let Some(segment) = newest {
            self.is_ours(segment).await?;
        }
        Ok(joined.finish()?)
    }

    fn says(&self) -> WalSays<'_> {
        WalSays {
            repository: self.repository,
            place: self.place,
            size: self.control.wal_segment_size,
            whose: Whose::Own,
        }
    }

    /// What WAL does not tell.
    fn parent_fits(&self) -> Result<(), String> {
        let parent = &self.parent.header;
        if parent.damaged_pages > 0 {
            return Err(format!("backup {} has damaged pages, which are looked at again", parent.backup));
        }
        if self.parent.body.server.data_checksums != self.control.data_checksums() {
            return Err("page checksums were switched since the parent".to_owned());
        }
        if parent.segment_size != self.control.wal_segment_size {
            return Err("the size of WAL segments was changed since the parent".to_owned());
        }
        if parent.start > self.start {
            return Err("the parent begins later than this backup".to_owned());
        }
        Ok(())
    }

    /// The segments with every record from the parent's start to this start, on this server's way.
    fn segments(&self) -> Result<Vec<SegmentName>, String> {
        let (size, from) = (self.control.wal_segment_size, self.parent.header.start);
        if from == self.start {
            return Ok(Vec::new());
        }
        let numbers = size.segment_of(from).0..=size.segment_before(self.start).0;
        let named = numbers.map(|number| {
            let number = SegmentNo(number);
            SegmentName::new(self.history.timeline_of_segment(number, size), number, size)
        });
        named.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    /// From the archive, or made on the spot. The archive is asked once more, because what was missing there may have come and be
    /// gone from `pg_wal` since. The segment that this backup starts in is read here first.
    async fn index(&self, segment: SegmentName) -> Result<Found, String> {
        let here = |index| Found { segment, index, archived: false };
        let there = |index| Found { segment, index, archived: true };
        let is_being_written = !self.ends_before_start(segment);
        if is_being_written && let Ok(index) = self.local(segment).await {
            return Ok(here(index));
        }
        let mut why = match self.archived(segment).await {
            Ok(index) => return Ok(there(index)),
            Err(why) => why,
        };
        match self.local(segment).await {
            Ok(index) => return Ok(here(index)),
            Err(unfit) => why = format!("{why}; {unfit}"),
        }
        match self.archived(segment).await {
            Ok(index) => Ok(there(index)),
            Err(_) => Err(format!("segment {segment} tells nothing of what it changed: {why}")),
        }
    }

    fn ends_before_start(&self, segment: SegmentName) -> bool {
        let size = self.control.wal_segment_size;
        segment.number(size).is_ok_and(|number| number.0 < size.segment_of(self.start).0)
    }

    /// Whether its file, if it is in `pg_wal`, has all that the archive can have of it.
    fn is_whole_here(&self, segment: SegmentName) -> bool {
        !self.on_standby || self.ends_before_start(segment)
    }

    /// Compares what the regions hold under the segment's name with the file in `pg_wal`, if that is still there.
    async fn is_ours(&self, segment: SegmentName) -> Result<(), Unknown> {
        let directory = self.data_directory.join("pg_wal");
        let size = self.control.wal_segment_size;
        let beside = Beside::new(self.repository.clone(), self.place.clone(), directory, size);
        for region in self.repository.regions().iter() {
            match beside.held(region, segment).await {
                Ok(Held::Other(conflict)) => return Err(Unknown::Conflict(conflict)),
                Ok(Held::Ours | Held::Nothing | Held::Unknown(_)) => {}
                Err(error) => return Err(error.to_string().into()),
            }
        }
        Ok(())
    }

    async fn archived(&self, segment: SegmentName) -> Result<SegmentIndex, String> {
        self.says().segment(segment).await.map_err(|untold| untold.to_string())
    }

    async fn local(&self, segment: SegmentName) -> Result<SegmentIndex, String> {
        let of = WalOf::by(self.control);
        let directory: PathBuf = self.data_directory.to_owned();
        let (history, start) = (self.history.clone(), self.start);
        let work = tokio::task::spawn_blocking(move || {
            index_of_file(of, &directory, segment, &history, Some(start))
        });
        work.await.map_err(|_panic| "the reader of records panicked".to_owned())?
    }
}
