//! Putting the chapters that are missing: after a backup, of full folders behind it.
//!
//! Commit point: the object, create-only, to every region of the operation. Promises: a bounded number of segments is read, the newest
//! folders first; whatever goes wrong is told and spoils nothing, for a chapter is a cache. Two hosts that put one at the same time
//! are harmless: the first stays. One that is damaged in every region is left where it is, and another put under the next number; to
//! find such ones a run reads one of those that are there whole, another one each day.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use seawall_pg::{History, Lsn, WalFileName, WalFolder, WalSegmentSize};
use seawall_repo::chapter::{Chapter, ChapterBuilder, ChapterSegment};
use seawall_repo::compress::Compressor;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::object::SealedObject;
use seawall_store::{Listed, Put, RegionSet};

use super::{AHEAD, NUMBERS, is_damage, segment_name};
use crate::error::{Error, Result};
use crate::monitor::Finding;
use crate::repository::{Levels, Repository, WorldEntropy, object_error};

/// Segments that are read for one backup at most: sixteen folders of 16 MiB segments, one of 1 MiB segments.
const SEGMENTS_MAX: u32 = 4096;
/// Folders that are looked back at most.
const FOLDERS_BACK: usize = 16;

/// What was put.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Made {
    /// Chapters that are new in at least one region.
    pub(crate) chapters: u64,
    /// Segments whose indexes were read for it.
    pub(crate) read: u64,
}

/// Puts the missing chapters of full folders before `before` on a server's way, as many as are allowed for one run, to all regions
/// of `set`. What went wrong is among the repository's findings.
pub(crate) async fn write_missing(
    repository: &Repository,
    set: &RegionSet,
    place: &Place,
    size: WalSegmentSize,
    history: &History,
    before: Lsn,
) -> Made {
    let mut made = Made::default();
    let folders: Vec<WalFolder> = folders_before(history, before, size).collect();
    let looked_at = folders.get(turn(repository, folders.len())).copied();
    for folder in folders {
        if made.read + u64::from(WalFolder::count(size)) > u64::from(SEGMENTS_MAX) {
            break;
        }
        match write_one(repository, set, place, size, (folder, looked_at == Some(folder)), &mut made).await {
            Ok(()) => {}
            Err(error) => {
                repository.notice(Finding {
                    id: "archive.chapter-not-stored",
                    what: format!("the chapter of WAL folder {folder} was not stored: {error}"),
                    hint: Some("nothing depends on it: the next backup tries again".to_owned()),
                });
                break;
            }
        }
    }
    made
}

/// Folders that lie as a whole before a position and on one timeline of its way, the newest first.
pub(super) fn folders_before(
    history: &History,
    before: Lsn,
    size: WalSegmentSize,
) -> impl Iterator<Item = WalFolder> + use<'_> {
    let (high, _) = before.halves();
    let highs = (0..high).rev().take(FOLDERS_BACK);
    highs.filter_map(move |high| {
        let served = |low| history.timeline_of_segment(size.segment_of(Lsn::from_halves(high, low)), size);
        let (first, last) = (served(0), served(u32::MAX));
        let name = seawall_pg::SegmentName::of(first, Lsn::from_halves(high, 0), size);
        (first == last).then(|| WalFolder::of(name))
    })
}

async fn write_one(
    repository: &Repository,
    set: &RegionSet,
    place: &Place,
    size: WalSegmentSize,
    (folder, is_looked_at): (WalFolder, bool),
    made: &mut Made,
) -> Result<()> {
    let Some(number) = free_number(repository, place, folder, is_looked_at).await? else { return Ok(()) };
    if !is_full(repository, place, size, folder).await? {
        return Ok(());
    }
    let Some(chapter) = read_segments(repository, place, size, folder, made).await? else { return Ok(()) };
    let Some(object) = sealed(repository, place, number, &chapter)? else { return Ok(()) };
    let (name, bytes, _) = object.into_parts();
    let puts = set.put_all(name.as_str(), &bytes.into()).await;
    let stored = puts.iter().filter(|(_, put)| matches!(put, Ok(Put::Created | Put::AlreadyThere))).count();
    made.chapters += u64::from(stored > 0);
    // Another host was first: that is as good.
    match puts.iter().find_map(|(_, put)| put.as_ref().err()) {
        Some(error) if puts.iter().all(|(_, put)| put.is_err()) => {
            Err(Error::unavailable("archive.chapter-put", format!("{name} could not be stored"))
                .fact("region", error.chain()))
        }
        _ => Ok(()),
    }
}

/// Whose turn it is to be read whole: each day another one's.
fn turn(repository: &Repository, folders: usize) -> usize {
    let day = repository.world().clock.now_unix_us() / (24 * 3600 * 1_000_000);
    usize::try_from(day).ok().and_then(|day| day.checked_rem(folders)).unwrap_or(0)
}

/// Under which number a chapter is missing; none where there is one. Only one that is looked at is known to be damaged.
async fn free_number(
    repository: &Repository,
    place: &Place,
    folder: WalFolder,
    is_looked_at: bool,
) -> Result<Option<u32>> {
    for number in 0..NUMBERS {
        let name: ObjectName = Named::Chapter { place: place.clone(), folder, number }.into();
        let answers = repository.regions().each(|region| region.head(name.as_str())).await;
        if !answers.into_iter().any(|(_, answer)| answer.is_ok()) {
            return Ok(Some(number));
        }
        if !is_looked_at {
            return Ok(None);
        }
        match repository.chapter(&name).await {
            Err(error) if is_damage(&error) => {}
            Ok(_) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Whether the regions together have every segment of a folder.
async fn is_full(
    repository: &Repository,
    place: &Place,
    size: WalSegmentSize,
    folder: WalFolder,
) -> Result<bool> {
    let mut there = BTreeSet::new();
    let mut listed = repository.regions().list_all(&place.wal_in(folder));
    while let Some(entry) = listed.next().await {
        let Listed::Object { name, .. } = entry else { continue };
        let name = ObjectName::parse(&name);
        if let Some(Named::Wal { file: WalFileName::Segment(segment), .. }) =
            name.as_ref().map(ObjectName::named)
        {
            there.insert(*segment);
        }
    }
    Ok(there.into_iter().eq(folder.segments(size)))
}

/// None where a segment cannot be read: that folder has no chapter then.
async fn read_segments(
    repository: &Repository,
    place: &Place,
    size: WalSegmentSize,
    folder: WalFolder,
    made: &mut Made,
) -> Result<Option<Chapter>> {
    let read = |segment| async move { repository.segment_told(&segment_name(place, segment)).await };
    let mut reading = futures::stream::iter(folder.segments(size)).map(read).buffered(AHEAD).boxed_local();
    let mut builder = ChapterBuilder::default();
    while let Some(told) = reading.next().await {
        made.read += 1;
        let (head, index) = told?;
        builder.push(ChapterSegment::of(&head, index).map_err(|error| object_error(&error))?);
    }
    drop(reading);
    // The size in the segments' own heads is the one they are counted by, or they are not this folder's.
    Ok(builder.finish(folder, size).ok())
}

/// None for one that says more than a chapter may: reading its segments is the way then.
fn sealed(
    repository: &Repository,
    place: &Place,
    number: u32,
    chapter: &Chapter,
) -> Result<Option<SealedObject>> {
    let compression = Levels::compression(repository.levels().backup);
    let mut compressor = Compressor::new(compression)
        .map_err(|error| Error::bug("archive.compressor", "zstd could not be set up").because(error))?;
    let mut entropy = WorldEntropy::new(repository.world());
    let (sealer, key) = (repository.sealer()?, repository.writer()?);
    let sealed = chapter.seal_as((place, number), sealer, key, &mut compressor, &mut entropy);
    match sealed {
        Ok(object) => Ok(Some(object)),
        Err(seawall_repo::chapter::ChapterError::TooLong { .. }) => Ok(None),
        Err(error) => Err(Error::bug("archive.chapter", "a chapter could not be sealed").because(error)),
    }
}
