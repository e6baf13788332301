//! What each region holds of WAL: its histories before the pass, its holes after it.

use std::collections::BTreeMap;

use seawall_pg::{History, HistoryFile, SegmentName, Timeline, WalFileName};
use seawall_repo::id::SystemId;
use seawall_repo::layout::{Named, ObjectName, Place};
use seawall_store::RegionName;

use super::endangers::{Cut, Held};
use super::expected::Expected;
use super::found::{Found, Subject, Way};
use super::knowledge::Knowledge;
use super::outcome::Gathered;
use super::pass::Progress;
use super::report::Kind;
use super::wal::Hole;
use crate::repository::Repository;

/// The history files that a region shows and that can be read: what judges the WAL behind a change of timeline.
pub(super) async fn histories(
    repository: &Repository,
    place: &Place,
    region: &RegionName,
) -> BTreeMap<Timeline, History> {
    let mut histories = BTreeMap::new();
    let (Some(within), Some(of)) = (repository.within(region), repository.regions().find(region.as_str()))
    else {
        return histories;
    };
    let Ok(level) = of.list_level(&place.wal()).await else { return histories };
    for object in level.objects {
        let Some(name) = ObjectName::parse(&object.name) else { continue };
        let Named::Wal { file: WalFileName::TimelineHistory(timeline), .. } = name.named() else {
            continue;
        };
        let read =
            within.read_whole(&name, |whole, decompressor| whole.all_frames(1 << 20, decompressor)).await;
        // One that is no good is found when its turn comes.
        if let Ok(file) =
            read.map_err(drop).and_then(|read| HistoryFile::parse(*timeline, &read.value).map_err(drop))
        {
            histories.insert(*timeline, History::from_file(&file));
        }
    }
    histories
}

/// Enters holes in WAL as findings; what each region holds, for saying what findings mean.
pub(super) fn holes(
    systems: &BTreeMap<SystemId, Progress>,
    gathered: &mut Gathered,
    expected: &Expected,
) -> BTreeMap<(SystemId, RegionName), Held> {
    let mut all = BTreeMap::new();
    for (system, progress) in systems {
        for region in gathered.judged() {
            let mut held = Held {
                size: progress.known.size,
                backups: progress.known.regions.get(&region).map(|of| of.backups.clone()).unwrap_or_default(),
                wal: progress.wal.held.get(&region).cloned().unwrap_or_default(),
                histories: progress.histories.get(&region).cloned().unwrap_or_default(),
                cuts: Vec::new(),
            };
            let expected = expected.of(&region, *system);
            let missing = progress.wal.missing(&region, &held, &progress.known, expected);
            let let_go = missing.let_go.into_iter();
            held.cuts = let_go.map(|(timeline, first, last)| Cut::Missing(timeline, first, last)).collect();
            held.cuts.extend(gathered.findings().links(&region, *system));
            for hole in missing.holes {
                held.cuts.push(Cut::Missing(hole.timeline, hole.first, hole.last));
                if let Some(found) = hole_found(&hole, &region, &progress.known) {
                    gathered.find(found, Kind::Wal);
                }
            }
            // What a lost history costs is told by another region's.
            for (timeline, history) in progress.histories.values().flatten() {
                held.histories.entry(*timeline).or_insert_with(|| history.clone());
            }
            all.insert((*system, region), held);
        }
    }
    all
}

/// Takes out what regions tell differently: nothing is judged by it.
pub(super) fn undisputed(histories: &mut BTreeMap<RegionName, BTreeMap<Timeline, History>>) {
    let mut told: BTreeMap<Timeline, Option<History>> = BTreeMap::new();
    for (timeline, history) in histories.values().flatten() {
        let first = told.entry(*timeline).or_insert_with(|| Some(history.clone()));
        if first.as_ref() != Some(history) {
            *first = None;
        }
    }
    for of_region in histories.values_mut() {
        of_region.retain(|timeline, _| told.get(timeline).is_some_and(Option::is_some));
    }
}

fn hole_found(hole: &Hole, region: &RegionName, known: &Knowledge) -> Option<Found> {
    let size = known.size?;
    let file = |number| SegmentName::new(hole.timeline, number, size).ok();
    let (first, last) = (file(hole.first)?, file(hole.last)?);
    let count = hole.last.0.saturating_sub(hole.first.0).saturating_add(1);
    let named = Named::Wal { place: known.place.clone(), file: WalFileName::Segment(first) };
    let there = match hole.elsewhere.first() {
        Some(other) => format!("; region {other} shows {}", if count == 1 { "it" } else { "them" }),
        None => String::new(),
    };
    let fault = if count == 1 {
        format!("the segment is not there{there}")
    } else {
        format!("{count} segments, up to {last}, are not there{there}")
    };
    Some(Found {
        region: region.clone(),
        object: ObjectName::from(named).to_string(),
        subject: Subject::Wal(known.place.clone(), hole.timeline, hole.first, hole.last),
        way: Way::WalHole,
        fault,
        writer: None,
        elsewhere: hole.elsewhere.clone(),
        read_good: 0,
    })
}
