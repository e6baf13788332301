//! Holes in the archive: segments that no region has, though the way of a timeline leads through them; who acknowledged them, and which of
//! them pruning left.
//!
//! Promises: pure but for [`acknowledgements`] and [`Asked::load`], which read records. A gap counts from the oldest backup on its way on.
//! What the recorded rules of retention do not ask for, or a tombstone names, is no hole. An acknowledgement ends the alarm about what it
//! names and nothing else: nothing here deletes, and nothing that deletes asks here.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use seawall_pg::{History, SegmentNo, Timeline, WalSegmentSize};
use seawall_repo::hole::HoleRecord;
use seawall_repo::id::{RecordId, SystemId};
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_repo::time::Time;
use seawall_store::Listed;
use serde::Serialize;

use crate::archive::inventory::{WalHeld, stretches};
use crate::error::{Kind, Result};
use crate::monitor::Finding;
use crate::prune::{let_go, recorded};
use crate::repository::{BackupEntry, Repository};
use crate::retention::{Input, Lineage, Point, WalMap, WalRanges, wal_expected};

/// Who acknowledged a hole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Acknowledged {
    /// The record.
    pub hole: RecordId,
    /// Who asked for it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, by that host's clock.
    pub written: Time,
}

/// Acknowledgements of a place that are believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acknowledgements(Vec<HoleRecord>);

impl Acknowledgements {
    /// All that is acknowledged.
    pub(crate) fn ranges(&self) -> WalRanges {
        let all = self.0.iter().flat_map(|record| &record.missing);
        WalRanges::of(all.map(|of| (of.timeline, of.first, of.last)))
    }

    /// A stretch of missing segments, cut where who acknowledged it changes.
    pub(crate) fn cut(
        &self,
        timeline: Timeline,
        (first, last): (SegmentNo, SegmentNo),
    ) -> Vec<(SegmentNo, SegmentNo, Option<Acknowledged>)> {
        let (mut parts, mut open) = (Vec::new(), vec![(first, last)]);
        for record in &self.0 {
            let of = record.missing.iter().map(|of| (of.timeline, of.first, of.last));
            let named = WalRanges::of(of);
            let mut left = Vec::new();
            for range in open {
                let inside = named.inside(timeline, range).into_iter();
                parts.extend(inside.map(|(first, last)| (first, last, Some(acknowledged(record)))));
                left.extend(named.outside(timeline, range));
            }
            open = left;
        }
        parts.extend(open.into_iter().map(|(first, last)| (first, last, None)));
        parts.sort_by_key(|(first, _, _)| *first);
        parts
    }
}

fn acknowledged(record: &HoleRecord) -> Acknowledged {
    Acknowledged {
        hole: record.hole,
        by: record.by.clone(),
        reason: record.reason.clone(),
        written: record.written,
    }
}

/// Reads the acknowledgements of a place. One that is damaged or of somebody without the right to it counts for nothing, and is told.
///
/// # Errors
/// A record is out of reach.
pub(crate) async fn acknowledgements(
    repository: &Repository,
    place: &Place,
    size: WalSegmentSize,
    findings: &mut Vec<Finding>,
) -> Result<Acknowledgements> {
    let mut names = Vec::new();
    let mut listed = repository.regions().list_all(&place.holes());
    while let Some(entry) = listed.next().await {
        // A region that cannot be listed is told by whoever lists its WAL.
        let Listed::Object { name, .. } = entry else { continue };
        names.extend(ObjectName::parse(&name));
    }
    drop(listed);
    let mut all = Vec::new();
    for name in names {
        let Named::Hole { id, .. } = *name.named() else { continue };
        let why = match repository.read_record::<HoleRecord>(&name).await {
            Ok(read) if read.value.speaks_of(place, id, size) => {
                all.push(read.value);
                continue;
            }
            Ok(_) => "it speaks of another hole, or of segments of another size".to_owned(),
            Err(error) if error.kind() == Kind::Data => error.to_string(),
            Err(error) => return Err(error),
        };
        findings.push(Finding {
            id: "hole.not-believed",
            what: format!("{name} is not believed: {why}"),
            hint: Some("what it acknowledged counts as a hole; find out who put it there".to_owned()),
        });
    }
    Ok(Acknowledgements(all))
}

/// The segments that no region has on the ways of all timelines, from the oldest backup of each way on.
pub(crate) fn gaps(
    held: &WalHeld,
    histories: &BTreeMap<Timeline, History>,
    backups: &[BackupEntry],
    size: WalSegmentSize,
) -> WalRanges {
    let mut all = Vec::new();
    for (timeline, history) in histories {
        if !held.timelines.contains_key(timeline) {
            continue;
        }
        let on_way = backups.iter().filter(|entry| {
            history.covers(entry.header.timeline, entry.header.start, entry.header.start).is_ok()
        });
        let Some(floor) = on_way.map(|entry| size.segment_of(entry.header.start)).min() else { continue };
        let mut at = floor;
        for stretch in stretches(held, history, floor, size) {
            if let Some(last) = stretch.first.prev().filter(|last| at <= *last) {
                all.extend(by_timeline(history, (at, last), size));
            }
            let Some(next) = stretch.last.next() else { break };
            at = next.max(at);
        }
    }
    WalRanges::of(all)
}

/// A stretch cut by the timelines that serve it on a way.
pub(crate) fn by_timeline(
    history: &History,
    (first, last): (SegmentNo, SegmentNo),
    size: WalSegmentSize,
) -> Vec<(Timeline, SegmentNo, SegmentNo)> {
    let spans = history.spans().filter_map(|span| {
        let begin = size.segment_of(span.begin).max(first);
        // Where a timeline is left inside a segment, the child's copy serves it.
        let end = match span.end {
            Some(end) => size.segment_of(end).prev()?.min(last),
            None => last,
        };
        (begin <= end).then_some((span.timeline, begin, end))
    });
    spans.collect()
}

/// What the WAL of a place is asked for: by the recorded rules, and not by tombstones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// None where the rules are not known: then all of it is.
    expected: Option<WalRanges>,
    condemned: WalRanges,
}

/// What is known of a place.
pub(crate) struct PlaceWal<'a> {
    pub(crate) place: &'a Place,
    pub(crate) lineage: &'a Lineage,
    pub(crate) backups: &'a [BackupEntry],
    pub(crate) histories: &'a BTreeMap<Timeline, History>,
    pub(crate) wal: &'a WalMap,
}

impl Asked {
    /// What of a gap is asked for.
    pub(crate) fn of(&self, timeline: Timeline, gap: (SegmentNo, SegmentNo)) -> Vec<(SegmentNo, SegmentNo)> {
        let ruled = match &self.expected {
            Some(expected) => expected.inside(timeline, gap),
            None => vec![gap],
        };
        ruled.into_iter().flat_map(|part| self.condemned.outside(timeline, part)).collect()
    }

    /// What tombstones name.
    pub(crate) fn condemned(&self) -> &WalRanges {
        &self.condemned
    }

    /// Reads what was decided about the WAL of places of one cluster, and applies it to what is there.
    ///
    /// # Errors
    /// A record is out of reach.
    pub(crate) async fn load(
        repository: &Repository,
        places: &[PlaceWal<'_>],
        now: Time,
    ) -> Result<BTreeMap<SystemId, Self>> {
        let names: Vec<Place> = places.iter().map(|one| one.place.clone()).collect();
        let rules = recorded(repository, &names).await?;
        let mut points = Vec::new();
        for entry in places.iter().flat_map(|one| one.backups) {
            let header = &entry.header;
            points.push(Point {
                id: entry.id,
                system: entry.place.system,
                timeline: header.timeline,
                start: header.start,
                stop: header.stop,
                stop_timeline: header.stop_timeline,
                stored: entry.stored,
                claimed: header.stopped,
                oldest_bytes: None,
                unfit: (header.damaged_pages > 0 || header.bytes == 0).then(|| "damaged or empty".to_owned()),
                regions: entry.regions.clone(),
                holds: rules.holds_on(&entry.place, entry.id, now),
            });
        }
        let histories = places.iter().flat_map(|one| {
            let system = one.place.system;
            one.histories.iter().map(move |(timeline, history)| ((system, *timeline), history.clone()))
        });
        let regions: Vec<_> = repository.regions().iter().map(|region| region.name().clone()).collect();
        let expected = rules.policy(now).map(|policy| {
            wal_expected(&Input {
                points: &points,
                lineages: &places.iter().map(|one| one.lineage.clone()).collect::<Vec<_>>(),
                histories: &histories.collect(),
                wal: &places.iter().map(|one| (one.place.system, one.wal.clone())).collect(),
                policy: &policy,
                now,
                regions: &regions,
            })
        });
        let mut asked = BTreeMap::new();
        for one in places {
            let condemned = let_go(repository, one.place).await?;
            let expected =
                expected.as_ref().map(|all| all.get(&one.place.system).cloned().unwrap_or_default());
            asked.insert(one.place.system, Self { expected, condemned });
        }
        Ok(asked)
    }
}
