//! WAL of the repository for a restore: what is listed, and the few files that are read whole.
//!
//! Promises: a listing that broke in one region is made up for by the others and told; one that broke everywhere is an error and
//! never "no WAL"; what is read was verified to its plain digest. Times of archiving are the store's.
//! Deliberately not the way of `wal fetch`, which reads ahead and answers a running server.

use futures::StreamExt as _;
use seawall_pg::{HistoryFile, SegmentNo, Timeline, WalFileName, WalSegmentSize};
use seawall_repo::compress::Decompressor;
use seawall_repo::error::{Fault, ObjectError};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::object::WholeObject;
use seawall_repo::time::Time;
use seawall_repo::wal_object::{OpenWal, PART_BYTES, WalContent, WalHeader, WalReader};
use seawall_store::Listed;

use super::plan::RecoveryPlan;
use super::salvage::LocalWal;
use super::target::Point;
use super::two_writers::Doubled;
use super::wal_end::{WalEnd, WalEnded, WalOf, WalWalk};
use super::wal_inventory::WalInventory;
use crate::error::{Error, Result};
use crate::monitor::Finding;
use crate::repository::Repository;

/// So many segments at the end are walked at most in search of a commit.
const WALKED_MAX: u64 = 256;

/// What listing gave.
#[derive(Debug)]
pub struct LoadedWal {
    /// The WAL.
    pub inventory: WalInventory,
    /// What two regions or more hold.
    pub doubled: Doubled,
    /// Regions that could not be listed, and history files that could not be read.
    pub findings: Vec<Finding>,
}

/// Lists the WAL of a cluster and reads its history files.
///
/// # Errors
/// No region can be listed, or a history file is out of reach.
pub async fn load_inventory(
    repository: &Repository,
    place: &Place,
    size: WalSegmentSize,
) -> Result<LoadedWal> {
    let mut loaded =
        LoadedWal { inventory: WalInventory::new(size), doubled: Doubled::default(), findings: Vec::new() };
    let mut histories = Vec::new();
    let mut broken = 0;
    let mut listed = repository.regions().list_all(&place.wal());
    while let Some(entry) = listed.next().await {
        match entry {
            Listed::Object { name, held, .. } => {
                let archived =
                    held.iter().map(|held| held.modified_unix_us).min().and_then(Time::from_micros);
                let Some(name) = ObjectName::parse(&name) else { continue };
                let Named::Wal { file, .. } = name.named() else { continue };
                if let WalFileName::Segment(segment) = file
                    && let Ok(number) = segment.number(size)
                {
                    loaded.doubled.see(segment.timeline(), number, &held);
                }
                add_file(&mut loaded.inventory, *file, archived, &mut histories);
            }
            Listed::Broken { region, error } => {
                broken += 1;
                loaded.findings.push(Finding {
                    id: "restore.region-not-listed",
                    what: format!("WAL in region {region} could not be listed: {}", error.chain()),
                    hint: Some("what only this region holds is not a part of the plan".to_owned()),
                });
            }
        }
    }
    drop(listed);
    if broken == repository.regions().len() {
        return Err(Error::unavailable("repository.region-unavailable", "no region can be listed"));
    }
    for (timeline, archived) in histories {
        load_history(repository, place, timeline, archived, &mut loaded).await?;
    }
    Ok(loaded)
}

fn add_file(
    inventory: &mut WalInventory,
    file: WalFileName,
    archived: Option<Time>,
    histories: &mut Vec<(Timeline, Option<Time>)>,
) {
    let size = inventory.size();
    match file {
        WalFileName::Segment(name) => {
            if let Ok(number) = name.number(size) {
                inventory.add_segment(name.timeline(), number, archived);
            }
        }
        WalFileName::Partial(name) => {
            if let Ok(number) = name.number(size) {
                inventory.add_partial(name.timeline(), number, archived);
            }
        }
        WalFileName::TimelineHistory(timeline) => histories.push((timeline, archived)),
        WalFileName::BackupHistory { .. } => {}
    }
}

async fn load_history(
    repository: &Repository,
    place: &Place,
    timeline: Timeline,
    archived: Option<Time>,
    loaded: &mut LoadedWal,
) -> Result<()> {
    let unusable = |why: String| Finding {
        id: "restore.history-unusable",
        what: format!("the history file of timeline {timeline} cannot be used: {why}"),
        hint: Some("that timeline cannot be followed".to_owned()),
    };
    match read_file(repository, place, WalFileName::TimelineHistory(timeline)).await {
        Ok(content) => match HistoryFile::parse(timeline, &content) {
            Ok(file) => loaded.inventory.add_history(file, archived),
            Err(error) => loaded.findings.push(unusable(error.to_string())),
        },
        Err(error) if error.kind() == crate::Kind::Unavailable || error.kind() == crate::Kind::Usage => {
            return Err(error);
        }
        Err(error) => loaded.findings.push(unusable(error.to_string())),
    }
    Ok(())
}

/// A whole file of the WAL archive, verified.
///
/// # Errors
/// Missing, damaged or out of reach in every region.
pub async fn read_file(repository: &Repository, place: &Place, file: WalFileName) -> Result<Vec<u8>> {
    let name: ObjectName = Named::Wal { place: place.clone(), file }.into();
    let open = read_object(repository, &name).await?;
    let parts = match &open.content {
        WalContent::Bytes(_) => None,
        WalContent::Parts(_) => {
            let head = repository.read_head(&name).await?.value;
            let reader = WalReader { trust: repository.trust(), keys: repository.keys() };
            reader.join(&head, &open).map_err(|error| crate::repository::object_error(&error))?
        }
    };
    let Some(mut joiner) = parts else {
        let WalContent::Bytes(bytes) = open.content else {
            return Err(Error::bug(
                "restore.wal-without-content",
                "a WAL file has neither content nor parts",
            ));
        };
        return Ok(bytes);
    };
    let mut content = Vec::new();
    for part in joiner.part_names() {
        let part = read_object(repository, &part).await?;
        content.extend(joiner.add(part).map_err(|error| crate::repository::object_error(&error))?);
    }
    joiner.finish().map_err(|error| crate::repository::object_error(&error))?;
    Ok(content)
}

async fn read_object(repository: &Repository, name: &ObjectName) -> Result<OpenWal> {
    let read =
        repository.read_whole(name, |whole, decompressor| open_wal(repository, whole, decompressor)).await?;
    Ok(read.value)
}

fn open_wal(
    repository: &Repository,
    whole: &WholeObject<'_>,
    decompressor: &mut Decompressor,
) -> std::result::Result<OpenWal, ObjectError> {
    let head = whole.head();
    let header: WalHeader = head.header_as()?;
    let plain_digest = *head.head().plain_digest();
    if let Some(parts) = &header.parts {
        let content = WalContent::Parts(parts.iter().map(|digest| digest.0).collect());
        return Ok(OpenWal { header, plain_digest, content });
    }
    let plain = whole.all_frames(PART_BYTES, decompressor)?;
    let reader = WalReader { trust: repository.trust(), keys: repository.keys() };
    head.verify_plain(&reader.digest_for(head, &plain)?)?;
    if plain.len() as u64 != header.size {
        return Err(head.fault(Fault::KindHeader { reason: "size is not that of the content".to_owned() }));
    }
    Ok(OpenWal { header, plain_digest, content: WalContent::Bytes(plain) })
}

/// Finds the end of the WAL of a plan: the last segments are walked, as many as it takes to see a whole record and, for a time, a
/// commit.
///
/// # Errors
/// A segment cannot be read, or is damaged before the last one.
pub async fn find_end(
    repository: &Repository,
    place: &Place,
    plan: &RecoveryPlan,
    local: &LocalWal,
    of: WalOf,
) -> Result<WalEnd> {
    let first = plan.segment_size.segment_of(plan.backup.start);
    let last = plan.segment_size.segment_before(plan.frontier);
    let wants_commit = matches!(plan.target.point(), Point::Time(_));
    let mut walked = 1u64;
    loop {
        let from = SegmentNo(last.0.saturating_sub(walked - 1).max(first.0));
        let end = walk(repository, place, plan, local, of, from..=last).await?;
        let enough = end.last.is_some() && (!wants_commit || end.latest_commit.is_some());
        if enough || from == first || walked >= WALKED_MAX {
            return Ok(end);
        }
        walked *= 2;
    }
}

async fn walk(
    repository: &Repository,
    place: &Place,
    plan: &RecoveryPlan,
    local: &LocalWal,
    of: WalOf,
    numbers: std::ops::RangeInclusive<SegmentNo>,
) -> Result<WalEnd> {
    let (from, last) = (*numbers.start(), *numbers.end());
    let mut walk = WalWalk::new(of, from);
    for number in (from.0..=last.0).map(SegmentNo) {
        if walk.has_ended() {
            return Err(damaged_inside(plan, number, &walk.finish()));
        }
        let bytes = segment(repository, place, plan, local, number).await?;
        walk = tokio::task::spawn_blocking(move || {
            walk.segment(&bytes);
            walk
        })
        .await
        .map_err(|error| {
            Error::bug("restore.worker-ended", "a worker of the restore ended").fact("reason", error)
        })?;
    }
    Ok(walk.finish())
}

async fn segment(
    repository: &Repository,
    place: &Place,
    plan: &RecoveryPlan,
    local: &LocalWal,
    number: SegmentNo,
) -> Result<Vec<u8>> {
    let timeline = plan.serving(number).unwrap_or(plan.timeline);
    if let Some(bytes) = local.read(timeline, number)? {
        return Ok(bytes);
    }
    let name = seawall_pg::SegmentName::new(timeline, number, plan.segment_size).map_err(|error| {
        Error::bug("restore.segment-number", "a planned segment has no name").because(error)
    })?;
    let is_partial = plan.partial == Some(number);
    let file = if is_partial { WalFileName::Partial(name) } else { WalFileName::Segment(name) };
    read_file(repository, place, file).await
}

fn damaged_inside(plan: &RecoveryPlan, next: SegmentNo, end: &WalEnd) -> Error {
    let why = match &end.ended {
        WalEnded::Record { at, fault } => format!("the record at {at}: {fault}"),
        WalEnded::Page { at, fault } => format!("the page at {at}: {fault}"),
        WalEnded::NothingWritten { at } => format!("no record at {at}"),
        WalEnded::WithTheSegments => "unknown".to_owned(),
    };
    Error::data("restore.wal-broken", "the chain of WAL records breaks before the last archived segment")
        .fact("where", why)
        .fact("timeline", plan.serving(next).unwrap_or(plan.timeline))
        .hint("A server would take this for the end of WAL. Choose a point before it: --lsn, or --at.")
}
