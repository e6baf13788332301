//! Acknowledging a hole in the archive: `wal ack-hole`.
//!
//! Commit point: the record. Promises: only a hole is acknowledged, which no region has, behind which there is WAL already, and which the
//! server does not still have in `pg_wal`; anything else is refused with what helps instead. Only who has the right to prune can, so a
//! taken database host silences nothing. Nothing is deleted because of it.

use std::path::PathBuf;

use seawall_pg::{SegmentName, SegmentNo, Timeline, WalSegmentSize};
use seawall_repo::condemned::WalStretch;
use seawall_repo::hole::HoleRecord;
use seawall_repo::id::RecordId;
use seawall_repo::layout::{Named, Place};
use serde::Serialize;

use crate::archive::inventory::{WalInventories, load};
use crate::backup::{host_name, now};
use crate::error::{Error, Result};
use crate::events::record_id;
use crate::holes::{acknowledgements, gaps};
use crate::monitor::Finding;
use crate::prune::refuse_without_right;
use crate::repository::{BackupEntry, Repository, reason};
use crate::status::size_from_wal;
use crate::wal_status::SegmentSpan;

/// Which hole, and why.
#[derive(Debug, Clone)]
pub struct AckHole {
    /// A segment of the hole.
    pub first: SegmentName,
    /// Another one, its last; none: up to where the hole ends.
    pub last: Option<SegmentName>,
    /// Why, for people.
    pub reason: String,
    /// Who asks for it.
    pub by: String,
    /// The server's data directory, where it is at hand: what is still in `pg_wal` is not lost.
    pub data_directory: Option<PathBuf>,
}

/// A hole that was acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HoleAcknowledged {
    /// The record.
    pub hole: RecordId,
    /// What is lost.
    #[serde(flatten)]
    pub missing: SegmentSpan,
    /// Whether a backup lies behind it already, so that there is a window again.
    pub backup_behind: bool,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Acknowledges.
///
/// # Errors
/// It is no hole, or not certainly one; no right to prune; no region takes it.
pub async fn ack_hole(repository: &Repository, ack: &AckHole) -> Result<HoleAcknowledged> {
    refuse_without_right(repository)?;
    if ack.reason.trim().is_empty() {
        return Err(Error::usage("hole.no-reason", "an acknowledgement needs a reason")
            .hint("say what happened: --reason 'disk of db1 lost, segment was never archived'"));
    }
    let (place, wal, backups) = find(repository, ack).await?;
    let timeline = ack.first.timeline();
    let range = range(ack, &wal, &backups)?;
    not_on_the_server(ack, timeline, range, wal.size)?;
    let mut findings = Vec::new();
    let known = acknowledgements(repository, &place, wal.size, &mut findings).await?;
    if known.ranges().outside(timeline, range).is_empty() {
        return Err(Error::usage("hole.known", format!("{} is acknowledged already", ack.first))
            .hint("seawall wal status shows by whom"));
    }
    let hole = record_id(repository)?;
    let record = HoleRecord {
        hole,
        cluster: place.cluster.clone(),
        system: place.system,
        segment_size: wal.size,
        missing: vec![WalStretch { timeline, first: range.0, last: range.1 }],
        reason: ack.reason.clone(),
        by: ack.by.clone(),
        written: now(repository.world())?,
        host: host_name(),
    };
    let set = repository.regions().set();
    repository.put_record(&set, &Named::Hole { place, id: hole }.into(), &record).await?;
    findings.extend(set.detached().into_iter().map(|gone| Finding {
        id: "hole.region-unreached",
        what: format!("region {} does not know of it: {}", gone.region, reason(&gone.reason)),
        hint: Some("where only this region is at hand, the hole is told again".to_owned()),
    }));
    let behind = wal.size;
    let backup_behind = backups.iter().any(|entry| behind.segment_of(entry.header.start) > range.1);
    let missing = SegmentSpan {
        first: name(timeline, range.0, wal.size)?,
        last: name(timeline, range.1, wal.size)?,
        segments: range.1.0.saturating_sub(range.0.0).saturating_add(1),
    };
    Ok(HoleAcknowledged { hole, missing, backup_behind, findings })
}

fn name(timeline: Timeline, number: SegmentNo, size: WalSegmentSize) -> Result<SegmentName> {
    SegmentName::new(timeline, number, size).map_err(|error| Error::usage("hole.segment", error.to_string()))
}

/// The place whose archive the hole is in: of several lives of a cluster the newest that has such a timeline and such numbers.
async fn find(repository: &Repository, ack: &AckHole) -> Result<(Place, WalInventories, Vec<BackupEntry>)> {
    let catalog = repository.catalog().await?;
    let mut first = None;
    for adoption in repository.adoptions().await?.into_iter().rev() {
        let place = Place { cluster: repository.cluster().clone(), system: adoption.system };
        let backups: Vec<BackupEntry> =
            catalog.backups.iter().filter(|entry| entry.place == place).cloned().collect();
        let size = match backups.last() {
            Some(entry) => Some(entry.header.segment_size),
            None => size_from_wal(repository, &place).await?,
        };
        let Some(size) = size else { continue };
        let wal = load(repository, &place, size).await?;
        if let Some(broken) = wal.regions.iter().find(|region| region.broken.is_some()) {
            let why = broken.broken.clone().unwrap_or_default();
            return Err(Error::unavailable(
                "hole.region-not-listed",
                format!(
                    "region {} cannot be listed, and could have what is missing elsewhere",
                    broken.region
                ),
            )
            .fact("region", why)
            .hint("bring it back, or take it out of the settings if it is gone for good"));
        }
        if gap_at(&wal, &backups, ack.first).is_some() {
            return Ok((place, wal, backups));
        }
        first = first.or(Some((place, wal, backups)));
    }
    first.ok_or_else(|| {
        Error::data("hole.nothing-here", format!("cluster {} has no WAL yet", repository.cluster()))
    })
}

/// The gap that a segment lies in.
fn gap_at(
    wal: &WalInventories,
    backups: &[BackupEntry],
    segment: SegmentName,
) -> Option<(SegmentNo, SegmentNo)> {
    let number = segment.number(wal.size).ok()?;
    let gaps = gaps(&wal.merged, &wal.histories, backups, wal.size);
    let mut of = gaps.iter().filter(|(timeline, _, _)| *timeline == segment.timeline());
    of.find(|(_, first, last)| *first <= number && number <= *last).map(|(_, first, last)| (first, last))
}

/// What is acknowledged: all of it a hole, or the reason why not.
fn range(ack: &AckHole, wal: &WalInventories, backups: &[BackupEntry]) -> Result<(SegmentNo, SegmentNo)> {
    let of = |name: SegmentName| {
        name.number(wal.size).map_err(|error| Error::usage("hole.segment", error.to_string()))
    };
    let (first, wanted) = (of(ack.first)?, ack.last.map(of).transpose()?);
    if ack.last.is_some_and(|last| last.timeline() != ack.first.timeline() || last < ack.first) {
        return Err(Error::usage(
            "hole.range",
            "the first and the last segment are no range of one timeline",
        ));
    }
    let held: Vec<_> = wal
        .regions
        .iter()
        .filter(|region| region.wal.has(ack.first.timeline(), first))
        .map(|region| region.region.to_string())
        .collect();
    if !held.is_empty() {
        return Err(Error::usage(
            "hole.not-one",
            format!("{} is no hole: region {} has it", ack.first, held.join(", ")),
        )
        .hint("seawall verify says which region lacks it, and how to put it there"));
    }
    let Some(gap) = gap_at(wal, backups, ack.first) else {
        return Err(Error::usage(
            "hole.not-one",
            format!("{} is no hole: no way from a backup to later WAL leads through it", ack.first),
        )
        .hint("behind the newest WAL everything may still arrive; seawall wal status shows the holes"));
    };
    let last = wanted.unwrap_or(gap.1);
    if last > gap.1 {
        let last = name(ack.first.timeline(), gap.1, wal.size)?;
        return Err(Error::usage("hole.longer", format!("the hole ends with {last}"))
            .hint("acknowledge one hole at a time"));
    }
    Ok((first, last))
}

/// What the server still has can be stored.
fn not_on_the_server(
    ack: &AckHole,
    timeline: Timeline,
    (first, last): (SegmentNo, SegmentNo),
    size: WalSegmentSize,
) -> Result<()> {
    let Some(directory) = &ack.data_directory else { return Ok(()) };
    let mut number = first;
    loop {
        let name = name(timeline, number, size)?;
        let path = directory.join("pg_wal").join(name.to_string());
        if path.is_file() {
            return Err(Error::usage(
                "hole.still-there",
                format!("{name} is not lost: the server has it in pg_wal"),
            )
            .hint(format!("store it: seawall wal push pg_wal/{name} (from the data directory)")));
        }
        match number.next().filter(|next| *next <= last) {
            Some(next) => number = next,
            None => return Ok(()),
        }
    }
}
