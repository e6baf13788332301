//! When the last commit of a window was: from the indexes of its last segments, and chapters where those hold none.
//!
//! Promises: a handful of reads for each of the newest windows, whatever their length. A time is shown, and nothing decided by it.

use seawall_pg::{SegmentNo, WalFolder};
use seawall_repo::chapter::Chapter;
use seawall_repo::time::Time;

use super::look::{PlaceSeen, WalSeen};
use super::report::SystemWal;
use crate::archive::chapters::{WalSays, Whose};
use crate::repository::Repository;

/// Windows that are asked about.
const WINDOWS_MAX: usize = 8;
/// Segments of a window that are read.
const SEGMENTS_MAX: usize = 4;
/// Chapters that are read where those hold no commit.
const CHAPTERS_MAX: usize = 4;

/// Adds the last commit to the newest windows of all regions together.
pub(super) async fn add(repository: &Repository, seen: &PlaceSeen, system: &mut SystemWal) {
    let Some(wal) = &seen.wal else { return };
    let says = WalSays { repository, place: &seen.place, size: wal.size, whose: Whose::Anyones };
    let newest = system.windows.iter_mut().filter(|window| window.region.is_none()).rev().take(WINDOWS_MAX);
    for window in newest {
        let Some(history) = wal.held.histories.get(&window.timeline) else { continue };
        let first = wal.size.segment_of(window.from);
        let last = wal.size.segment_before(window.to);
        // A `.partial` file has no index.
        let last = if window.by_partial { last.prev() } else { Some(last) };
        let Some(last) = last else { continue };
        let name = |number: SegmentNo| {
            seawall_pg::SegmentName::new(history.timeline_of_segment(number, wal.size), number, wal.size).ok()
        };
        window.last_commit = last_commit(&says, wal, first, last, &name).await;
    }
}

async fn last_commit(
    says: &WalSays<'_>,
    wal: &WalSeen,
    first: SegmentNo,
    last: SegmentNo,
    name: &(dyn Fn(SegmentNo) -> Option<seawall_pg::SegmentName> + Sync),
) -> Option<Time> {
    let mut at = last;
    for _ in 0..SEGMENTS_MAX {
        let index = says.segment(name(at)?).await.ok()?;
        if let Some(commits) = index.commits {
            return Some(commits.last.time);
        }
        at = at.prev().filter(|number| first <= *number)?;
    }
    for _ in 0..CHAPTERS_MAX {
        let folder = WalFolder::of(name(at)?);
        let chapter = says.chapter(folder).await?;
        if let Some(time) = last_in(&chapter, wal, first, at) {
            return Some(time);
        }
        at = folder.numbers(wal.size).0.prev().filter(|number| first <= *number)?;
    }
    None
}

/// The last commit of a chapter's segments in a range.
fn last_in(chapter: &Chapter, wal: &WalSeen, first: SegmentNo, last: SegmentNo) -> Option<Time> {
    let within = chapter
        .segments()
        .iter()
        .rev()
        .filter(|one| one.segment.number(wal.size).is_ok_and(|number| first <= number && number <= last));
    within.filter_map(|one| one.index.as_ref()?.commits).map(|commits| commits.last.time).next()
}
